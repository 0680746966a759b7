//! Rate limits. A request beyond a limit is rejected before anything else is done, and every response contains the
//! remaining number (`RateLimit` and `RateLimit-Policy` of the IETF draft).

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, ResponseError, web};
use serde_json::{Value, json};

use crate::api::contract::code::ErrorCode;
use crate::api::contract::problem::Problem;
use crate::api::state::AppState;
use crate::domain::authorization::Actor;
use crate::domain::limits::budget::Holder;
use crate::domain::limits::rate_limit::{RateLimitKind, Standing, Verdict, WINDOW_SECONDS};
use crate::ops::Context;
use crate::ops::rate_limits::RateLimits;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Counts a request, and rejects it if it exceeds a limit of its caller or tenant.
///
/// # Errors
/// Only the errors of the inner layers: a problem is returned as a response.
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
            // The request may have waited for events, so the values are computed again.
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

/// The name of a limit: `reads`, or `tenant-reads` for a limit of the tenant.
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

/// Adds the headers to a response of the API document.
pub fn document(answer: &mut Value) {
    let policy = "The limit that is closest to being exceeded, as `\"reads\";q=6000;w=60`: `q` requests in `w` \
                  seconds. `\"tenant-reads\"` is the limit of all callers of the tenant together. Omitted if there is \
                  no limit.";
    let left = "The rest of that limit, as `\"reads\";r=5990;t=42`: `r` more requests in the next `t` seconds. Omitted \
                if there is no limit.";
    for (name, description) in [("RateLimit-Policy", policy), ("RateLimit", left)] {
        answer["headers"][name] =
            json!({ "description": description, "schema": { "type": "string", "maxLength": 200 } });
    }
}
