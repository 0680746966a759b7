//! The secrets that sign messages to webhook endpoints.

use actix_web::{HttpResponse, post};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::webhook_endpoints::WebhookEndpoint;
use crate::api::contract::json::OptionalJson;
use crate::api::contract::path::Id;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{ManageWebhooks, Permit};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, ok};
use crate::domain::credentials::secret::DEFAULT_OVERLAP;
use crate::domain::id::WebhookEndpointId;
use crate::domain::webhooks::Endpoint;
use crate::ops::{Context, webhooks};

/// A webhook endpoint with its secret. The secret is shown only once.
#[derive(Serialize, ToSchema)]
pub struct WebhookEndpointSecret {
    pub webhook_endpoint: WebhookEndpoint,
    /// The secret that signs messages, in the form of the Standard Webhooks specification. Null if this response is
    /// repeated for a retry with the same `Idempotency-Key`. Rotate the secret to get a new one.
    #[schema(required, max_length = 100, example = "whsec_c2FtcGxlIHNlY3JldCwgMzIgYnl0ZXMgbG9uZyAuLi4=")]
    pub secret: Option<String>,
}

/// How to rotate a secret. The body can be omitted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "overlap_seconds": 3600 }))]
pub struct WebhookSecretRotateRequest {
    /// How long messages are also signed with the older secrets: up to a week. 0 makes them invalid at once.
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
/// Replaces the secret. The response is the only place where the new secret is shown. During the overlap, messages also
/// have a signature for each older secret, so that you can update the receiver. An older secret is never valid for
/// longer than before. Roles: admin and technician.
#[utoipa::path(tag = "Webhooks", params(IfMatchHeader), request_body = WebhookSecretRotateRequest, responses(
    (status = 200, description = "The updated webhook endpoint with its new secret.", body = WebhookEndpointSecret)
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
