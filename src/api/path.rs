//! Ids and keys in the path.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use uuid::Uuid;

use super::code::ErrorCode;
use super::openapi::DOCUMENT;
use super::problem::Problem;
use crate::domain::idempotency::MAX_KEY;

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

/// A key of the client's own in the path, as it is when nothing is escaped.
pub struct Key(pub String);

impl FromRequest for Key {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let text = web::Path::<String>::from_request(request, payload).into_inner().map(web::Path::into_inner);
        let is_key = |text: &String| (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic());
        ready(text.ok().filter(is_key).map(Self).ok_or_else(|| {
            let detail = format!("A key is 1 to {MAX_KEY} visible ASCII characters, escaped for a path where needed.");
            Problem::new(ErrorCode::MalformedRequest, detail)
        }))
    }
}
