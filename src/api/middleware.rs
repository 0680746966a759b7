//! Around every request: its id, its log line, its metrics, and the shape of every error.

use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use tracing::Instrument;

use super::code::ErrorCode;
use super::cors;
use super::openapi::DOCUMENT;
use super::problem::{PROBLEM_JSON, Problem};
use super::protection::protect;
use crate::app::AppState;
use crate::db;
use crate::domain::secret::without_credentials;

/// The id of a request, for who needs it further in.
pub struct RequestId(pub String);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id, a span and a measured answer.
///
/// # Errors
/// Never on its own account.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let path = without_credentials(request.path());
    let span = tracing::info_span!("request", request_id = %id, method = %method_label(&method), path = &*path);
    let upgrades = request.headers().contains_key(header::UPGRADE);
    let state = request.app_data::<web::Data<AppState>>().cloned();
    let timeout = state.as_ref().map_or(Duration::MAX, |state| state.answer_timeout);

    request.extensions_mut().insert(RequestId(id.clone()));

    let answer = db::within(timeout, next.call(request)).instrument(span.clone()).await?;
    let route = answer.request().match_pattern().unwrap_or_else(|| "unknown".to_owned());
    let mut answer = as_problem(answer.map_into_boxed_body(), &id);

    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    protect(&mut answer);
    if upgrades || state.is_some_and(|state| state.shutdown.is_draining()) {
        // actix would close the connection without saying so, and a client would send into nothing; or the next
        // request is better sent to another instance.
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }

    let status = answer.status().as_u16();
    let elapsed = started.elapsed();
    let labels = [("method", method_label(&method).to_owned()), ("route", route), ("status", status.to_string())];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels[..2]).record(elapsed.as_secs_f64());
    span.in_scope(|| tracing::info!(status, elapsed_us = u64::try_from(elapsed.as_micros()).ok(), "answered"));
    Ok(answer)
}

/// A method as a label, and for the log: a client can make up any number of others.
fn method_label(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS") => known,
        _ => "other",
    }
}

/// The id that the client sent, if it is sane, or a new one.
fn request_id(request: &ServiceRequest) -> String {
    let is_sane = |id: &&str| {
        let is_visible = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        is_visible && without_credentials(id) == *id
    };
    let sent = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).filter(is_sane);
    let made = || request.app_data::<web::Data<AppState>>().map(|state| state.clock.new_id().to_string());
    sent.map(str::to_owned).or_else(made).unwrap_or_default()
}

/// Every error in the one shape, also those that actix answers by itself.
pub(super) fn as_problem(answer: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    if answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON) {
        return answer;
    }
    let left = answer.response().extensions().get::<Problem>().cloned();
    let problem = left.or_else(|| cors::refusal(&answer)).or_else(|| match answer.status() {
        StatusCode::BAD_REQUEST => Some(Problem::of(ErrorCode::MalformedRequest)),
        StatusCode::NOT_FOUND => Some(Problem::of(ErrorCode::NotFound)),
        status if status.is_server_error() && answer.response().error().is_some() => {
            Some(Problem::of(ErrorCode::Internal))
        }
        _ => None,
    });
    match problem {
        None => answer,
        Some(problem) => {
            let (request, left) = answer.into_parts();
            let mut answer = problem.answer(&request, id);
            // What others had to say stands beside it.
            for name in left.headers().keys() {
                if !answer.headers().contains_key(name) {
                    let values = left.headers().get_all(name);
                    values.for_each(|value| answer.headers_mut().append(name.clone(), value.clone()));
                }
            }
            ServiceResponse::new(request, answer)
        }
    }
}

/// What is answered for a path or method that is not served.
pub async fn not_served(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(match DOCUMENT.allowed(request.path()) {
        Some(allow) => Problem::method_not_allowed(allow),
        None => Problem::new(ErrorCode::NotFound, "There is no such path; see /docs for those that there are."),
    })
}
