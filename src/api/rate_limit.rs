//! How often a caller may come: what is one too many is refused before anything else is done for it, and every
//! answer says where the caller stands (`RateLimit` and `RateLimit-Policy`, of the IETF's draft).

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, ResponseError, web};
use serde_json::{Value, json};

use super::code::ErrorCode;
use super::problem::Problem;
use crate::app::AppState;
use crate::domain::rate_limit::{RateLimitKind, Standing, Verdict, WINDOW_SECONDS};
use crate::ops::Context;
use crate::ops::rate_limits::RateLimits;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Counts what a known caller asks, and refuses what is one too many.
///
/// # Errors
/// Never on its own account: a problem is an answer.
pub async fn limit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some((limits, caller)) = caller(request.request()) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let kind = if request.method().is_safe() { RateLimitKind::Reads } else { RateLimitKind::Writes };
    match limits.count(&caller, kind) {
        None => Ok(next.call(request).await?.map_into_boxed_body()),
        Some(Verdict::Refused(standing)) => {
            let mut answer = request.into_response(refusal(standing).error_response());
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(standing.seconds_left));
            tell(answer.headers_mut(), standing);
            Ok(answer)
        }
        Some(Verdict::Admitted(standing)) => {
            let mut answer = next.call(request).await?.map_into_boxed_body();
            // It may have waited for an event.
            tell(answer.headers_mut(), limits.by_now(standing));
            Ok(answer)
        }
    }
}

/// Who asks, as far as that is known: what is not served, and who has no key, is not counted.
fn caller(request: &HttpRequest) -> Option<(RateLimits, String)> {
    let caller = request.extensions().get::<Context>()?.actor.label();
    let state = request.app_data::<web::Data<AppState>>()?;
    Some((state.rate_limits.clone(), caller))
}

fn refusal(Standing { kind, limit, seconds_left, .. }: Standing) -> Problem {
    let detail = format!(
        "These are more than {limit} {kind} in a minute. Try again in {seconds_left} seconds, as `Retry-After` says."
    );
    Problem::new(ErrorCode::RateLimited, detail)
}

fn tell(headers: &mut HeaderMap, standing: Standing) {
    let Standing { kind, limit, remaining, seconds_left, .. } = standing;
    let policy = format!("\"{kind}\";q={limit};w={WINDOW_SECONDS}");
    let left = format!("\"{kind}\";r={remaining};t={seconds_left}");
    for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// Adds the headers to an answer of the document.
pub fn document(answer: &mut Value) {
    let policy = "How often the caller may come, as `\"reads\";q=6000;w=60`: so many requests (`q`) in so many seconds (`w`). \
                  Left out where there is no limit.";
    let left = "Where the caller stands, as `\"reads\";r=5990;t=42`: so many requests are left (`r`) for so many \
                seconds (`t`). Left out where there is no limit.";
    for (name, description) in [("RateLimit-Policy", policy), ("RateLimit", left)] {
        answer["headers"][name] =
            json!({ "description": description, "schema": { "type": "string", "maxLength": 200 } });
    }
}
