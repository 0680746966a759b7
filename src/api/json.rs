//! Request bodies.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use utoipa::ToSchema;

use super::code::ErrorCode;
use super::problem::{FieldError, Problem};
use super::schema;
use crate::app::AppState;
use crate::domain::refusal::{Violation, ViolationCode};

/// The most bytes of a body.
pub const MAX_BODY: usize = 1 << 20;

/// For a body to arrive, so that slow clients do not pile up.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body that is valid by the document's schema of `T`.
pub struct Json<T>(pub T);

/// A body that may be left out.
pub struct OptionalJson<T>(pub T);

/// No body; an empty object will do, as some clients send one with every POST.
pub struct NoBody;

impl<T: DeserializeOwned + ToSchema + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(request, payload);
        Box::pin(async move {
            let body = body
                .await?
                .ok_or_else(|| Problem::new(ErrorCode::MalformedRequest, "The body is empty; send a JSON object."))?;
            valid(body).map(Self)
        })
    }
}

impl<T: DeserializeOwned + ToSchema + Default + 'static> FromRequest for OptionalJson<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(request, payload);
        Box::pin(async move { body.await?.map_or_else(|| Ok(T::default()), valid).map(Self) })
    }
}

impl FromRequest for NoBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read(request, payload);
        Box::pin(async move {
            let unknown = |pointer| {
                let detail = "This operation takes no body; leave it out.";
                FieldError::at(Violation::new(pointer, ViolationCode::UnknownField, detail))
            };
            match body.await? {
                None => Ok(Self),
                Some(Value::Object(fields)) if fields.is_empty() => Ok(Self),
                Some(Value::Object(fields)) => {
                    let names = fields.keys().take(schema::MAX_PROBLEMS).map(|field| schema::quoted(field));
                    Err(Problem::invalid(names.map(|name| unknown(format!("/{name}"))).collect()))
                }
                Some(_) => Err(Problem::invalid(vec![unknown(String::new())])),
            }
        })
    }
}

fn valid<T: DeserializeOwned + ToSchema>(body: Value) -> Result<T, Problem> {
    let violations = schema::violations(&T::name(), &body);
    if !violations.is_empty() {
        return Err(Problem::invalid(violations.into_iter().map(FieldError::at).collect()));
    }
    serde_json::from_value(body).map_err(|error| {
        let violation = Violation::new("", ViolationCode::InvalidFormat, error.to_string());
        Problem::invalid(vec![FieldError::at(violation)])
    })
}

/// The body as it came.
pub(super) fn bytes(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<web::Bytes, Problem>> + use<> {
    let in_all = request.app_data::<web::Data<AppState>>().map_or(BODY_TIMEOUT, |state| state.answer_timeout);
    let timeout = BODY_TIMEOUT.min(in_all);
    let bytes = web::Bytes::from_request(request, payload);
    async move {
        let late = |_| Problem::new(ErrorCode::MalformedRequest, "The body did not arrive in time; send it again.");
        tokio::time::timeout(timeout, bytes).await.map_err(late)?.map_err(|error| {
            match error.as_response_error().status_code() {
                status if status == ErrorCode::PayloadTooLarge.status() => Problem::of(ErrorCode::PayloadTooLarge),
                _ => Problem::new(ErrorCode::MalformedRequest, "The body did not arrive whole; send it again."),
            }
        })
    }
}

/// The body as JSON; `None` when there is none.
fn read(request: &HttpRequest, payload: &mut Payload) -> impl Future<Output = Result<Option<Value>, Problem>> + use<> {
    let is_json = is_json(request);
    let bytes = bytes(request, payload);
    async move {
        let bytes = bytes.await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if !is_json {
            return Err(Problem::of(ErrorCode::UnsupportedMediaType));
        }
        parse(&bytes)
            .map(Some)
            .map_err(|error| Problem::new(ErrorCode::MalformedRequest, format!("The body is not valid JSON: {error}.")))
    }
}

fn is_json(request: &HttpRequest) -> bool {
    let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = declared.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
        || (request.method() == "PATCH" && essence.eq_ignore_ascii_case("application/merge-patch+json"))
}

/// The UTF-8 byte order mark, which some editors and platforms put in front of a text (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Parses JSON, with or without a byte order mark in front. An object with the same key twice is an error, because
/// nobody can say which of the two values was meant.
fn parse(bytes: &[u8]) -> serde_json::Result<Value> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    /// `1.0` is an integer to JSON Schema, and so it is here.
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        #[allow(clippy::cast_possible_truncation, reason = "it has no fraction and is small enough")]
        Ok(if value.fract() == 0.0 && value.abs() <= EXACT {
            Value::from(value as i64)
        } else {
            Number::from_f64(value).map_or(Value::Null, Value::Number)
        })
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(Strict)?;
            if all.contains_key(&key) {
                return Err(de::Error::custom(format!("the field `{}` is there twice", schema::quoted(&key))));
            }
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}
