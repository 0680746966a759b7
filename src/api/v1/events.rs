//! The feed of events.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, get, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use uuid::Uuid;

use crate::api::auth::{self, Permit, Read};
use crate::api::problem::Problem;
use crate::api::query::Query;
use crate::app::AppState;
use crate::domain::budget::Resource;
use crate::domain::event::{self, EventType, ResourceType};
use crate::domain::id::{EventId, Version};
use crate::domain::text::Code;
use crate::ops;
use crate::ops::events::{self, After};

const DEFAULT_LIMIT: i64 = 50;

/// Where the feed is read from its end on.
const LATEST: &str = "latest";

/// That something happened to a resource.
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
    /// Its id; the same wherever and however often it is shown.
    pub id: EventId,
    /// Its place in this feed: of two events the one with the greater is later. It has gaps, and says nothing about
    /// the events of another feed. Null for `webhook_endpoint.test`, which is not in the feed.
    #[schema(required, minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 42)]
    pub sequence: Option<i64>,
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Which type it is that `inventory.low` or `inventory.exhausted` tells of; null for all others.
    #[schema(required)]
    pub certificate_type: Option<Code>,
    /// When; for what time did, the midnight at which it was due.
    pub occurred_at: DateTime<Utc>,
    pub resource: EventResource,
    pub data: EventData,
    /// Who did it: `api_key:<id>`, `subject:<subject>` or `system`.
    #[schema(max_length = 300, example = "api_key:01990000-0000-7000-8000-000000000000")]
    pub actor: String,
    /// In which request; null for what time did.
    #[schema(required, max_length = 128, example = "01990000-0000-7000-8000-000000000000")]
    pub request_id: Option<String>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct EventResource {
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// Its id.
    pub id: Uuid,
    /// Its version since then; null for what has none. An inventory has its subscription's id and version.
    #[schema(required)]
    pub version: Option<Version>,
}

/// The resource as it is since the event, just as its GET shows it to the partner's administrator.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct EventData(pub Map<String, Value>);

impl PartialSchema for EventData {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some(
                "The resource as it is since the event, just as its GET shows it to the partner's administrator: decode \
                 it by `resource.type`. `customer.released` shows the customer as the reseller saw it last.",
            ))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .into()
    }
}

impl ToSchema for EventData {}

/// A part of the feed.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventFeed {
    /// The events, oldest first.
    #[schema(max_items = 200)]
    pub data: Vec<Event>,
    /// Send it as `after` to go on; it is always there, also when there are no events.
    #[schema(max_length = 64, example = "42")]
    pub next_after: String,
}

/// Which events, from where, and how long to wait for them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// From behind here: `next_after` of an answer, or `latest` for what is still to come. From the beginning when left
    /// out.
    #[serde(default)]
    #[param(min_length = 1, max_length = 64, nullable = false)]
    after: Option<String>,
    /// Of these types.
    #[serde(default)]
    #[param(max_items = 100)]
    types: Vec<EventType>,
    /// When there are none, wait up to so many seconds for some.
    #[serde(default)]
    #[param(minimum = 0, maximum = 30, default = 0, nullable = false)]
    wait: Option<i32>,
    /// The most events.
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
/// Everything that happened in the tenant, oldest first: each event once, none left out, and none ever appears before
/// one that was shown. Follow it with `after` = `next_after` and `wait`: the answer comes as soon as there is an event.
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
    // In time for an answer, however little a request has: one without events is an answer, too.
    let wait = Duration::from_secs(wait.unwrap_or(0).unsigned_abs().into()).min(state.answer_timeout / 2);
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let _place = match wait {
        Duration::ZERO => None,
        _ => Some(state.budgets.take(&permit.cx.actor, Resource::Waits, 1)?),
    };
    let feed = events::list(&permit.cx, types, after, limit, wait, &state.lookout, &state.shutdown).await?;
    if !wait.is_zero() {
        // The key may have been revoked while it waited.
        auth::context(&request).await?;
    }
    let data = feed.events.into_iter().map(Event::new).collect();
    Ok(HttpResponse::Ok().json(EventFeed { data, next_after: feed.after.to_string() }))
}
