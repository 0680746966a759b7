//! Deliveries to webhook endpoints.

use actix_web::{HttpResponse, get, post, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::contract::json::NoBody;
use crate::api::contract::path::Id;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{ManageWebhooks, Permit};
use crate::api::respond::page::{Listing, list, listing};
use crate::api::state::AppState;
use crate::domain::events::EventType;
use crate::domain::id::{EventId, WebhookDeliveryId, WebhookEndpointId};
use crate::domain::webhooks::delivery::{Attempt, Delivery, DeliveryStatus, WebhookDeliveryFilter};
use crate::ops::webhook_deliveries;

/// The delivery of an event to a webhook endpoint. A finished delivery is kept for 30 days.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "next_attempt_at": "2026-01-01T09:30:05Z" }))]
pub struct WebhookDelivery {
    /// The id of the delivery.
    pub id: WebhookDeliveryId,
    /// The webhook endpoint that receives the event.
    pub webhook_endpoint_id: WebhookEndpointId,
    /// The id of the event. It is the `webhook-id` of every attempt.
    pub event_id: EventId,
    pub event_type: EventType,
    pub status: DeliveryStatus,
    /// The number of attempts.
    #[schema(minimum = 0, maximum = 2_147_483_647, example = 1)]
    pub attempts: i32,
    #[schema(required)]
    pub last_attempt: Option<WebhookAttempt>,
    /// The time of the next attempt; null if there will be none. During an attempt: the latest time of the next attempt
    /// if this one is interrupted.
    #[schema(required)]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When the delivery was queued.
    pub created_at: DateTime<Utc>,
}

/// A delivery attempt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "http_status": 503 }))]
pub struct WebhookAttempt {
    /// The start of the attempt.
    pub at: DateTime<Utc>,
    /// The duration in milliseconds.
    #[schema(minimum = 0, maximum = 2_147_483_647, example = 120)]
    pub duration_ms: i32,
    /// The status of the receiver's response; null if there was none.
    #[schema(required, minimum = 0, maximum = 999, example = 204)]
    pub http_status: Option<i32>,
    /// Why the attempt failed, for people; null if it succeeded.
    #[schema(required, max_length = 200, example = "The receiver responded with 503.")]
    pub error: Option<String>,
}

list!(WebhookDeliveryList of WebhookDelivery);

listing! {
    /// Filters of deliveries.
    WebhookDeliveryQuery {
        /// Only deliveries in one of these states.
        #[param(max_items = 10)]
        status: Vec<DeliveryStatus>,
        /// Only deliveries of events of one of these types.
        #[param(max_items = 100)]
        event_type: Vec<EventType>,
    }
}

impl From<Delivery> for WebhookDelivery {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            webhook_endpoint_id: delivery.endpoint_id,
            event_id: delivery.event_id,
            event_type: delivery.event_type,
            status: delivery.status(),
            attempts: delivery.attempts,
            next_attempt_at: delivery.next_attempt_at(),
            last_attempt: delivery.last_attempt.map(WebhookAttempt::from),
            created_at: delivery.created_at,
        }
    }
}

impl From<Attempt> for WebhookAttempt {
    fn from(Attempt { at, duration_ms, http_status, error }: Attempt) -> Self {
        Self { at, duration_ms, http_status, error }
    }
}

/// Test a webhook endpoint
///
/// Sends one event of type `webhook_endpoint.test` now, even if the endpoint is disabled or subscribes to other types,
/// and returns the result after at most 15 seconds. The test is not retried. A tenant can have 4 tests in progress at
/// the same time; another test is rejected with `too_many_concurrent_requests`. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", extensions(("x-errors" = json!(["too_many_concurrent_requests"]))), responses(
    (status = 200, description = "The finished delivery.", body = WebhookDelivery)
))]
#[post("/webhook-endpoints/{webhook_endpoint_id}/test")]
pub async fn test_webhook_endpoint(
    permit: Permit<ManageWebhooks>,
    state: web::Data<AppState>,
    id: Id<WebhookEndpointId>,
    _: NoQuery,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let delivery = webhook_deliveries::test(&permit.cx, &state.courier, &state.budgets, id.0).await?;
    Ok(HttpResponse::Ok().json(WebhookDelivery::from(delivery)))
}

/// List deliveries
///
/// Returns the deliveries to a webhook endpoint, newest first. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", params(WebhookDeliveryQuery), responses(
    (status = 200, description = "A page of deliveries.", body = WebhookDeliveryList)
))]
#[get("/webhook-endpoints/{webhook_endpoint_id}/deliveries")]
pub async fn list_webhook_deliveries(
    permit: Permit<ManageWebhooks>,
    id: Id<WebhookEndpointId>,
    listing: Listing<WebhookDeliveryQuery>,
) -> Result<HttpResponse, Problem> {
    let query = &listing.filter;
    let filter = WebhookDeliveryFilter { status: query.status.clone(), event_type: query.event_type.clone() };
    let page = webhook_deliveries::list(&permit.cx, id.0, &filter, &listing.window).await?;
    let page = page.map(WebhookDelivery::from);
    Ok(listing.answer(page, |data, next_cursor| WebhookDeliveryList { data, next_cursor }))
}

/// Deliver again
///
/// Queues the delivery again, whatever its state. A pending delivery becomes due now, after the deliveries that are
/// already due. The `webhook-id` stays the same. Rejected for tests, and while the endpoint is disabled. Roles: admin
/// and technician.
#[utoipa::path(tag = "Webhooks", extensions(("x-errors" = json!(["invalid_transition"]))), responses(
    (status = 200, description = "The updated delivery.", body = WebhookDelivery)
))]
#[post("/webhook-deliveries/{webhook_delivery_id}/redeliver")]
pub async fn redeliver_webhook_delivery(
    permit: Permit<ManageWebhooks>,
    id: Id<WebhookDeliveryId>,
    _: NoQuery,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let delivery = webhook_deliveries::redeliver(&permit.cx, id.0).await?;
    Ok(HttpResponse::Ok().json(WebhookDelivery::from(delivery)))
}
