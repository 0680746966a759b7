//! Requests that write. Each is one transaction, from its changes to its stored response. This middleware returns the
//! stored response of an earlier request with the same key, and ends the transaction with the new response.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{HttpMessage, HttpResponse, ResponseError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::api::contract::code::ErrorCode;
use crate::api::contract::json;
use crate::api::contract::problem::{FieldError, Problem};
use crate::api::middleware::authenticate;
use crate::api::middleware::incoming::Incoming;
use crate::api::middleware::observe::as_problem;
use crate::domain::events::ResourceType;
use crate::domain::idempotency::{Answer, Claim, MAX_KEY};
use crate::domain::refusal::ViolationCode;
use crate::ops::Context;
use crate::ops::budget::Taken;
use crate::ops::request::{self, Ended, Ending, Request};
use crate::platform::db;

/// The header that makes a request safe to retry.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header of a stored response.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The response headers that are stored. All others are created again for each response.
const KEPT_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];

/// The field of a response that is shown once and never stored.
const SECRET: &str = "secret";

/// The time limit for writing the records of a request and committing everything.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a request that writes as one transaction.
///
/// # Errors
/// Only the errors of the inner layers: a problem is returned as a response.
pub async fn write(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let incoming = Incoming::of(request.request()).ok();
    let cx = request.extensions().get::<Context>().cloned();
    let operation = incoming.as_ref().and_then(|incoming| incoming.operation());
    let (Some(incoming), Some(operation), Some(mut cx)) = (incoming, operation.filter(|op| op.method != "GET"), cx)
    else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    // The budget for the body is held until the response is known.
    let (claim, refusal, _budget) = match prepare(&mut request, &mut cx, &incoming).await {
        Ok((claim, budget)) => (claim, None, Some(budget)),
        Err(problem) => (None, Some(problem), None),
    };
    let source = incoming.source.map(|address| address.to_string());
    let (id, operation_id) = (incoming.id.clone(), operation.id.clone());
    let write = Arc::new(Request::new(id, operation_id, incoming.resource(), source, claim));
    cx.request = Some(write.clone());
    request.extensions_mut().insert(cx.clone());

    let answer = match refusal {
        Some(problem) => request.into_response(problem.error_response()),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    if let Some(before) = write.answered() {
        return Ok(answer.into_response(replay(before)));
    }
    let code = answer.response().extensions().get::<Problem>().map(|problem| problem.code);
    if code == Some(ErrorCode::IdempotencyInProgress) {
        // The other request is recorded and stored instead.
        return Ok(answer);
    }
    let (http, answer) = as_problem(answer, &incoming).into_parts();
    let ended = finish(&cx, &write, answer, code, operation.writes()).await;
    let answer = match ended {
        Ok(answer) => answer,
        Err(problem) => problem.error_response(),
    };
    Ok(ServiceResponse::new(http, answer))
}

/// Commits a request before its background effects are finished, and stores this response for retries. Later changes
/// are not part of the transaction.
///
/// # Errors
/// It is unknown whether the request was committed.
pub async fn end_early(cx: &Context, answer: HttpResponse) -> Result<(), Problem> {
    let Some(write) = &cx.request else { return Ok(()) };
    finish(cx, write, answer, None, true).await.map(drop)
}

/// Commits a request with its response, and returns the final response: this one, a stored one, or an error if the
/// commit is rejected.
async fn finish(
    cx: &Context,
    write: &Request,
    answer: HttpResponse,
    code: Option<ErrorCode>,
    is_audited: bool,
) -> Result<HttpResponse, Problem> {
    let (head, body) = answer.into_parts();
    let body = to_bytes(body).await.unwrap_or_default();
    let location = head.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    let ending = Ending {
        answer: kept(head.status(), head.headers(), &body),
        code: code.map(|code| code.as_str().to_owned()),
        created: location.and_then(created),
        is_audited,
    };
    // Even if this takes long: errors are recorded, and changes are committed.
    match db::within(FINISH_TIMEOUT, request::finish(cx, write, ending)).await? {
        Ended::AsAnswered => Ok(head.set_body(BoxBody::new(body))),
        Ended::Before(answer) => Ok(replay(&answer)),
        Ended::Refused(error) => {
            let problem = Problem::from(error);
            let (code, answer) = (Some(problem.code), problem.error_response());
            Box::pin(finish(cx, write, answer, code, is_audited)).await
        }
    }
}

/// Reads the body and computes the idempotency claim. The key of the caller may have been revoked while the body
/// arrived, so the caller is authenticated again.
async fn prepare(
    request: &mut ServiceRequest,
    cx: &mut Context,
    incoming: &Incoming,
) -> Result<(Option<Claim>, Taken), Problem> {
    let mut payload = request.take_payload();
    let (body, budget) = json::receive(request.request(), &mut payload, &cx.actor).await?;
    incoming.keep_body(body);
    *cx = authenticate::context(request.request()).await?;
    let Some(key) = key(request)? else { return Ok((None, budget)) };
    let claim = Claim { caller: cx.actor.caller(), key, fingerprint: fingerprint(request, incoming) };
    Ok((Some(claim), budget))
}

/// Returns the `Idempotency-Key` of the request.
fn key(request: &ServiceRequest) -> Result<Option<String>, Problem> {
    if request.method() == Method::DELETE {
        return Ok(None);
    }
    let mut keys = request.headers().get_all(IDEMPOTENCY_KEY);
    let Some(key) = keys.next() else { return Ok(None) };
    let wrong =
        |code, detail: String| Err(Problem::invalid(vec![FieldError::of_parameter("Idempotency-Key", code, detail)]));
    if keys.next().is_some() {
        return wrong(ViolationCode::Duplicate, "There is more than one key. Send only one.".to_owned());
    }
    if key.len() > MAX_KEY {
        return wrong(ViolationCode::TooLong, format!("At most {MAX_KEY} characters are allowed."));
    }
    match key.to_str() {
        Ok(key) if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(key.to_owned())),
        _ => {
            let detail =
                format!("A key has 1 to {MAX_KEY} visible ASCII characters, without spaces. Use a UUID, for example.");
            wrong(ViolationCode::InvalidFormat, detail)
        }
    }
}

