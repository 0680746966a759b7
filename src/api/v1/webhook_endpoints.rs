//! Webhook endpoints.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::resellers::Stop;
use super::webhook_secrets::WebhookEndpointSecret;
use super::{ActionRequest, clearable};
use crate::api::auth::{ManageWebhooks, Permit};
use crate::api::json::{Json, NoBody, OptionalJson};
use crate::api::page::{Listing, list, listing};
use crate::api::path::Id;
use crate::api::problem::{ActionState, Problem, in_query};
use crate::api::query::NoQuery;
use crate::api::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, created, ok};
use crate::app::AppState;
use crate::domain::access::Actor;
use crate::domain::event::EventType;
use crate::domain::id::{ResellerId, Version, WebhookEndpointId};
use crate::domain::listing::WebhookEndpointFilter;
use crate::domain::text::{Line, WebhookUrl};
use crate::domain::webhook::{Command, Details, Endpoint, State, WebhookEndpointStatus};
use crate::ops::{Context, webhooks};

/// Where events are sent: those that its tenant's feed shows, from when it was created.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "description": "Keeps the CRM up to date",
    "disabled": null,
    "failing_since": null,
    "older_secrets_end_at": null,
    "actions": [{ "action": "disable", "allowed": true }, { "action": "test", "allowed": true }]
}))]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// The reseller whose it is; null for the partner's own.
    #[schema(required)]
    pub partner_id: Option<ResellerId>,
    /// Where events are sent. It is no secret: events tell it.
    pub url: WebhookUrl,
    /// What it is for.
    #[schema(required)]
    pub description: Option<Line>,
    /// Which types of events it gets; all when empty.
    #[schema(max_items = 100)]
    pub event_types: Vec<EventType>,
    pub status: WebhookEndpointStatus,
    #[schema(required)]
    pub disabled: Option<Stop>,
    /// Since when nothing has got there, less the time in which nothing was tried; null when the last that was sent
    /// has. It does not move the version.
    #[schema(required)]
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when messages are signed with older secrets, too; null when they are not, or not any more. That this ends
    /// does not move the version.
    #[schema(required)]
    pub older_secrets_end_at: Option<DateTime<Utc>>,
    /// What may be done next, and why not the rest.
    #[schema(max_items = 100)]
    pub actions: Vec<ActionState>,
    /// Its version.
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
    /// Where events are sent: https, a host on the public internet, no user and no password. Put no secret into it.
    pub url: WebhookUrl,
    /// What it is for.
    #[schema(nullable = false)]
    pub description: Option<Line>,
    /// Which types of events it gets; all when empty or left out.
    #[schema(nullable = false, max_items = 100)]
    pub event_types: Option<Vec<EventType>>,
}

/// Changes of a webhook endpoint: a merge patch (RFC 7396). What is left out stays, null clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "description": null, "event_types": [] }))]
pub struct WebhookEndpointPatch {
    /// Where events are sent. What waits is sent there, too.
    #[schema(nullable = false)]
    pub url: Option<WebhookUrl>,
    /// What it is for.
    #[serde(default, deserialize_with = "clearable")]
    pub description: Option<Option<Line>>,
    /// Which types of events it gets; all when empty. What waits is sent all the same.
    #[schema(nullable = false, max_items = 100)]
    pub event_types: Option<Vec<EventType>>,
}

list!(WebhookEndpointList of WebhookEndpoint);

listing! {
    /// Which webhook endpoints.
    WebhookEndpointQuery {
        /// In one of these states.
        #[param(max_items = 10)]
        status: Vec<WebhookEndpointStatus>,
        /// Of this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
    }
}

impl WebhookEndpoint {
    pub(super) fn for_caller(endpoint: &Endpoint, cx: &Context) -> Self {
        Self::new(endpoint, &cx.actor, cx.clock.machine())
    }

    /// As it is for an actor; `now` is the receivers' time, which a sandbox does not move.
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
/// Newest first, without their secrets. A reseller's keys see its own. Roles: admin and technician.
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
/// For the tenant of the key. It is sent what happens from now on: the body is the event as `GET /v1/events` shows it,
/// without its `cursor`, signed as the Standard Webhooks specification says. Any 2xx within 15 seconds says that it
/// got there; anything else, also a redirect, and it is tried again for three days. An event comes at least once, and
/// not always in order. The secret is in this answer and nowhere else. Roles: admin and technician.
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
/// With what may be done next, without its secret. Roles: admin and technician.
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
/// A merge patch. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", params(IfMatchHeader), responses(
    (status = 200, description = "The webhook endpoint as it is now.", body = WebhookEndpoint)
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
/// With its deliveries; what waits is not sent any more. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", params(IfMatchHeader), responses((status = 204, description = "It is gone.")))]
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
/// It is sent nothing any more; what happens meanwhile waits for it. One that answers 410 Gone is disabled by itself,
/// and one where nothing has got for three days. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", params(IfMatchHeader), request_body = ActionRequest, responses(
    (status = 200, description = "The webhook endpoint as it is now.", body = WebhookEndpoint)
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
/// It goes on from where it stopped: what waits is sent at once, and then everything that has happened since. For a
/// fresh start, delete it and create another. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", params(IfMatchHeader), responses(
    (status = 200, description = "The webhook endpoint as it is now.", body = WebhookEndpoint)
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
