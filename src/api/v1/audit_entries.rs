//! The audit trail.

use actix_web::{HttpResponse, get};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::api::auth::{Permit, ReadAudit};
use crate::api::page::{Listing, list, listing};
use crate::api::problem::{Problem, in_query};
use crate::domain::access::Role;
use crate::domain::audit::{self, Outcome};
use crate::domain::event::ResourceType;
use crate::domain::id::{AuditEntryId, ResellerId};
use crate::domain::listing::AuditFilter;
use crate::ops::audit as trail;

/// That somebody wrote, or tried to.
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
    /// Its id.
    pub id: AuditEntryId,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// Who: `api_key:<id>`, `subject:<subject>`, or `system`, by the command line.
    #[schema(max_length = 300, example = "api_key:01990000-0000-7000-8000-000000000000")]
    pub actor: String,
    pub role: Role,
    /// For which reseller; null for the partner.
    #[schema(required)]
    pub partner_id: Option<ResellerId>,
    /// From which IP address; null by the command line.
    #[schema(required, max_length = 64, example = "192.0.2.17")]
    pub source_address: Option<String>,
    /// In which request.
    #[schema(max_length = 128, example = "01990000-0000-7000-8000-000000000000")]
    pub request_id: String,
    /// What was to be done: the id of an operation.
    #[schema(max_length = 100, example = "suspendSubscription")]
    pub operation: String,
    #[schema(required)]
    pub resource: Option<ResourceName>,
    pub outcome: Outcome,
    /// The HTTP status.
    #[schema(minimum = 200, maximum = 499, example = 200)]
    pub status: i32,
    /// The code of the problem; null when it was done.
    #[schema(required, max_length = 100, example = "forbidden")]
    pub code: Option<String>,
    /// What became of which resource; at most 500 are listed.
    #[schema(max_items = 500)]
    pub changes: Vec<AuditChange>,
    /// Whether changes, or fields of them, were left out: an entry has 500 changes and 64 KiB of fields at the most.
    pub changes_truncated: bool,
}

/// Which resource.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct ResourceName {
    #[serde(rename = "type")]
    pub kind: ResourceType,
    /// Its id.
    pub id: Uuid,
}

/// What became of a resource.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditChange {
    pub resource: ResourceName,
    /// The fields that changed, as they were; null when it is new.
    #[schema(required)]
    pub before: Option<ChangedFields>,
    /// The same fields as they became; null when it is gone.
    #[schema(required)]
    pub after: Option<ChangedFields>,
}

/// Fields of a resource, as the API shows them.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct ChangedFields(pub Map<String, Value>);

impl PartialSchema for ChangedFields {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some("Fields of a resource, as the API shows them."))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .into()
    }
}

impl ToSchema for ChangedFields {}

list!(AuditEntryList of AuditEntry);

listing! {
    /// Which entries.
    AuditQuery {
        /// By those of this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
        /// By this one: `api_key:<id>` or `subject:<subject>`.
        #[param(min_length = 1, max_length = 300, format = "line", nullable = false)]
        actor: Option<String>,
        /// Of this operation.
        #[param(min_length = 1, max_length = 100, pattern = "^[A-Za-z]+$", nullable = false)]
        operation: Option<String>,
        /// About the resource with this id: it is the `resource`, or one of `changes`.
        #[param(nullable = false)]
        resource_id: Option<Uuid>,
        /// Of this request.
        #[param(min_length = 1, max_length = 128, pattern = "^[!-~]+$", nullable = false)]
        request_id: Option<String>,
        /// With one of these ends.
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
        // Entries of an earlier release may be larger.
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
/// Who wrote what, and who tried, newest first: every request that writes is here once it is answered, also one that
/// was refused. A reseller's keys see what its own did. Roles: admin.
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
