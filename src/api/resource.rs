//! Single resources: `ETag`, `If-Match`, `If-None-Match`, `Location`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
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
    /// The `ETag` of the version that you saw, with its quotes, or several, or `*`. When the resource is at another
    /// version, nothing changes and the answer is 412 `version_mismatch`.
    #[param(
        rename = "If-Match",
        nullable = false,
        max_length = 1000,
        pattern = r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#,
        example = "\"1\""
    )]
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
        ready(header_value(request, "If-Match").and_then(|value| match value.as_deref() {
            None | Some("*") => Ok(Self(Precondition::None)),
            Some(list) => {
                let tags = entity_tags(list).ok_or_else(not_a_tag)?;
                Ok(Self(Precondition::OneOf(tags.into_iter().filter_map(version).collect())))
            }
        }))
    }
}

impl FromRequest for IfNoneMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let tags = |list: String| list.split(',').map(|tag| tag.trim().to_owned()).collect();
        ready(header_value(request, "If-None-Match").map(|value| Self(value.map(tags).unwrap_or_default())))
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

/// The tags in a list (RFC 9110 §8.8.3) without their quotes; `None` when something else is in it. A weak one counts
/// as the strong one that it was: a proxy that compresses an answer weakens its tag, and a version is just that version
/// however the answer came. The letter of §13.1.1 would have such a client fail for ever.
fn entity_tags(mut list: &str) -> Option<Vec<&str>> {
    let mut tags = Vec::new();
    loop {
        let (tag, rest) = list.strip_prefix("W/").unwrap_or(list).strip_prefix('"')?.split_once('"')?;
        tags.push(Some(tag).filter(|tag| tag.bytes().all(|byte| byte.is_ascii_graphic()))?);
        if rest.is_empty() {
            return Some(tags);
        }
        list = rest.trim_start_matches(' ').strip_prefix(',')?.trim_start_matches(' ');
    }
}

/// The version that a tag without its quotes stands for; a tag that is not ours is no version.
fn version(tag: &str) -> Option<Version> {
    tag.parse().ok().map(Version)
}

fn not_a_tag() -> Problem {
    let detail = "Send the `ETag` as it came, with its quotes: `\"2\"`.";
    Problem::invalid(vec![FieldError::of_parameter("If-Match", ViolationCode::InvalidFormat, detail)])
}

/// A header's value, of as many lines as it has; `None` when it is not there.
fn header_value(request: &HttpRequest, name: &'static str) -> Result<Option<String>, Problem> {
    let lines: Vec<_> = request.headers().get_all(name).map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let value = lines.join(", ");
    if value.chars().count() > MAX_HEADER {
        let detail = format!("At most {MAX_HEADER} characters are allowed.");
        return Err(Problem::invalid(vec![FieldError::of_parameter(name, ViolationCode::TooLong, detail)]));
    }
    Ok(Some(value))
}
