//! API keys.

use actix_web::{HttpResponse, get, patch, post};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::resellers::Stop;
use super::{ActionRequest, clearable};
use crate::api::auth::{ManageApiKeys, Permit};
use crate::api::json::{Json, OptionalJson};
use crate::api::page::{Listing, list, listing};
use crate::api::path::Id;
use crate::api::problem::{ActionState, Problem, in_query};
use crate::api::query::NoQuery;
use crate::api::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, created, ok};
use crate::domain::access::{Actor, Role};
use crate::domain::api_key::{self, ApiKeyStatus, Details, Rotation, State};
use crate::domain::id::{ApiKeyId, ResellerId, Version};
use crate::domain::listing::ApiKeyFilter;
use crate::domain::secret::{DEFAULT_OVERLAP, Secret};
use crate::domain::text::KeyName;
use crate::ops::Context;
use crate::ops::api_keys::{self, NewApiKey};

/// Lets programs in. Its secret is shown when it is made, and never again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "last_used_at": null,
    "expires_at": "2027-01-01T09:30:00Z",
    "rotated": null,
    "revoked": null,
    "actions": [{ "action": "rotate", "allowed": true }, { "action": "revoke", "allowed": true }]
}))]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: KeyName,
    pub role: Role,
    /// The reseller whose key it is; null for the partner's own.
    #[schema(required)]
    pub partner_id: Option<ResellerId>,
    pub status: ApiKeyStatus,
    /// How its secret starts; null where nobody took a note.
    #[schema(required, max_length = 20, example = "ppk_Jm5x")]
    pub prefix: Option<String>,
    /// How its secret ends; null where nobody took a note.
    #[schema(required, max_length = 4, example = "x7Qk")]
    pub last_four: Option<String>,
    /// When it was last used, to the minute; null until it is. It is known some seconds later, and does not move
    /// the version.
    #[schema(required)]
    pub last_used_at: Option<DateTime<Utc>>,
    /// From when on it is refused; null for never.
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub rotated: Option<ApiKeyRotation>,
    #[schema(required)]
    pub revoked: Option<Stop>,
    /// Who made it: `api_key:<id>`, `subject:<subject>` or `system`.
    #[schema(max_length = 300, example = "api_key:01990000-0000-7000-8000-000000000000")]
    pub created_by: String,
    /// What may be done next, and why not the rest.
    #[schema(max_items = 100)]
    pub actions: Vec<ActionState>,
    /// Its version.
    pub version: Version,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// When the secret of a key was last replaced, and what became of the one of before.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "previous_ends_at": "2026-01-02T09:30:00Z" }))]
pub struct ApiKeyRotation {
    /// When it was replaced.
    pub at: DateTime<Utc>,
    /// How the secret of before ends; null where nobody took a note.
    #[schema(required, max_length = 4, example = "b2Lw")]
    pub previous_last_four: Option<String>,
    /// From when on the secret of before is refused.
    pub previous_ends_at: DateTime<Utc>,
}

/// A key with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct ApiKeySecret {
    pub api_key: ApiKey,
    /// What to send as `Authorization: Bearer <secret>`. Keep it; the service does not. Null in an answer that is given
    /// again to a retry: rotate the key to get another.
    #[schema(required, max_length = 100, example = "ppk_Jm5xSAMPLEsampleSAMPLEsampleSAMPLEsamplx7Qk")]
    pub secret: Option<String>,
}

/// A new API key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Billing system", "role": "billing" }))]
pub struct ApiKeyCreate {
    /// What it is for.
    pub name: KeyName,
    pub role: Role,
    /// The reseller whose key it is. Left out: the partner's own, or with a reseller's key that reseller's.
    #[schema(nullable = false)]
    pub partner_id: Option<ResellerId>,
    /// From when on it is refused; later than now, by ten years at most. Left out: never.
    #[schema(nullable = false)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Changes of an API key: a merge patch (RFC 7396). What is left out stays, null clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Billing system, Antwerp", "expires_at": null }))]
pub struct ApiKeyPatch {
    /// What it is for.
    #[schema(nullable = false)]
    pub name: Option<KeyName>,
    /// From when on it is refused; later than now, by ten years at most. Null: never.
    #[serde(default, deserialize_with = "clearable")]
    pub expires_at: Option<Option<DateTime<Utc>>>,
}

/// How the secret of an API key is replaced; the body may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "overlap_seconds": 3600 }))]
pub struct ApiKeyRotateRequest {
    /// How long the secret of before goes on: up to a week; 0 ends it at once.
    #[schema(nullable = false, minimum = 0, maximum = 604_800, default = json!(DEFAULT_OVERLAP.num_seconds()))]
    pub overlap_seconds: Option<i32>,
}

list!(ApiKeyList of ApiKey);

listing! {
    /// Which API keys.
    ApiKeyQuery {
        /// In one of these states.
        #[param(max_items = 10)]
        status: Vec<ApiKeyStatus>,
        /// With one of these roles.
        #[param(max_items = 10)]
        role: Vec<Role>,
        /// Of this reseller.
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
/// Newest first, without their secrets. A reseller's keys see those of its own. Role: admin.
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
/// It works at once. Its secret is in this answer and nowhere else. Nobody makes a key that can do more than their
/// own. A tenant has up to 50 live keys. Role: admin.
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
/// With what may be done next. Role: admin.
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
/// A merge patch. An expired key works again with another end, a revoked one is not edited. Role: admin.
#[utoipa::path(
    tag = "API keys",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["invalid_transition"]))),
    responses((status = 200, description = "The key as it is now.", body = ApiKey))
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
/// It gets another secret, which is in this answer and nowhere else, and keeps its id. The secret of before goes on
/// for as long as you say, so that programs can be given the new one. Two work at the most: rotate again, and what
/// was left of the one before that is over at once. So send `If-Match`. With `overlap_seconds: 0` do not rotate the key
/// that you send: if the answer is lost, no secret of it works any more, and a retry is 401. Role: admin.
#[utoipa::path(
    tag = "API keys",
    params(IfMatchHeader),
    request_body = ApiKeyRotateRequest,
    extensions(("x-errors" = json!(["invalid_transition"]))),
    responses((status = 200, description = "The key as it is now, and its new secret.", body = ApiKeySecret))
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
/// For good, all of its secrets: from the next request on it is refused, by other instances of the service within a
/// second. Role: admin.
#[utoipa::path(tag = "API keys", params(IfMatchHeader), request_body = ActionRequest, responses(
    (status = 200, description = "The key as it is now.", body = ApiKey)
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
