//! Request bodies: read once, within the budget of the sender, and checked against the API document.

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{self, Bytes, BytesMut};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::api::contract::body_schema::{self, Checked};
use crate::api::contract::code::ErrorCode;
use crate::api::contract::problem::{FieldError, Problem};
use crate::api::contract::schema;
use crate::api::middleware::incoming::Incoming;
use crate::api::middleware::large::turn;
use crate::api::state::AppState;
use crate::domain::authorization::Actor;
use crate::domain::limits::budget::Resource;
use crate::domain::refusal::{Violation, ViolationCode};
use crate::ops::budget::Taken;

/// The maximum size of a body, in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// Bodies from this size on are checked one after another within a tenant.
const LARGE_BODY: usize = 64 << 10;

/// The time limit for receiving a body, so that slow clients do not accumulate.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body that is valid according to the schema of `T` in the API document.
pub struct Json<T>(pub T);

/// A body that can be omitted.
pub struct OptionalJson<T>(pub T);

/// No body. An empty object is allowed, because some clients send one with every POST.
pub struct NoBody;

impl<T: DeserializeOwned + ToSchema + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        let empty = || Problem::new(ErrorCode::MalformedRequest, "The body is empty. Send a JSON object.");
        async move { read(&request).await?.map(Self).ok_or_else(empty) }.boxed_local()
    }
}

impl<T: DeserializeOwned + ToSchema + Default + 'static> FromRequest for OptionalJson<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        async move { Ok(Self(read(&request).await?.unwrap_or_default())) }.boxed_local()
    }
}

impl FromRequest for NoBody {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(body(request).and_then(|body| body.map_or(Ok(Self), |body| none(&body))))
    }
}

fn none(body: &Bytes) -> Result<NoBody, Problem> {
    let unknown = |pointer| {
        let detail = "This operation takes no body. Omit it.";
        FieldError::at(Violation::new(pointer, ViolationCode::UnknownField, detail))
    };
    match body_schema::check_empty(body).map_err(|error| not_json(&error))?.fields {
        Some(fields) if fields.is_empty() => Ok(NoBody),
        Some(fields) => {
            let names = fields.iter().map(|field| schema::quoted(field));
            Err(Problem::invalid(names.map(|name| unknown(format!("/{name}"))).collect()))
        }
        None => Err(Problem::invalid(vec![unknown(String::new())])),
    }
}

/// Reads and checks the body of a request, if there is one.
async fn read<T: DeserializeOwned + ToSchema>(request: &HttpRequest) -> Result<Option<T>, Problem> {
    let Some(body) = body(request)? else { return Ok(None) };
    let _turn = if body.len() > LARGE_BODY { Some(turn(request).await) } else { None };
    valid(&body).map(Some)
}

fn valid<T: DeserializeOwned + ToSchema>(body: &Bytes) -> Result<T, Problem> {
    let schema = body_schema::named(&T::name()).ok_or_else(|| Problem::of(ErrorCode::Internal))?;
    let checked = schema.check(body).map_err(|error| not_json(&error))?;
    if !checked.violations.is_empty() {
        return Err(invalid(checked));
    }
    body_schema::read(body, &checked).map_err(|error| {
        let violation = Violation::new("", ViolationCode::InvalidFormat, error.to_string());
        Problem::invalid(vec![FieldError::at(violation)])
    })
}

fn invalid(checked: Checked) -> Problem {
    Problem::invalid(checked.violations.into_iter().map(FieldError::at).collect())
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::new(ErrorCode::MalformedRequest, format!("The body is not valid JSON: {error}. Correct it."))
}

/// Receives the body of a request, within the budget of its sender. The budget is held until the response is sent.
///
/// # Errors
/// The body is too large, incomplete or late, or the budget is exhausted.
pub(in crate::api) async fn receive(
    request: &HttpRequest,
    payload: &mut Payload,
    actor: &Actor,
) -> Result<(Bytes, Taken), Problem> {
    let state = request.app_data::<web::Data<AppState>>().ok_or_else(|| Problem::of(ErrorCode::Internal))?;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let announced: u64 = announced.unwrap_or(0);
    if announced > MAX_BODY as u64 {
        return Err(Problem::of(ErrorCode::PayloadTooLarge));
    }
    let mut taken = state.budgets.take(actor, Resource::BodyBytes, announced)?;
    let read = async {
        let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or_default());
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| broken(&error))?;
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Problem::of(ErrorCode::PayloadTooLarge));
            }
            if announced == 0 {
                taken.add(chunk.len() as u64)?;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    let late = |_| Problem::new(ErrorCode::MalformedRequest, "The body did not arrive in time. Retry.");
    let body = tokio::time::timeout(BODY_TIMEOUT.min(state.answer_timeout), read).await.map_err(late)??;
    Ok((body, taken))
}

fn broken(error: &PayloadError) -> Problem {
    tracing::warn!(%error, "request body malformed or incomplete");
    Problem::new(ErrorCode::MalformedRequest, "The body is incomplete, or its framing is malformed. Retry.")
}

/// Returns the body if there is one and its media type is supported.
fn body(request: &HttpRequest) -> Result<Option<Bytes>, Problem> {
    let body = Incoming::of(request)?.body();
    if body.is_empty() {
        return Ok(None);
    }
    let unsupported = |detail: &str| Err(Problem::new(ErrorCode::UnsupportedMediaType, detail));
    let encodings = request.headers().get_all(header::CONTENT_ENCODING);
    if encodings.into_iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return unsupported("The body has a `Content-Encoding`. Send the body uncompressed.");
    }
    let Ok(Some(media_type)) = request.mime_type() else { return Err(Problem::of(ErrorCode::UnsupportedMediaType)) };
    let is_patch = request.method() == "PATCH" && media_type.essence_str() == "application/merge-patch+json";
    if !is_patch && media_type.essence_str() != "application/json" {
        return Err(Problem::of(ErrorCode::UnsupportedMediaType));
    }
    match media_type.get_param("charset") {
        Some(charset) if charset != "utf-8" => unsupported("The charset of the body is not UTF-8. Send UTF-8."),
        _ => Ok(Some(body)),
    }
}