/// Computes a fingerprint of everything that defines the request. The same request always has the same fingerprint.
fn fingerprint(request: &ServiceRequest, incoming: &Incoming) -> Vec<u8> {
    let mut hash = Sha256::new();
    let condition = request.headers().get(header::IF_MATCH).map_or(&b""[..], HeaderValue::as_bytes);
    let query = if incoming.query.is_empty() { String::new() } else { format!("?{}", incoming.query) };
    let target = format!("{}{query}", incoming.path);
    for part in [incoming.method.as_str().as_bytes(), target.as_bytes(), condition, &*incoming.body()] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// Returns the resource of a `Location`: `/v1/price-lists/<id>` is a price list.
fn created(location: &str) -> Option<(ResourceType, Uuid)> {
    let (kind, id) = location.strip_prefix("/v1/")?.split_once('/')?;
    let kind = kind.strip_suffix('s')?.replace('-', "_").parse().ok()?;
    Some((kind, id.parse().ok()?))
}

fn kept(status: StatusCode, headers: &header::HeaderMap, body: &Bytes) -> Answer {
    let header = |name: &HeaderName| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned()));
    Answer {
        status: status.as_u16().into(),
        headers: KEPT_HEADERS.iter().filter_map(header).collect(),
        body: without_secret(body),
    }
}

/// Removes the secret, which is shown only once. A retry shows only that there was one.
fn without_secret(body: &Bytes) -> Vec<u8> {
    match serde_json::from_slice::<Value>(body) {
        Ok(mut answer) if answer.get(SECRET).is_some_and(Value::is_string) => {
            answer[SECRET] = Value::Null;
            serde_json::to_vec(&answer).unwrap_or_default()
        }
        _ => body.to_vec(),
    }
}

fn replay(answer: &Answer) -> HttpResponse {
    let status = u16::try_from(answer.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let mut replayed = HttpResponse::build(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    for (name, value) in &answer.headers {
        replayed.insert_header((name.as_str(), value.as_str()));
    }
    replayed.insert_header((REPLAYED, "true"));
    replayed.body(answer.body.clone())
}
