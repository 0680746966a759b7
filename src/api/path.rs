//! Ids in the path.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use uuid::Uuid;

use super::code::ErrorCode;
use super::openapi::DOCUMENT;
use super::problem::Problem;

/// The id at the end of the path's variable part: a UUID in its usual form.
pub struct Id<T>(pub T);

impl<T: From<Uuid>> FromRequest for Id<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.match_info().iter().next().map_or("", |(_, text)| text);
        let id = Some(text).filter(|text| text.len() == 36).and_then(|text| Uuid::try_parse(text).ok());
        ready(id.map(|id| Self(id.into())).ok_or_else(|| match DOCUMENT.allowed_by_name(request.path()) {
            Some(allow) => Problem::method_not_allowed(allow),
            None => {
                Problem::new(ErrorCode::MalformedRequest, "The id in the path is not a UUID; take it from an answer.")
            }
        }))
    }
}
