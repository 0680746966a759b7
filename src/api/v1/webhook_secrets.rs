//! What the messages to webhook endpoints are signed with.

use actix_web::{HttpResponse, post};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::webhook_endpoints::WebhookEndpoint;
use crate::api::auth::{ManageWebhooks, Permit};
use crate::api::json::OptionalJson;
use crate::api::path::Id;
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::api::resource::{IfMatch, IfMatchHeader, ok};
use crate::domain::id::WebhookEndpointId;
use crate::domain::secret::DEFAULT_OVERLAP;
use crate::domain::webhook::Endpoint;
use crate::ops::{Context, webhooks};

/// A webhook endpoint with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct WebhookEndpointSecret {
    pub webhook_endpoint: WebhookEndpoint,
    /// What its messages are signed with, as the Standard Webhooks specification has it. Null when this is the answer
    /// to a request that was sent again with its `Idempotency-Key`: rotate the secret to get another.
    #[schema(required, max_length = 100, example = "whsec_c2FtcGxlIHNlY3JldCwgMzIgYnl0ZXMgbG9uZyAuLi4=")]
    pub secret: Option<String>,
}

/// How a secret is replaced; the body may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "overlap_seconds": 3600 }))]
pub struct WebhookSecretRotateRequest {
    /// How long messages are signed with the older secrets, too: up to a week; 0 ends them at once.
    #[schema(nullable = false, minimum = 0, maximum = 604_800, default = json!(DEFAULT_OVERLAP.num_seconds()))]
    pub overlap_seconds: Option<i32>,
}

impl WebhookEndpointSecret {
    pub(super) fn new(endpoint: &Endpoint, cx: &Context) -> Self {
        let secret = Some(endpoint.secrets.current.reveal());
        Self { webhook_endpoint: WebhookEndpoint::for_caller(endpoint, cx), secret }
    }
}

/// Rotate the secret of a webhook endpoint
///
/// The new one is in this answer and nowhere else. For as long as you say, messages have a signature for each of the
/// older ones, too, so that the receiver can be given the new one; none goes on for longer than it would have.
/// Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", params(IfMatchHeader), request_body = WebhookSecretRotateRequest, responses(
    (status = 200, description = "The webhook endpoint as it is now, and its new secret.", body = WebhookEndpointSecret)
))]
#[post("/webhook-endpoints/{webhook_endpoint_id}/rotate-secret")]
pub async fn rotate_webhook_endpoint_secret(
    permit: Permit<ManageWebhooks>,
    id: Id<WebhookEndpointId>,
    _: NoQuery,
    expected: IfMatch,
    body: OptionalJson<WebhookSecretRotateRequest>,
) -> Result<HttpResponse, Problem> {
    let overlap = body.0.overlap_seconds.map_or(DEFAULT_OVERLAP, |seconds| TimeDelta::seconds(seconds.into()));
    let endpoint = webhooks::rotate(&permit.cx, id.0, &expected.0, overlap).await?;
    Ok(ok(endpoint.version, WebhookEndpointSecret::new(&endpoint, &permit.cx)))
}
