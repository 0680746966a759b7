//! The audit trail.

use actix_web::{HttpResponse, get};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::api::contract::problem::{Problem, in_query};
use crate::api::middleware::authenticate::{Permit, ReadAudit};
use crate::api::respond::page::{Listing, list, listing};
use crate::domain::authorization::Role;
use crate::domain::events::ResourceType;
use crate::domain::events::audit::{self, AuditFilter, Outcome};
use crate::domain::id::{AuditEntryId, ResellerId};
use crate::ops::audit as trail;

/// An entry of the audit trail: a write, or an attempt to write.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "resource": { "type": "subscription", "id": "01990000-0000-7000-8000-000000000000" },
    "code": null,
    "changes": [{
        "resource": { "type": "subscription", "id": "01990000-0000-7000-8000-000000000000" },
        "before": { "status": "active", "suspended": null, "version": 1 },
        "after": {
            "status": "suspended",
            "suspended": { "at": "2026-01-01T09:30:00Z", "reason": "Invoice overdue" },
            "version": 2
        }
    }]
}))]
pub struct AuditEntry {
    /// The id of the entry.
    pub id: AuditEntryId,
    /// When the request was processed.
    pub occurred_at: DateTime<Utc>,
    /// Who sent the request: `api_key:<id>`, `subject:<subject>`, or `system` for the command line.
    #[schema(max_length = 300, example = "api_key:01990000-0000-7000-8000-000000000000")]
    pub actor: String,
    pub role: Role,
    /// The reseller of the caller; null for the provider.
    #[schema(required)]
    pub partner_id: Option<ResellerId>,
    /// The IP address of the client; null for the command line.
    #[schema(required, max_length = 64, example = "192.0.2.17")]
    pub source_address: Option<String>,
    /// The id of the request.
    #[schema(max_length = 128, example = "01990000-0000-7000-8000-000000000000")]
    pub request_id: String,
    /// The `operationId` of the request.
    #[schema(max_length = 100, example = "suspendSubscription")]
    pub operation: String,
    #[schema(required)]
    pub resource: Option<ResourceName>,
    pub outcome: Outcome,
    /// The HTTP status of the response.
    #[schema(minimum = 200, maximum = 499, example = 200)]
    pub status: i32,
    /// The error code; null if the write succeeded.
    #[schema(required, max_length = 100, example = "forbidden")]
    pub code: Option<String>,
    /// The changes of each resource; at most 500.
    #[schema(max_items = 500)]
    pub changes: Vec<AuditChange>,
    /// Whether changes or fields were left out. An entry has at most 500 changes and 64 KiB of fields.
    pub changes_truncated: bool,
}

/// Identifies a resource.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct ResourceName {
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// The id of the resource.
    pub id: Uuid,
}

/// A change of a resource.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditChange {
    pub resource: ResourceName,
    /// The previous values of the changed fields; null for a new resource.
    #[schema(required)]
    pub before: Option<ChangedFields>,
    /// The new values of the same fields; null for a deleted resource.
    #[schema(required)]
    pub after: Option<ChangedFields>,
}

/// Fields of a resource, as in its GET response.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct ChangedFields(pub Map<String, Value>);

impl PartialSchema for ChangedFields {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some("Fields of a resource, as in its GET response."))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .into()
    }
}

impl ToSchema for ChangedFields {}

list!(AuditEntryList of AuditEntry);

listing! {
    /// Filters of audit entries.
    AuditQuery {
        /// Only entries of callers of this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
        /// Only entries of this caller: `api_key:<id>` or `subject:<subject>`.
        #[param(min_length = 1, max_length = 300, format = "line", nullable = false)]
        actor: Option<String>,
        /// Only entries of this operation.
        #[param(min_length = 1, max_length = 100, pattern = "^[A-Za-z]+$", nullable = false)]
        operation: Option<String>,
        /// Only entries about the resource with this id: as `resource`, or in `changes`.
        #[param(nullable = false)]
        resource_id: Option<Uuid>,
        /// Only the entry of this request.
        #[param(min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)]
        request_id: Option<String>,
        /// Only entries with one of these outcomes.
        #[param(max_items = 10)]
        outcome: Vec<Outcome>,
        /// At this instant or later.
        #[param(nullable = false)]
        occurred_after: Option<DateTime<Utc>>,
        /// Before this instant.
        #[param(nullable = false)]
        occurred_before: Option<DateTime<Utc>>,
    }
}

impl From<(ResourceType, Uuid)> for ResourceName {
    fn from((kind, id): (ResourceType, Uuid)) -> Self {
        Self { kind, id }
    }
}

impl From<audit::Change> for AuditChange {
    fn from(change: audit::Change) -> Self {
        Self {
            resource: (change.resource_type, change.resource_id).into(),
            before: change.before.map(ChangedFields),
            after: change.after.map(ChangedFields),
        }
    }
}

impl From<audit::Entry> for AuditEntry {
    fn from(entry: audit::Entry) -> Self {
        // Entries of an earlier release can be larger.
        let (changes, is_cut) = audit::cut(entry.changes);
        Self {
            id: entry.id,
            occurred_at: entry.occurred_at,
            actor: entry.actor,
            role: entry.role,
            partner_id: entry.reseller_id,
            source_address: entry.source_address,
            request_id: entry.request_id,
            operation: entry.operation,
            resource: entry.resource.map(ResourceName::from),
            outcome: entry.outcome,
            status: entry.status,
            code: entry.code,
            changes: changes.into_iter().map(AuditChange::from).collect(),
            changes_truncated: is_cut || entry.changes_truncated == Some(true),
        }
    }
}

/// List audit entries
///
/// Returns who wrote what, newest first, including denied attempts. Every request that writes has an entry as soon as
/// it has a response, even if it was rejected. A reseller's key sees only the requests of its reseller's callers.
/// Roles: admin.
#[utoipa::path(tag = "Trust", params(AuditQuery), responses(
    (status = 200, description = "A page of entries.", body = AuditEntryList)
))]
#[get("/audit-entries")]
pub async fn list_audit_entries(
    permit: Permit<ReadAudit>,
    listing: Listing<AuditQuery>,
) -> Result<HttpResponse, Problem> {
    let query = &listing.filter;
    let filter = AuditFilter {
        partner_id: query.partner_id,
        actor: query.actor.clone(),
        operation: query.operation.clone(),
        resource_id: query.resource_id,
        request_id: query.request_id.clone(),
        outcome: query.outcome.clone(),
        occurred_after: query.occurred_after,
        occurred_before: query.occurred_before,
    };
    let page = trail::list(&permit.cx, &filter, &listing.window).await.map_err(in_query)?;
    Ok(listing.answer(page.map(AuditEntry::from), |data, next_cursor| AuditEntryList { data, next_cursor }))
}
