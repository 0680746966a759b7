//! Rate limits: a request that is one too many is refused before anything else is done for it, and every response says
//! what is left (`RateLimit` and `RateLimit-Policy`, of the IETF's draft).

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, ResponseError, web};
use serde_json::{Value, json};

use super::code::ErrorCode;
use super::problem::Problem;
use crate::app::AppState;
use crate::domain::access::Actor;
use crate::domain::budget::Holder;
use crate::domain::rate_limit::{RateLimitKind, Standing, Verdict, WINDOW_SECONDS};
use crate::ops::Context;
use crate::ops::rate_limits::RateLimits;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Counts a request, and refuses it when it is one too many for its caller or its tenant.
///
/// # Errors
/// Never on its own account: a problem is a response.
pub async fn limit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some((limits, actor)) = limits_and_actor(request.request()) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let kind = if request.method().is_safe() { RateLimitKind::Reads } else { RateLimitKind::Writes };
    match limits.count(&actor, kind) {
        None => Ok(next.call(request).await?.map_into_boxed_body()),
        Some(Verdict::Refused(standing)) => {
            let mut response = request.into_response(refusal(standing).error_response());
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(standing.seconds_left));
            tell(response.headers_mut(), standing);
            Ok(response)
        }
        Some(Verdict::Admitted(standing)) => {
            let mut response = next.call(request).await?.map_into_boxed_body();
            // It may have waited for an event.
            tell(response.headers_mut(), limits.by_now(standing));
            Ok(response)
        }
    }
}

fn limits_and_actor(request: &HttpRequest) -> Option<(RateLimits, Actor)> {
    let actor = request.extensions().get::<Context>()?.actor.clone();
    let state = request.app_data::<web::Data<AppState>>()?;
    Some((state.rate_limits.clone(), actor))
}

fn refusal(Standing { kind, holder, limit, seconds_left, .. }: Standing) -> Problem {
    let sender = if holder == Holder::Tenant { "The callers of this tenant have" } else { "You have" };
    let detail = format!("{sender} sent more than {limit} {kind} this minute. Retry after {seconds_left} seconds.");
    Problem::new(ErrorCode::RateLimited, detail)
}

/// The name of a limit: `reads`, or `tenant-reads` where it is the tenant's.
fn policy_name(Standing { kind, holder, .. }: Standing) -> String {
    if holder == Holder::Tenant { format!("tenant-{kind}") } else { kind.to_string() }
}

fn tell(headers: &mut HeaderMap, standing: Standing) {
    let Standing { limit, remaining, seconds_left, .. } = standing;
    let name = policy_name(standing);
    let policy = format!("\"{name}\";q={limit};w={WINDOW_SECONDS}");
    let left = format!("\"{name}\";r={remaining};t={seconds_left}");
    for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// Adds the headers to an answer of the document.
pub fn document(answer: &mut Value) {
    let policy = "The limit that is closest, as `\"reads\";q=6000;w=60`: the number of requests (`q`) in a number of \
                  seconds (`w`). `\"tenant-reads\"` is the limit of all callers of the tenant together. Left out where \
                  there is no limit.";
    let left = "What is left of that limit, as `\"reads\";r=5990;t=42`: the number of requests (`r`) for a number of \
                seconds (`t`). Left out where there is no limit.";
    for (name, description) in [("RateLimit-Policy", policy), ("RateLimit", left)] {
        answer["headers"][name] =
            json!({ "description": description, "schema": { "type": "string", "maxLength": 200 } });
    }
}
