//! API keys.

use actix_web::{HttpResponse, get, patch, post};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::resellers::Stop;
use super::{ActionRequest, clearable};
use crate::api::contract::json::{Json, OptionalJson};
use crate::api::contract::path::Id;
use crate::api::contract::problem::{ActionState, Problem, in_query};
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{ManageApiKeys, Permit};
use crate::api::respond::page::{Listing, list, listing};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, created, ok};
use crate::domain::authorization::{Actor, Role};
use crate::domain::credentials::api_key::{self, ApiKeyFilter, ApiKeyStatus, Details, Rotation, State};
use crate::domain::credentials::secret::{DEFAULT_OVERLAP, Secret};
use crate::domain::id::{ApiKeyId, ResellerId, Version};
use crate::domain::text::KeyName;
use crate::ops::Context;
use crate::ops::api_keys::{self, NewApiKey};

/// An API key. Its secret is shown only once, when it is created or rotated.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "last_used_at": null,
    "expires_at": "2027-01-01T09:30:00Z",
    "rotated": null,
    "revoked": null,
    "actions": [{ "action": "rotate", "allowed": true }, { "action": "revoke", "allowed": true }]
}))]
pub struct ApiKey {
    /// The id of the key. This is not the secret.
    pub id: ApiKeyId,
    /// The purpose of the key.
    pub name: KeyName,
    pub role: Role,
    /// The reseller that the key belongs to; null for a key of the provider.
    #[schema(required)]
    pub partner_id: Option<ResellerId>,
    pub status: ApiKeyStatus,
    /// The first characters of the secret; null if they were not stored.
    #[schema(required, max_length = 20, example = "ppk_Jm5x")]
    pub prefix: Option<String>,
    /// The last characters of the secret; null if they were not stored.
    #[schema(required, max_length = 4, example = "x7Qk")]
    pub last_four: Option<String>,
    /// When the key was last used, with a precision of one minute; null if it was never used. Updated some seconds
    /// after the use, without a new version.
    #[schema(required)]
    pub last_used_at: Option<DateTime<Utc>>,
    /// When the key expires. An API key without an expiry date never expires.
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub rotated: Option<ApiKeyRotation>,
    #[schema(required)]
    pub revoked: Option<Stop>,
    /// Who created the key: `api_key:<id>`, `subject:<subject>` or `system`.
    #[schema(max_length = 300, example = "api_key:01990000-0000-7000-8000-000000000000")]
    pub created_by: String,
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

/// The last rotation of the secret of a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "previous_ends_at": "2026-01-02T09:30:00Z" }))]
pub struct ApiKeyRotation {
    /// When the secret was replaced.
    pub at: DateTime<Utc>,
    /// The last characters of the previous secret; null if they were not stored.
    #[schema(required, max_length = 4, example = "b2Lw")]
    pub previous_last_four: Option<String>,
    /// When the previous secret becomes invalid.
    pub previous_ends_at: DateTime<Utc>,
}

/// A key with its secret. The secret is shown only once.
#[derive(Serialize, ToSchema)]
pub struct ApiKeySecret {
    pub api_key: ApiKey,
    /// The secret. Send it as `Authorization: Bearer <secret>`. Store it: the service does not. Null if this response
    /// is repeated for a retry. Rotate the key to get a new secret.
    #[schema(required, max_length = 100, example = "ppk_Jm5xSAMPLEsampleSAMPLEsampleSAMPLEsamplx7Qk")]
    pub secret: Option<String>,
}

/// A new API key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Billing system", "role": "billing" }))]
pub struct ApiKeyCreate {
    /// The purpose of the key.
    pub name: KeyName,
    pub role: Role,
    /// The reseller that the key belongs to. If omitted: the reseller of the calling key, or the provider.
    #[schema(nullable = false)]
    pub partner_id: Option<ResellerId>,
    /// When the key expires: in the future, at most ten years ahead. If omitted, the key never expires.
    #[schema(nullable = false)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Changes of an API key: a merge patch (RFC 7396). Omitted fields stay unchanged, null clears a field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Billing system, Antwerp", "expires_at": null }))]
pub struct ApiKeyPatch {
    /// The purpose of the key.
    #[schema(nullable = false)]
    pub name: Option<KeyName>,
    /// When the key expires: in the future, at most ten years ahead. Null: never.
    #[serde(default, deserialize_with = "clearable")]
    pub expires_at: Option<Option<DateTime<Utc>>>,
}

/// How to rotate the secret of an API key. The body can be omitted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "overlap_seconds": 3600 }))]
pub struct ApiKeyRotateRequest {
    /// How long the previous secret stays valid: up to a week. 0 makes it invalid at once.
    #[schema(nullable = false, minimum = 0, maximum = 604_800, default = json!(DEFAULT_OVERLAP.num_seconds()))]
    pub overlap_seconds: Option<i32>,
}

list!(ApiKeyList of ApiKey);

listing! {
    /// Filters of API keys.
    ApiKeyQuery {
        /// Only keys in one of these states.
        #[param(max_items = 10)]
        status: Vec<ApiKeyStatus>,
        /// Only keys with one of these roles.
        #[param(max_items = 10)]
        role: Vec<Role>,
        /// Only keys of this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
    }
}

impl ApiKey {
    fn for_caller(key: &api_key::ApiKey, cx: &Context) -> Self {
        Self::new(key, &cx.actor, cx.at)
    }

