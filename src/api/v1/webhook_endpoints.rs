//! Webhook endpoints.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::resellers::Stop;
use super::webhook_secrets::WebhookEndpointSecret;
use super::{ActionRequest, clearable};
use crate::api::contract::json::{Json, NoBody, OptionalJson};
use crate::api::contract::path::Id;
use crate::api::contract::problem::{ActionState, Problem, in_query};
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{ManageWebhooks, Permit};
use crate::api::respond::page::{Listing, list, listing};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, created, ok};
use crate::api::state::AppState;
use crate::domain::authorization::Actor;
use crate::domain::events::EventType;
use crate::domain::id::{ResellerId, Version, WebhookEndpointId};
use crate::domain::text::{Line, WebhookUrl};
use crate::domain::webhooks::{Command, Details, Endpoint, State, WebhookEndpointFilter, WebhookEndpointStatus};
use crate::ops::{Context, webhooks};

/// A URL that the events of a tenant's feed are sent to, starting with the events after its creation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "description": "Keeps the CRM up to date",
    "disabled": null,
    "failing_since": null,
    "older_secrets_end_at": null,
    "actions": [{ "action": "disable", "allowed": true }, { "action": "test", "allowed": true }]
}))]
pub struct WebhookEndpoint {
    /// The id of the webhook endpoint.
    pub id: WebhookEndpointId,
    /// The reseller that the endpoint belongs to; null for an endpoint of the provider.
    #[schema(required)]
    pub partner_id: Option<ResellerId>,
    /// The URL that events are sent to. It is not secret: events contain it.
    pub url: WebhookUrl,
    /// The purpose of the endpoint.
    #[schema(required)]
    pub description: Option<Line>,
    /// The types of events to send; all types if empty.
    #[schema(max_items = 100)]
    pub event_types: Vec<EventType>,
    pub status: WebhookEndpointStatus,
    #[schema(required)]
    pub disabled: Option<Stop>,
    /// Since when all deliveries fail, not counting time without any attempts; null if the last delivery succeeded. It
    /// changes without a new version.
    #[schema(required)]
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when messages are also signed with older secrets; null if they are not. It becomes null without a new
    /// version.
    #[schema(required)]
    pub older_secrets_end_at: Option<DateTime<Utc>>,
    /// All actions, and whether each is allowed now.
    #[schema(max_items = 100)]
    pub actions: Vec<ActionState>,
    /// The version, as in `ETag`.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A new webhook endpoint.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "url": "https://receiver.example.com/hooks",
    "description": "Keeps the CRM up to date",
    "event_types": ["subscription.created", "subscription.suspended"]
}))]
pub struct WebhookEndpointCreate {
    /// The URL that events are sent to: https, with a public host, without user and password. Do not put a secret into
    /// it.
    pub url: WebhookUrl,
    /// The purpose of the endpoint.
    #[schema(nullable = false)]
    pub description: Option<Line>,
    /// The types of events to send; all types if empty or omitted.
    #[schema(nullable = false, max_items = 100)]
    pub event_types: Option<Vec<EventType>>,
}

/// Changes of a webhook endpoint: a merge patch (RFC 7396). Omitted fields stay unchanged, null clears a field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "description": null, "event_types": [] }))]
pub struct WebhookEndpointPatch {
    /// The URL that events are sent to. Queued deliveries are sent there, too.
    #[schema(nullable = false)]
    pub url: Option<WebhookUrl>,
    /// The purpose of the endpoint.
    #[serde(default, deserialize_with = "clearable")]
    pub description: Option<Option<Line>>,
    /// The types of events to send; all types if empty. Deliveries that are already queued are still sent.
    #[schema(nullable = false, max_items = 100)]
    pub event_types: Option<Vec<EventType>>,
}

list!(WebhookEndpointList of WebhookEndpoint);

listing! {
    /// Filters of webhook endpoints.
    WebhookEndpointQuery {
        /// Only endpoints in one of these states.
        #[param(max_items = 10)]
        status: Vec<WebhookEndpointStatus>,
        /// Only endpoints of this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
    }
}

