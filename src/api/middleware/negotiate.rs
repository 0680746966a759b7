//! Content negotiation: the media type of a response, among those that the API document lists.

use std::future::{Ready, ready};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError};

use crate::api::contract::code::ErrorCode;
use crate::api::contract::problem::Problem;
use crate::api::middleware::incoming::Incoming;

/// The media type of the response. Only operations with several media types need this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted(pub &'static str);

impl FromRequest for Accepted {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get().copied().ok_or_else(|| Problem::of(ErrorCode::Internal)))
    }
}

/// Rejects a client that accepts none of the media types of the operation.
///
/// # Errors
/// Only the errors of the inner layers: a problem is returned as a response.
pub async fn negotiate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let operation = Incoming::of(request.request()).ok().and_then(|incoming| incoming.operation());
    let offered: Vec<_> = operation.into_iter().flat_map(|operation| &operation.media_types).map(|t| &**t).collect();
    let accept: Vec<_> = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok()).collect();
    let chosen = choose(&offered, &accept.join(","));
    match chosen {
        None => {
            let detail = format!("This operation returns {}. Accept one of these media types.", offered.join(", "));
            let problem = Problem::new(ErrorCode::NotAcceptable, detail);
            return Ok(request.into_response(problem.error_response()));
        }
        Some(chosen) => request.extensions_mut().insert(Accepted(chosen)),
    };
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// Returns the media type with the greatest weight in an `Accept` header; the first one if several have the same
/// weight.
fn choose(offered: &[&'static str], accept: &str) -> Option<&'static str> {
    let ranges: Vec<_> = accept.split(',').map(str::trim).filter(|range| !range.is_empty()).collect();
    let weighed = offered.iter().map(|media| (*media, if ranges.is_empty() { ONE } else { weight(media, &ranges) }));
    let best = weighed.clone().map(|(_, weight)| weight).max().filter(|best| *best > 0)?;
    weighed.into_iter().find(|(_, weight)| *weight == best).map(|(media, _)| media)
}

/// `q=1`, in thousandths.
const ONE: u16 = 1000;

/// The most specific range that matches a media type decides (RFC 9110, section 12.5.1).
fn weight(media: &str, ranges: &[&str]) -> u16 {
    let group = format!("{}/*", media.split('/').next().unwrap_or_default());
    let decide = |range: &&str| {
        let range = range.to_ascii_lowercase();
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let specific = ["*/*", &group, media].iter().position(|of_media| *of_media == name)?;
        let weight = parts.find_map(|parameter| parameter.strip_prefix("q=")).map_or(ONE, thousandths);
        Some((specific, weight))
    };
    ranges.iter().filter_map(decide).max().map_or(0, |(_, weight)| weight)
}

/// Converts `0.8` to 800. An invalid weight counts as no weight.
fn thousandths(q: &str) -> u16 {
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    match (whole, format!("{fraction:0<3}").parse()) {
        ("0", Ok(thousandths)) if fraction.len() <= 3 => thousandths,
        _ => ONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERED: [&str; 2] = ["application/json", "text/csv"];

    #[test]
    fn the_first_is_chosen_when_the_client_does_not_mind() {
        for accept in ["", "*/*", "text/csv, application/json", "text/*;q=0.5, */*", "nonsense;q=x, */*"] {
            assert_eq!(choose(&OFFERED, accept), Some("application/json"), "{accept}");
        }
    }

    #[test]
    fn what_weighs_more_is_chosen() {
        for accept in
            ["text/csv", "application/json;q=0.8, text/csv", "TEXT/CSV, */*;q=0.1", "*/*, application/json;q=0"]
        {
            assert_eq!(choose(&OFFERED, accept), Some("text/csv"), "{accept}");
        }
    }

    #[test]
    fn nothing_is_chosen_of_what_the_client_does_not_take() {
        for accept in ["text/html", "application/json;q=0, text/csv;q=0.000", "application/xml, */*;q=0"] {
            assert_eq!(choose(&OFFERED, accept), None, "{accept}");
        }
    }
}