    pub(super) fn new(key: &api_key::ApiKey, actor: &Actor, at: DateTime<Utc>) -> Self {
        let hint = key.secret.hint.as_ref();
        Self {
            id: key.id,
            name: key.details.name.clone(),
            role: key.role,
            partner_id: key.partner_id,
            status: key.status(at),
            prefix: hint.map(|hint| hint.prefix.clone()),
            last_four: hint.map(|hint| hint.last_four.clone()),
            last_used_at: key.last_used_at,
            expires_at: key.details.expires_at,
            rotated: key.rotated.as_ref().map(ApiKeyRotation::from),
            revoked: match &key.state {
                State::Open => None,
                State::Revoked { at, reason } => Some(Stop { at: *at, reason: reason.clone() }),
            },
            created_by: key.created_by.clone(),
            actions: actor.offers(key.possibilities(at)).iter().map(ActionState::from).collect(),
            version: key.version,
            created_at: key.created_at,
            updated_at: key.updated_at,
        }
    }
}

impl From<&Rotation> for ApiKeyRotation {
    fn from(rotation: &Rotation) -> Self {
        Self {
            at: rotation.at,
            previous_last_four: rotation.previous_last_four.clone(),
            previous_ends_at: rotation.previous_ends_at,
        }
    }
}

impl ApiKeySecret {
    fn new((key, secret): &(api_key::ApiKey, Secret), cx: &Context) -> Self {
        Self { api_key: ApiKey::for_caller(key, cx), secret: Some(secret.expose_secret().to_owned()) }
    }
}

impl ApiKeyPatch {
    fn apply(self, to: Details) -> Details {
        Details { name: self.name.unwrap_or(to.name), expires_at: self.expires_at.unwrap_or(to.expires_at) }
    }
}

/// List API keys
///
/// Returns API keys without their secrets, newest first. A reseller's key sees only the keys of its reseller. Role:
/// admin.
#[utoipa::path(tag = "API keys", params(ApiKeyQuery), responses(
    (status = 200, description = "A page of keys.", body = ApiKeyList)
))]
#[get("/api-keys")]
pub async fn list_api_keys(
    permit: Permit<ManageApiKeys>,
    listing: Listing<ApiKeyQuery>,
) -> Result<HttpResponse, Problem> {
    let query = &listing.filter;
    let filter = ApiKeyFilter { status: query.status.clone(), role: query.role.clone(), partner_id: query.partner_id };
    let page = api_keys::list(&permit.cx, &filter, &listing.window).await.map_err(in_query)?;
    let page = page.map(|key| ApiKey::for_caller(&key, &permit.cx));
    Ok(listing.answer(page, |data, next_cursor| ApiKeyList { data, next_cursor }))
}

