//! Single resources: `ETag`, `If-Match`, `If-None-Match`, `Location`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderName};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde::Serialize;

use super::problem::{FieldError, Problem};
use crate::domain::id::Version;
use crate::domain::refusal::ViolationCode;
use crate::ops::Precondition;

const MAX_HEADER: usize = 1000;

/// The condition in `If-Match`.
pub struct IfMatch(pub Precondition);

/// `If-Match`, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "this is documentation")]
pub struct IfMatchHeader {
    /// The `ETag` of the version that you saw, or several, or `*`. When the resource is at another
    /// version, nothing changes and the answer is 412 `version_mismatch`.
    #[param(rename = "If-Match", nullable = false, max_length = 1000, example = "\"1\"")]
    if_match: Option<String>,
}

/// The versions in `If-None-Match`.
pub struct IfNoneMatch(Vec<String>);

/// `If-None-Match`, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "this is documentation")]
pub struct IfNoneMatchHeader {
    /// The `ETag` of the version that you have, or several: when the resource is still there, the answer
    /// is 304 without a body.
    #[param(rename = "If-None-Match", nullable = false, max_length = 1000, example = "\"1\"")]
    if_none_match: Option<String>,
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(tags(request, header::IF_MATCH).map(|tags| match tags {
            None => Self(Precondition::None),
            Some(tags) if tags.iter().any(|tag| tag == "*") => Self(Precondition::None),
            // A weak tag never matches here (RFC 9110 §13.1.1), and neither does what is no tag of ours.
            Some(tags) => Self(Precondition::OneOf(tags.iter().filter_map(|tag| version(tag)).collect())),
        }))
    }
}

impl FromRequest for IfNoneMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(tags(request, header::IF_NONE_MATCH).map(|tags| Self(tags.unwrap_or_default())))
    }
}

impl IfNoneMatch {
    /// The resource, or 304 when the client has this version.
    pub fn answer(&self, version: Version, body: impl Serialize) -> HttpResponse {
        let tag = etag(version);
        if self.0.iter().any(|have| have == "*" || have.trim_start_matches("W/") == tag) {
            return HttpResponse::NotModified().insert_header((header::ETAG, tag)).finish();
        }
        ok(version, body)
    }
}

/// The resource as it is now.
pub fn ok(version: Version, body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::ETAG, etag(version))).json(body)
}

/// A resource that was created.
pub fn created(location: &str, version: Option<Version>, body: impl Serialize) -> HttpResponse {
    let mut answer = HttpResponse::Created();
    answer.insert_header((header::LOCATION, location));
    if let Some(version) = version {
        answer.insert_header((header::ETAG, etag(version)));
    }
    answer.json(body)
}

/// A version as an entity tag.
pub fn etag(version: Version) -> String {
    format!("\"{}\"", version.0)
}

fn version(tag: &str) -> Option<Version> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok().map(Version)
}

fn tags(request: &HttpRequest, name: HeaderName) -> Result<Option<Vec<String>>, Problem> {
    let mut tags = None;
    for value in request.headers().get_all(&name) {
        if value.len() > MAX_HEADER {
            let detail = format!("At most {MAX_HEADER} characters are allowed.");
            let error = FieldError::of_parameter(name.as_str(), ViolationCode::TooLong, detail);
            return Err(Problem::invalid(vec![error]));
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        tags.get_or_insert_with(Vec::new).extend(value.split(',').map(|tag| tag.trim().to_owned()));
    }
    Ok(tags)
}
