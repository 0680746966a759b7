//! The event feed.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, get, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use uuid::Uuid;

use crate::api::contract::problem::Problem;
use crate::api::contract::query::Query;
use crate::api::middleware::authenticate::{self, Permit, Read};
use crate::api::state::AppState;
use crate::domain::events as event;
use crate::domain::events::{EventType, ResourceType};
use crate::domain::id::{EventId, Version};
use crate::domain::limits::budget::Resource;
use crate::domain::text::Code;
use crate::ops;
use crate::ops::events::{self, After};

const DEFAULT_LIMIT: i64 = 50;

/// The value of `after` for the end of the feed.
const LATEST: &str = "latest";

/// A change of a resource.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "inventory.low",
    "certificate_type": "ov-single",
    "resource": { "type": "inventory", "id": "01990000-0000-7000-8000-000000000000", "version": 2 },
    "data": {
        "subscription_id": "01990000-0000-7000-8000-000000000000",
        "as_of": null,
        "data": [{
            "certificate_type": "ov-single",
            "current": { "quantity": 20, "used": 16, "available": 4, "overage": 0 },
            "renewal": { "quantity": null, "effective_quantity": 20 },
            "low_threshold": 5
        }]
    }
}))]
pub struct Event {
    /// The id of the event. It is the same in the feed and in all deliveries.
    pub id: EventId,
    /// The position in this feed. Later events have greater positions. Positions have gaps, and cannot be compared with
    /// another tenant's feed. Null for `webhook_endpoint.test`, which is not in the feed.
    #[schema(required, minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 42)]
    pub sequence: Option<i64>,
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The certificate type of an `inventory.low` or `inventory.exhausted` event; null for all other events.
    #[schema(required)]
    pub certificate_type: Option<Code>,
    /// When the change happened. For a scheduled transition, this is the midnight at which it was due.
    pub occurred_at: DateTime<Utc>,
    pub resource: EventResource,
    pub data: EventData,
    /// Who made the change: `api_key:<id>`, `subject:<subject>` or `system`.
    #[schema(max_length = 300, example = "api_key:01990000-0000-7000-8000-000000000000")]
    pub actor: String,
    /// The request that made the change; null for scheduled transitions.
    #[schema(required, max_length = 128, example = "01990000-0000-7000-8000-000000000000")]
    pub request_id: Option<String>,
}

/// The resource of an event.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct EventResource {
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// The id of the resource.
    pub id: Uuid,
    /// The version after the change; null for resources without versions. An inventory has the id and version of its
    /// subscription.
    #[schema(required)]
    pub version: Option<Version>,
}

/// The resource after the change, as its GET returns it to an administrator of the provider.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct EventData(pub Map<String, Value>);

impl PartialSchema for EventData {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some(
                "The resource after the change, as its GET returns it to an administrator of the provider. Decode \
                 it by `resource.type`. `customer.released` contains the customer as it was before.",
            ))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .into()
    }
}

impl ToSchema for EventData {}

/// A part of the event feed.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventFeed {
    /// The events, oldest first.
    #[schema(max_items = 200)]
    pub data: Vec<Event>,
    /// Send this as `after` to continue. Always present, even if there are no events.
    #[schema(max_length = 64, example = "42")]
    pub next_after: String,
}

/// The part of the feed to return, and how long to wait for events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Return the events after this position: `next_after` of a response, or `latest` for new events only. If omitted,
    /// the feed starts at the beginning.
    #[serde(default)]
    #[param(min_length = 1, max_length = 64, nullable = false)]
    after: Option<String>,
    /// Only events of these types.
    #[serde(default)]
    #[param(max_items = 100)]
    types: Vec<EventType>,
    /// If there are no events, wait up to this number of seconds.
    #[serde(default)]
    #[param(minimum = 0, maximum = 30, default = 0, nullable = false)]
    wait: Option<i32>,
    /// The maximum number of events.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200, default = 50, nullable = false)]
    limit: Option<i64>,
}

impl Event {
    pub(super) fn new(event: event::Event) -> Self {
        let data = match event.data {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Self {
            id: event.id,
            sequence: event.sequence,
            kind: event.kind,
            certificate_type: event.certificate_type,
            occurred_at: event.occurred_at,
            resource: EventResource {
                kind: event.resource.kind,
                id: event.resource.id,
                version: event.resource.version,
            },
            data: EventData(data),
            actor: event.actor,
            request_id: event.request_id,
        }
    }
}

/// List events
///
/// Returns the events of the tenant, oldest first. Each event appears exactly once, and never before an event that was
/// already returned. To follow the feed, send `next_after` as `after`, together with `wait`: the response is sent as
/// soon as there is an event.
#[utoipa::path(tag = "Events", params(EventQuery), extensions(("x-errors" = json!(["cursor_invalid"]))), responses(
    (status = 200, description = "A part of the feed.", body = EventFeed)
))]
#[get("/events")]
pub async fn list_events(
    permit: Permit<Read>,
    request: HttpRequest,
    state: web::Data<AppState>,
    query: Query<EventQuery>,
) -> Result<HttpResponse, Problem> {
    let EventQuery { after, types, wait, limit } = query.value;
    let after = match after.as_deref() {
        None => After::Place(0),
        Some(LATEST) => After::Latest,
        Some(place) => {
            After::Place(place.parse().ok().filter(|place: &i64| *place >= 0).ok_or(ops::Error::UnknownPlace)?)
        }
    };
    // Always respond in time, even if the request has little time left. A response without events is valid.
    let wait = Duration::from_secs(wait.unwrap_or(0).unsigned_abs().into()).min(state.answer_timeout / 2);
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let _place = match wait {
        Duration::ZERO => None,
        _ => Some(state.budgets.take(&permit.cx.actor, Resource::Waits, 1)?),
    };
    let feed = events::list(&permit.cx, types, after, limit, wait, &state.lookout, &state.shutdown).await?;
    if !wait.is_zero() {
        // The key may have been revoked during the wait.
        authenticate::context(&request).await?;
    }
    let data = feed.events.into_iter().map(Event::new).collect();
    Ok(HttpResponse::Ok().json(EventFeed { data, next_after: feed.after.to_string() }))
}
