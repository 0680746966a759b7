//! Ids and keys in the path.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use uuid::Uuid;

use crate::api::contract::code::ErrorCode;
use crate::api::contract::problem::Problem;
use crate::api::middleware::incoming::Incoming;
use crate::domain::idempotency::MAX_KEY;

/// An id in the path: a UUID in its usual form.
pub struct Id<T>(pub T);

impl<T: From<Uuid>> FromRequest for Id<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let no_id = || {
            let detail = "The id in the path is not a UUID. Take it from a response.";
            Problem::new(ErrorCode::MalformedRequest, detail)
        };
        ready(Incoming::of(request).and_then(|incoming| {
            let text = incoming.variable().filter(|text| text.len() == 36);
            text.and_then(|text| Uuid::try_parse(text).ok()).map(|id| Self(id.into())).ok_or_else(no_id)
        }))
    }
}

/// An idempotency key in the path.
pub struct Key(pub String);

impl FromRequest for Key {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let no_key = || {
            let detail = format!(
                "This is not a key. Send 1 to {MAX_KEY} visible ASCII characters, escaped where a path requires it."
            );
            Problem::new(ErrorCode::MalformedRequest, detail)
        };
        let is_key = |text: &&str| (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic());
        ready(
            Incoming::of(request).and_then(|incoming| {
                incoming.variable().filter(is_key).map(|key| Self(key.to_owned())).ok_or_else(no_key)
            }),
        )
    }
}