impl WebhookEndpoint {
    pub(super) fn for_caller(endpoint: &Endpoint, cx: &Context) -> Self {
        Self::new(endpoint, &cx.actor, cx.clock.machine())
    }

    /// The response for an actor. `now` is the real time, which a sandbox does not change.
    pub(super) fn new(endpoint: &Endpoint, actor: &Actor, now: DateTime<Utc>) -> Self {
        let Details { url, description, event_types } = endpoint.details.clone();
        Self {
            id: endpoint.id,
            partner_id: endpoint.partner_id,
            url,
            description,
            event_types,
            status: endpoint.status(),
            disabled: match &endpoint.state {
                State::Enabled => None,
                State::Disabled { at, reason } => Some(Stop { at: *at, reason: reason.clone() }),
            },
            failing_since: endpoint.failing.map(|failing| failing.since),
            older_secrets_end_at: endpoint.secrets.previous_end(now),
            actions: actor.offers(endpoint.possibilities()).iter().map(ActionState::from).collect(),
            version: endpoint.version,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

impl From<WebhookEndpointCreate> for Details {
    fn from(new: WebhookEndpointCreate) -> Self {
        let WebhookEndpointCreate { url, description, event_types } = new;
        Self { url, description, event_types: event_types.unwrap_or_default() }
    }
}

impl WebhookEndpointPatch {
    fn apply(self, to: Details) -> Details {
        Details {
            url: self.url.unwrap_or(to.url),
            description: self.description.unwrap_or(to.description),
            event_types: self.event_types.unwrap_or(to.event_types),
        }
    }
}

/// List webhook endpoints
///
/// Returns webhook endpoints without their secrets, newest first. A reseller's key sees only its own. Roles: admin and
/// technician.
#[utoipa::path(tag = "Webhooks", params(WebhookEndpointQuery), responses(
    (status = 200, description = "A page of webhook endpoints.", body = WebhookEndpointList)
))]
#[get("/webhook-endpoints")]
pub async fn list_webhook_endpoints(
    permit: Permit<ManageWebhooks>,
    listing: Listing<WebhookEndpointQuery>,
) -> Result<HttpResponse, Problem> {
    let query = &listing.filter;
    let filter = WebhookEndpointFilter { partner_id: query.partner_id, status: query.status.clone() };
    let page = webhooks::list(&permit.cx, &filter, &listing.window).await.map_err(in_query)?;
    let page = page.map(|endpoint| WebhookEndpoint::for_caller(&endpoint, &permit.cx));
    Ok(listing.answer(page, |data, next_cursor| WebhookEndpointList { data, next_cursor }))
}

/// Create a webhook endpoint
///
/// Creates an endpoint for the tenant of the key. It receives the events from now on. The body of a message is an event
/// as in `GET /v1/events`, without its `cursor`, signed according to the Standard Webhooks specification. Any 2xx
/// response within 15 seconds means that the event was delivered. After any other result, including a redirect, the
/// delivery is retried for three days. Each event is delivered at least once, and the order is not guaranteed. The
/// response is the only place where the secret is shown. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", extensions(("x-errors" = json!(["too_many_webhook_endpoints"]))), responses(
    (status = 201, description = "The webhook endpoint and its secret.", body = WebhookEndpointSecret)
))]
#[post("/webhook-endpoints")]
pub async fn create_webhook_endpoint(
    permit: Permit<ManageWebhooks>,
    state: web::Data<AppState>,
    _: NoQuery,
    body: Json<WebhookEndpointCreate>,
) -> Result<HttpResponse, Problem> {
    let endpoint = webhooks::create(&permit.cx, state.courier.addresses(), body.0.into()).await?;
    let location = format!("/v1/webhook-endpoints/{}", endpoint.id);
    Ok(created(&location, Some(endpoint.version), WebhookEndpointSecret::new(&endpoint, &permit.cx)))
}

