//! Security headers for browsers, so that responses cannot be used to attack their readers.

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{self, HeaderName, HeaderValue};

use crate::api::middleware::incoming::{Incoming, Target};

/// The policy for data: nothing is loaded or run, and no page may embed it in a frame.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// The policy for the pages below `/docs`: their own files, the images in Swagger UI's style sheet, and requests to
/// this service only.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                           connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// One year, for this host only: other hosts of the same domain may not support https.
const ONLY_HTTPS: &str = "max-age=31536000";

/// Adds the headers that the response does not set itself.
pub fn protect(answer: &mut ServiceResponse<BoxBody>, incoming: &Incoming) {
    let is_documentation = matches!(incoming.target, Target::Documentation);
    let policy = if is_documentation { DOCS_POLICY } else { DATA_POLICY };
    let is_https = answer.request().connection_info().scheme() == "https";
    let headers = answer.headers_mut();
    let mut add = |name: HeaderName, value| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    add(header::CACHE_CONTROL, "no-store");
    add(header::CONTENT_SECURITY_POLICY, policy);
    add(header::REFERRER_POLICY, "no-referrer");
    add(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(header::X_FRAME_OPTIONS, "DENY");
    // Only sent over https, and only the proxy knows whether the client uses it. A client that forges this affects only
    // itself: browsers ignore the header over http.
    if is_https {
        add(header::STRICT_TRANSPORT_SECURITY, ONLY_HTTPS);
    }
}
