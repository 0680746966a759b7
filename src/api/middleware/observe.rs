//! The outermost middleware: request id, log line, metrics, and the form of every error.

use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpResponse, web};
use tracing::{Instrument, Span};

use crate::api::contract::code::ErrorCode;
use crate::api::contract::problem::{PROBLEM_JSON, Problem};
use crate::api::middleware::cors;
use crate::api::middleware::incoming::{Incoming, REQUEST_ID};
use crate::api::middleware::protection::protect;
use crate::api::respond::body;
use crate::api::state::AppState;
use crate::platform::db;

/// A request without a response. If it is dropped, this is logged.
struct Unanswered(Option<Span>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(span) = self.0.take() {
            metrics::counter!("http_requests_abandoned_total").increment(1);
            span.in_scope(|| {
                tracing::warn!(
                    "request dropped before its response: the client closed the connection, or the body is malformed"
                )
            });
        }
    }
}

/// Converts the request to one [`Incoming`] value for all inner layers, and adds a span and metrics.
///
/// # Errors
/// The errors of the inner layers.
pub async fn observe(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let incoming = Rc::new(Incoming::new(&request));
    let method = method_label(&incoming.method).to_owned();
    let path = incoming.logged_path();
    let source = incoming.source.map(tracing::field::display);
    let (caller, tenant) = (tracing::field::Empty, tracing::field::Empty);
    let span = tracing::info_span!("request", request_id = %incoming.id, method, path, source, caller, tenant);
    let upgrades = request.headers().contains_key(header::UPGRADE);
    let state = request.app_data::<web::Data<AppState>>().cloned();
    let timeout = state.as_ref().map_or(Duration::MAX, |state| state.answer_timeout);
    if incoming.method == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    request.extensions_mut().insert(Rc::clone(&incoming));

    let mut unanswered = Unanswered(Some(span.clone()));
    let answer = db::within(timeout, next.call(request)).instrument(span.clone()).await?;
    unanswered.0 = None;
    let mut answer = as_problem(answer.map_into_boxed_body(), &incoming);

    if let Ok(id) = HeaderValue::from_str(&incoming.id) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    protect(&mut answer, &incoming);
    if upgrades || state.is_some_and(|state| state.shutdown.is_draining()) {
        // actix would close the connection without announcing it, and a client would send another request on it. While
        // stopping, the next request should go to another instance.
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    if incoming.method == Method::HEAD {
        answer = body::size_only(answer);
    }

    let status = answer.status().as_u16();
    let elapsed = started.elapsed();
    let labels = [("method", method), ("route", incoming.route().to_owned()), ("status", status.to_string())];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels[..2]).record(elapsed.as_secs_f64());
    span.in_scope(|| tracing::info!(status, elapsed_us = u64::try_from(elapsed.as_micros()).ok(), "request completed"));
    Ok(answer)
}

/// The method as a label and for the log. Clients can invent any number of others.
fn method_label(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS") => known,
        _ => "other",
    }
}

/// Converts every error to a problem, including those that actix creates itself.
pub(in crate::api) fn as_problem(answer: ServiceResponse<BoxBody>, incoming: &Incoming) -> ServiceResponse<BoxBody> {
    if answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON) {
        return answer;
    }
    let left = answer.response().extensions().get::<Problem>().cloned();
    let problem = left.or_else(|| cors::refusal(&answer, incoming)).or_else(|| match answer.status() {
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
            let mut answer = problem.answer(incoming);
            // Keep the headers of the original response.
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

/// The response of the router for unknown routes. Other unknown paths are rejected earlier, so this is only for paths
/// of the documentation that do not exist.
pub async fn not_served() -> Result<HttpResponse, Problem> {
    Err(Problem::new(ErrorCode::NotFound, "This path does not exist. See /docs for all paths."))
}
