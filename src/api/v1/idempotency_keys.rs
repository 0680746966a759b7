//! The state of a request whose response was lost.

use actix_web::{HttpResponse, get};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::audit_entries::ResourceName;
use crate::api::contract::code::ErrorCode;
use crate::api::contract::path::Key;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, Read};
use crate::domain::idempotency::IdempotencyState;
use crate::ops;
use crate::ops::request::{self, Known};

/// A request that you sent with an `Idempotency-Key`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "state": "completed",
    "resource": { "type": "subscription", "id": "01990000-0000-7000-8000-000000000000" },
    "expires_at": "2026-01-02T09:30:00Z"
}))]
pub struct IdempotencyKey {
    /// The key.
    #[schema(min_length = 1, max_length = 255, example = "8e03978e-40d5-43e8-bc93-6894a57f9324")]
    pub key: String,
    pub state: IdempotencyState,
    /// The `operationId` of the request; null while the request is in progress.
    #[schema(required, max_length = 100, example = "suspendSubscription")]
    pub operation: Option<String>,
    /// The HTTP status of the response; null while the request is in progress. If it is 400 or higher, nothing was
    /// done.
    #[schema(required, minimum = 200, maximum = 599, example = 200)]
    pub status: Option<i32>,
    /// The resource that the request created, or the resource in its path.
    #[schema(required)]
    pub resource: Option<ResourceName>,
    /// When the request was completed; null while it is in progress.
    #[schema(required)]
    pub created_at: Option<DateTime<Utc>>,
    /// Until when the response is stored; null while the request is in progress.
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Get an idempotency key
///
/// Returns the state of one of your requests whose response was lost. To get the response itself, send the request
/// again with the same key. 404 means that nothing was done with the key, so it is safe to send the request.
#[utoipa::path(tag = "Trust", responses(
    (status = 200, description = "The state of the request.", body = IdempotencyKey)
))]
#[get("/idempotency-keys/{key}")]
pub async fn get_idempotency_key(permit: Permit<Read>, key: Key, _: NoQuery) -> Result<HttpResponse, Problem> {
    let key = key.0;
    let nothing = "This key was not used in the last 24 hours, so nothing was done. It is safe to send the request.";
    let known = request::known(&permit.cx, &key).await.map_err(|error| match error {
        ops::Error::NotFound(_) => Problem::new(ErrorCode::NotFound, nothing),
        error => error.into(),
    });
    let answer = match known? {
        Known::InProgress => IdempotencyKey {
            key,
            state: IdempotencyState::InProgress,
            operation: None,
            status: None,
            resource: None,
            created_at: None,
            expires_at: None,
        },
        Known::Answered(kept) => IdempotencyKey {
            key,
            state: IdempotencyState::Completed,
            expires_at: Some(kept.expires_at()),
            created_at: Some(kept.created_at),
            status: Some(kept.answer.status),
            resource: kept.resource.map(ResourceName::from),
            operation: Some(kept.operation),
        },
    };
    Ok(HttpResponse::Ok().json(answer))
}
