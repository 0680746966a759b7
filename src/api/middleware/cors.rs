//! CORS: which web pages may call the API from a browser. By default none, otherwise the origins that the operator
//! lists. A page needs an API key like every client; there are no cookies.

use std::collections::BTreeSet;
use std::str::FromStr;

use actix_cors::{Cors, CorsError};
use actix_web::dev::ServiceResponse;
use actix_web::http::{Uri, header};
use actix_web::middleware::Condition;

use crate::api::contract::code::ErrorCode;
use crate::api::contract::document::DOCUMENT;
use crate::api::contract::problem::Problem;
use crate::api::contract::schema::quoted;
use crate::api::middleware::incoming::{Incoming, Target};

/// The headers that a page may send, in addition to the default ones.
const REQUEST_HEADERS: &[&str] =
    &["authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "x-request-id"];

/// The response headers that a page may read, in addition to the default ones.
const ANSWER_HEADERS: &[&str] = &[
    "content-disposition",
    "etag",
    "idempotency-replayed",
    "link",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "x-request-id",
];

/// How long a browser may cache the result of a preflight, in seconds.
const MAX_AGE: usize = 3600;

/// The origin of a web page, as browsers send it: `https://app.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Err("this would allow every web page to call the API; list your own origins".to_owned());
        }
        let uri: Option<Uri> = text.parse().ok();
        let parts = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
        let origin = parts.filter(|(scheme, authority)| {
            let default_port = if *scheme == "https" { 443 } else { 80 };
            let is_plain = !authority.as_str().contains('@') && authority.port_u16() != Some(default_port);
            matches!(*scheme, "https" | "http") && is_plain
        });
        let origin = origin.map(|(scheme, authority)| format!("{scheme}://{authority}").to_lowercase());
        // Browsers send only this form, and origins are compared byte by byte.
        origin.filter(|origin| origin == text).map(Self).ok_or_else(|| {
            "an origin is a scheme and a host in lower case, with a port unless it is the default one: \
             https://app.example.com"
                .to_owned()
        })
    }
}

/// Handles preflight requests, and adds the CORS headers to responses.
pub fn allow(origins: &[Origin]) -> Condition<Cors> {
    let cors = Cors::default()
        .allowed_methods(methods())
        .allowed_headers(REQUEST_HEADERS.iter().copied())
        .expose_headers(ANSWER_HEADERS.iter().copied())
        .max_age(MAX_AGE);
    let cors = origins.iter().fold(cors, |cors, Origin(origin)| cors.allowed_origin(origin));
    Condition::new(!origins.is_empty(), cors)
}

/// Returns the problem if the response is a rejected preflight. No other request has the method OPTIONS.
pub fn refusal<B>(answer: &ServiceResponse<B>, incoming: &Incoming) -> Option<Problem> {
    let reason = answer.response().error()?.as_error::<CorsError>()?;
    if let Target::Refused { template: None, problem } = &incoming.target {
        return Some((**problem).clone());
    }
    let asked = |name| answer.request().headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let detail = match reason {
        CorsError::OriginNotAllowed => format!(
            "The page's `Origin`, {}, is not allowed. Ask the operator to add it to `CORS_ORIGINS`.",
            quoted(asked(header::ORIGIN))
        ),
        CorsError::MethodNotAllowed => {
            let methods: Vec<_> = methods().into_iter().collect();
            let method = quoted(asked(header::ACCESS_CONTROL_REQUEST_METHOD));
            format!("A web page may not use {method}. Use one of {}.", methods.join(", "))
        }
        CorsError::HeadersNotAllowed => {
            let names = asked(header::ACCESS_CONTROL_REQUEST_HEADERS).split(',').map(str::trim);
            let others = names.filter(|name| !REQUEST_HEADERS.contains(&name.to_ascii_lowercase().as_str()));
            let others = quoted(&others.collect::<Vec<_>>().join(", "));
            format!("A web page may not send these headers: {others}. Send only {}.", REQUEST_HEADERS.join(", "))
        }
        other => format!("The preflight request is not valid: {other}."),
    };
    Some(Problem::new(ErrorCode::CorsRefused, detail))
}

fn methods() -> BTreeSet<&'static str> {
    DOCUMENT.operations.iter().map(|operation| operation.method.as_str()).chain(["HEAD"]).collect()
}