/// Create an API key
///
/// Creates a key that is active at once. The response is the only place where its secret is shown. You cannot grant
/// rights that your own key does not have. A tenant can have 50 live keys. Role: admin.
#[utoipa::path(tag = "API keys", extensions(("x-errors" = json!(["too_many_api_keys"]))), responses(
    (status = 201, description = "The key and its secret.", body = ApiKeySecret)
))]
#[post("/api-keys")]
pub async fn create_api_key(
    permit: Permit<ManageApiKeys>,
    _: NoQuery,
    body: Json<ApiKeyCreate>,
) -> Result<HttpResponse, Problem> {
    let ApiKeyCreate { name, role, partner_id, expires_at } = body.0;
    let made = api_keys::create(&permit.cx, NewApiKey { name, role, partner_id, expires_at }).await?;
    let location = format!("/v1/api-keys/{}", made.0.id);
    Ok(created(&location, Some(made.0.version), ApiKeySecret::new(&made, &permit.cx)))
}

/// Get an API key
///
/// Returns the key without its secret. Role: admin.
#[utoipa::path(tag = "API keys", params(IfNoneMatchHeader), responses(
    (status = 200, description = "The key.", body = ApiKey)
))]
#[get("/api-keys/{api_key_id}")]
pub async fn get_api_key(
    permit: Permit<ManageApiKeys>,
    id: Id<ApiKeyId>,
    _: NoQuery,
    have: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let key = api_keys::get(&permit.cx, id.0).await?;
    Ok(have.answer(key.version, ApiKey::for_caller(&key, &permit.cx)))
}

/// Edit an API key
///
/// Applies a merge patch. A later `expires_at` makes an expired key active again. A revoked key cannot be edited. Role:
/// admin.
#[utoipa::path(
    tag = "API keys",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["invalid_transition"]))),
    responses((status = 200, description = "The updated key.", body = ApiKey))
)]
#[patch("/api-keys/{api_key_id}")]
pub async fn update_api_key(
    permit: Permit<ManageApiKeys>,
    id: Id<ApiKeyId>,
    _: NoQuery,
    expected: IfMatch,
    body: Json<ApiKeyPatch>,
) -> Result<HttpResponse, Problem> {
    let key = api_keys::update(&permit.cx, id.0, &expected.0, |details| body.0.apply(details)).await?;
    Ok(ok(key.version, ApiKey::for_caller(&key, &permit.cx)))
}

/// Rotate an API key
///
/// Replaces the secret of the key. The response is the only place where the new secret is shown; the id stays the same.
/// The previous secret stays valid for `overlap_seconds`, so that you can update your programs. At most two secrets are
/// valid: another rotation makes the older secret invalid at once. So send `If-Match`. Do not rotate the calling key
/// itself with `overlap_seconds: 0`: if the response is lost, no valid secret is left, and a retry returns 401. Role:
/// admin.
#[utoipa::path(
    tag = "API keys",
    params(IfMatchHeader),
    request_body = ApiKeyRotateRequest,
    extensions(("x-errors" = json!(["invalid_transition"]))),
    responses((status = 200, description = "The updated key with its new secret.", body = ApiKeySecret))
)]
#[post("/api-keys/{api_key_id}/rotate")]
pub async fn rotate_api_key(
    permit: Permit<ManageApiKeys>,
    id: Id<ApiKeyId>,
    _: NoQuery,
    expected: IfMatch,
    body: OptionalJson<ApiKeyRotateRequest>,
) -> Result<HttpResponse, Problem> {
    let overlap = body.0.overlap_seconds.map_or(DEFAULT_OVERLAP, |seconds| TimeDelta::seconds(seconds.into()));
    let rotated = api_keys::rotate(&permit.cx, id.0, &expected.0, overlap).await?;
    Ok(ok(rotated.0.version, ApiKeySecret::new(&rotated, &permit.cx)))
}

/// Revoke an API key
///
/// Revokes the key and all its secrets permanently. The next request with the key is rejected. Other instances of the
/// service reject it within a second. Role: admin.
#[utoipa::path(tag = "API keys", params(IfMatchHeader), request_body = ActionRequest, responses(
    (status = 200, description = "The updated key.", body = ApiKey)
))]
#[post("/api-keys/{api_key_id}/revoke")]
pub async fn revoke_api_key(
    permit: Permit<ManageApiKeys>,
    id: Id<ApiKeyId>,
    _: NoQuery,
    expected: IfMatch,
    body: OptionalJson<ActionRequest>,
) -> Result<HttpResponse, Problem> {
    let key = api_keys::revoke(&permit.cx, id.0, &expected.0, body.0.reason).await?;
    Ok(ok(key.version, ApiKey::for_caller(&key, &permit.cx)))
}