/// Get a webhook endpoint
///
/// Returns the endpoint without its secret. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", params(IfNoneMatchHeader), responses(
    (status = 200, description = "The webhook endpoint.", body = WebhookEndpoint)
))]
#[get("/webhook-endpoints/{webhook_endpoint_id}")]
pub async fn get_webhook_endpoint(
    permit: Permit<ManageWebhooks>,
    id: Id<WebhookEndpointId>,
    _: NoQuery,
    have: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let endpoint = webhooks::get(&permit.cx, id.0).await?;
    Ok(have.answer(endpoint.version, WebhookEndpoint::for_caller(&endpoint, &permit.cx)))
}

/// Edit a webhook endpoint
///
/// Applies a merge patch. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", params(IfMatchHeader), responses(
    (status = 200, description = "The updated webhook endpoint.", body = WebhookEndpoint)
))]
#[patch("/webhook-endpoints/{webhook_endpoint_id}")]
pub async fn update_webhook_endpoint(
    permit: Permit<ManageWebhooks>,
    state: web::Data<AppState>,
    id: Id<WebhookEndpointId>,
    _: NoQuery,
    expected: IfMatch,
    body: Json<WebhookEndpointPatch>,
) -> Result<HttpResponse, Problem> {
    let edit = |details| body.0.apply(details);
    let endpoint = webhooks::update(&permit.cx, state.courier.addresses(), id.0, &expected.0, edit).await?;
    Ok(ok(endpoint.version, WebhookEndpoint::for_caller(&endpoint, &permit.cx)))
}

/// Delete a webhook endpoint
///
/// Deletes the endpoint with its deliveries. Queued deliveries are not sent. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", params(IfMatchHeader), responses(
    (status = 204, description = "The webhook endpoint was deleted.")
))]
#[delete("/webhook-endpoints/{webhook_endpoint_id}")]
pub async fn delete_webhook_endpoint(
    permit: Permit<ManageWebhooks>,
    id: Id<WebhookEndpointId>,
    _: NoQuery,
    expected: IfMatch,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    webhooks::delete(&permit.cx, id.0, &expected.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Disable a webhook endpoint
///
/// Disables the endpoint. No events are sent, but they are queued until it is enabled. An endpoint is also disabled
/// automatically: after three days without a successful delivery, or immediately on 410 Gone. Roles: admin and
/// technician.
#[utoipa::path(tag = "Webhooks", params(IfMatchHeader), request_body = ActionRequest, responses(
    (status = 200, description = "The updated webhook endpoint.", body = WebhookEndpoint)
))]
#[post("/webhook-endpoints/{webhook_endpoint_id}/disable")]
pub async fn disable_webhook_endpoint(
    permit: Permit<ManageWebhooks>,
    id: Id<WebhookEndpointId>,
    _: NoQuery,
    expected: IfMatch,
    body: OptionalJson<ActionRequest>,
) -> Result<HttpResponse, Problem> {
    let command = Command::Disable { reason: body.0.reason };
    let endpoint = webhooks::transition(&permit.cx, id.0, &expected.0, command).await?;
    Ok(ok(endpoint.version, WebhookEndpoint::for_caller(&endpoint, &permit.cx)))
}

/// Enable a webhook endpoint
///
/// Enables the endpoint. Queued deliveries are sent at once, then all events since it was disabled. To start without
/// them, delete the endpoint and create a new one. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", params(IfMatchHeader), responses(
    (status = 200, description = "The updated webhook endpoint.", body = WebhookEndpoint)
))]
#[post("/webhook-endpoints/{webhook_endpoint_id}/enable")]
pub async fn enable_webhook_endpoint(
    permit: Permit<ManageWebhooks>,
    id: Id<WebhookEndpointId>,
    _: NoQuery,
    expected: IfMatch,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let endpoint = webhooks::transition(&permit.cx, id.0, &expected.0, Command::Enable).await?;
    Ok(ok(endpoint.version, WebhookEndpoint::for_caller(&endpoint, &permit.cx)))
}
