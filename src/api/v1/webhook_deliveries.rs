//! Deliveries to webhook endpoints.

use actix_web::{HttpResponse, get, post, web};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::{ManageWebhooks, Permit};
use crate::api::json::NoBody;
use crate::api::page::{Listing, list, listing};
use crate::api::path::Id;
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::app::AppState;
use crate::domain::event::EventType;
use crate::domain::id::{EventId, WebhookDeliveryId, WebhookEndpointId};
use crate::domain::listing::WebhookDeliveryFilter;
use crate::domain::webhook::delivery::{Attempt, Delivery, DeliveryStatus};
use crate::ops::webhook_deliveries;

/// An event on its way to a webhook endpoint. One that has ended is kept for 30 days.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "next_attempt_at": "2026-01-01T09:30:05Z" }))]
pub struct WebhookDelivery {
    /// Its id.
    pub id: WebhookDeliveryId,
    /// To which endpoint.
    pub webhook_endpoint_id: WebhookEndpointId,
    /// Of which event: its `id`, which is the `webhook-id` of every attempt.
    pub event_id: EventId,
    pub event_type: EventType,
    pub status: DeliveryStatus,
    /// How often it was tried.
    #[schema(minimum = 0, maximum = 2_147_483_647, example = 1)]
    pub attempts: i32,
    #[schema(required)]
    pub last_attempt: Option<WebhookAttempt>,
    /// When it is tried next; null when it is not. While it is being tried, when it would be at the latest.
    #[schema(required)]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Since when it is to be delivered.
    pub created_at: DateTime<Utc>,
}

/// How an attempt to deliver an event ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "http_status": 503 }))]
pub struct WebhookAttempt {
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    #[schema(minimum = 0, maximum = 2_147_483_647, example = 120)]
    pub duration_ms: i32,
    /// The status that the receiver answered; null when it did not.
    #[schema(required, minimum = 0, maximum = 999, example = 204)]
    pub http_status: Option<i32>,
    /// Why it failed, for people; null when it did not.
    #[schema(required, max_length = 200, example = "The receiver responded with 503.")]
    pub error: Option<String>,
}

list!(WebhookDeliveryList of WebhookDelivery);

listing! {
    /// Which deliveries.
    WebhookDeliveryQuery {
        /// In one of these states.
        #[param(max_items = 10)]
        status: Vec<DeliveryStatus>,
        /// Of events of one of these types.
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
/// Sends it one event of type `webhook_endpoint.test` now, also when it is disabled or gets other types, and answers
/// how that went, in 15 seconds at the most. It is not tried again. A tenant can have 4 tests under way at once; another
/// one is rejected with `too_many_concurrent_requests`. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", extensions(("x-errors" = json!(["too_many_concurrent_requests"]))), responses(
    (status = 200, description = "The delivery as it went.", body = WebhookDelivery)
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
/// Those to a webhook endpoint, newest first. Roles: admin and technician.
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
/// Puts a delivery in line again, however it ended; one that waits for another attempt is due now. What is due already
/// comes first. The `webhook-id` is the same as before. A test is not sent again, and nothing is to an endpoint that is
/// disabled. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", extensions(("x-errors" = json!(["invalid_transition"]))), responses(
    (status = 200, description = "The delivery as it is now.", body = WebhookDelivery)
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
