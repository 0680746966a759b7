//! Single resources: `ETag`, `If-Match`, `If-None-Match` and `Location`.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde::Serialize;

use crate::api::contract::problem::{FieldError, Problem};
use crate::domain::id::Version;
use crate::domain::refusal::ViolationCode;
use crate::ops::Precondition;

const MAX_HEADER: usize = 1000;

pub struct IfMatch(pub Precondition);

/// `If-Match`, for the API document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "this is documentation")]
pub struct IfMatchHeader {
    /// The `ETag` of the version that you have, with its quotes; or several, or `*`. If the resource has another
    /// version, nothing changes and the response is 412 `version_mismatch`.
    #[param(
        rename = "If-Match",
        nullable = false,
        max_length = 1000,
        pattern = r#"^(\*|(W/)?"(0|[1-9][0-9]{0,8})((--?|;)(gzip|br|zstd|deflate|identity))?"( *, *(W/)?"(0|[1-9][0-9]{0,8})((--?|;)(gzip|br|zstd|deflate|identity))?")*)$"#,
        example = "\"1\""
    )]
    if_match: Option<String>,
}

/// The versions in `If-None-Match`.
pub enum IfNoneMatch {
    /// `*`: any version.
    Any,
    OneOf(Vec<Version>),
}

/// `If-None-Match`, for the API document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "this is documentation")]
pub struct IfNoneMatchHeader {
    /// The `ETag` of the version that you have, or several. If the resource still has this version, the response is 304
    /// without a body.
    #[param(
        rename = "If-None-Match",
        nullable = false,
        max_length = 1000,
        pattern = r#"^(\*|(W/)?"(0|[1-9][0-9]{0,8})((--?|;)(gzip|br|zstd|deflate|identity))?"( *, *(W/)?"(0|[1-9][0-9]{0,8})((--?|;)(gzip|br|zstd|deflate|identity))?")*)$"#,
        example = "\"1\""
    )]
    if_none_match: Option<String>,
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(header_value(request, "If-Match").and_then(|value| match value.as_deref() {
            None | Some("*") => Ok(Self(Precondition::None)),
            Some(list) => versions("If-Match", list).map(|versions| Self(Precondition::OneOf(versions))),
        }))
    }
}

impl FromRequest for IfNoneMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(header_value(request, "If-None-Match").and_then(|value| match value.as_deref() {
            None => Ok(Self::OneOf(Vec::new())),
            Some("*") => Ok(Self::Any),
            Some(list) => versions("If-None-Match", list).map(Self::OneOf),
        }))
    }
}

impl IfNoneMatch {
    /// Returns the resource, or 304 if the client has this version.
    pub fn answer(&self, version: Version, body: impl Serialize) -> HttpResponse {
        let has_it = match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(&version),
        };
        if has_it {
            return HttpResponse::NotModified().insert_header((header::ETAG, etag(version))).finish();
        }
        ok(version, body)
    }
}

/// Returns the resource with its version.
pub fn ok(version: Version, body: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::ETAG, etag(version))).json(body)
}

/// Returns a created resource.
pub fn created(location: &str, version: Option<Version>, body: impl Serialize) -> HttpResponse {
    let mut answer = HttpResponse::Created();
    answer.insert_header((header::LOCATION, location));
    if let Some(version) = version {
        answer.insert_header((header::ETAG, etag(version)));
    }
    answer.json(body)
}

/// Formats a version as an entity tag.
pub fn etag(version: Version) -> String {
    format!("\"{}\"", version.0)
}

/// Returns the tags of a list (RFC 9110, section 8.8.3) without their quotes; `None` if the list contains anything
/// else. A weak tag counts as a strong tag: a proxy that compresses a response weakens its tag, but the version stays
/// the same. With the strict rule of section 13.1.1, such a client could never write.
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

/// The number of digits of the greatest version, as in the API document.
const MOST_DIGITS: usize = 9;

/// The suffixes that proxies add to a version when they compress a response: Apache `-gzip`, Jetty `--gzip`, others
/// `;gzip`.
const CODINGS: [&str; 5] = ["gzip", "br", "zstd", "deflate", "identity"];

/// Returns the versions in a list of tags.
fn versions(name: &str, list: &str) -> Result<Vec<Version>, Problem> {
    let versions = entity_tags(list).and_then(|tags| tags.into_iter().map(version).collect());
    versions.ok_or_else(|| {
        let detail = "This is not a list of ETags. Send the `ETag` unchanged, with its quotes: `\"2\"`.";
        Problem::invalid(vec![FieldError::of_parameter(name, ViolationCode::InvalidFormat, detail)])
    })
}

/// Returns the version of a tag without quotes. Only the canonical form of a number is accepted, so that a tag that was
/// never in a response is not taken for a version.
fn version(tag: &str) -> Option<Version> {
    let end = tag.find(|c: char| !c.is_ascii_digit()).unwrap_or(tag.len());
    let (number, suffix) = tag.split_at(end);
    let coding = ["--", "-", ";"].iter().find_map(|mark| suffix.strip_prefix(mark));
    let is_ours = (number == "0" || !number.starts_with('0'))
        && number.len() <= MOST_DIGITS
        && (suffix.is_empty() || coding.is_some_and(|coding| CODINGS.contains(&coding)));
    if is_ours { number.parse().ok().map(Version) } else { None }
}

/// Returns the value of a header, with all its lines; `None` if it is missing.
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
