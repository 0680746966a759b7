//! What every answer tells browsers, so that a page or a document of ours cannot be turned against its reader.

use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{self, HeaderName, HeaderValue};

use super::incoming::{Incoming, Target};

/// Of what is data: nothing is loaded or run, and no page may frame it.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Of the pages below `/docs`: their own files, the pictures in Swagger UI's style sheet, and requests to this service
/// alone.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                           connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A year, for this host alone: what others share its domain, we cannot know.
const ONLY_HTTPS: &str = "max-age=31536000";

/// Adds what an answer does not say by itself.
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
    // Only who came by https may hear it, and only the proxy knows. A client that lies about it deceives itself:
    // browsers take no notice of this over http.
    if is_https {
        add(header::STRICT_TRANSPORT_SECURITY, ONLY_HTTPS);
    }
}
