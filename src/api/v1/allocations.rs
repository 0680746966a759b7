//! Allocations.

use actix_web::{HttpResponse, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::contract::json::{Json, NoBody};
use crate::api::contract::path::Id;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{self, Permit, Read};
use crate::api::respond::page::{Listing, PageQuery, list};
use crate::domain::id::{AllocationId, SubscriptionId};
use crate::domain::subscription::allocation::{self, AllocationStatus};
use crate::domain::text::{Code, Reference};
use crate::ops::allocations;

/// Certificates in use, under a reference of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "released_at": null }))]
pub struct Allocation {
    /// The id of the allocation.
    pub id: AllocationId,
    /// The subscription of the allocation.
    pub subscription_id: SubscriptionId,
    /// The type of the certificates.
    pub certificate_type: Code,
    /// The number of certificates.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub quantity: i32,
    /// Your own reference.
    pub reference: Reference,
    pub status: AllocationStatus,
    /// When the certificates were allocated.
    pub created_at: DateTime<Utc>,
    /// When the certificates were released; null while the allocation is open.
    #[schema(required)]
    pub released_at: Option<DateTime<Utc>>,
}

/// Certificates to allocate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "certificate_type": "ov-single", "quantity": 1, "reference": "certificate 0042" }))]
pub struct AllocationCreate {
    /// The type of the certificates.
    pub certificate_type: Code,
    /// The number of certificates; 1 if omitted.
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000, default = 1)]
    pub quantity: Option<i32>,
    /// Your own reference. It must be unique among the open allocations of the subscription.
    pub reference: Reference,
}

list!(AllocationList of Allocation);

impl From<allocation::Allocation> for Allocation {
    fn from(allocation: allocation::Allocation) -> Self {
        Self {
            id: allocation.id,
            subscription_id: allocation.subscription_id,
            status: allocation.status(),
            certificate_type: allocation.certificate_type,
            quantity: allocation.quantity,
            reference: allocation.reference,
            created_at: allocation.created_at,
            released_at: allocation.released_at,
        }
    }
}

/// List allocations
///
/// Returns the allocations of the subscription, newest first.
#[utoipa::path(tag = "Allocations", params(PageQuery), responses(
    (status = 200, description = "A page of allocations.", body = AllocationList)
))]
#[get("/subscriptions/{subscription_id}/allocations")]
pub async fn list_allocations(
    permit: Permit<Read>,
    id: Id<SubscriptionId>,
    listing: Listing<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let page = allocations::list(&permit.cx, id.0, &listing.window).await?.map(Allocation::from);
    Ok(listing.answer(page, |data, next_cursor| AllocationList { data, next_cursor }))
}

/// Allocate certificates
///
/// Allocates available certificates of the subscription under your `reference`. A repeated request with the same
/// `reference`, type and quantity returns the existing allocation with 200, so a retry is safe. Roles: admin and
/// technician.
#[utoipa::path(
    tag = "Allocations",
    extensions(("x-errors" = json!([
        "invalid_transition", "subscription_suspended", "term_ended", "inventory_exhausted", "duplicate_reference"
    ]))),
    responses(
        (status = 200, description = "The allocation already exists.", body = Allocation),
        (status = 201, description = "The new allocation.", body = Allocation)
    )
)]
#[post("/subscriptions/{subscription_id}/allocations")]
pub async fn allocate(
    permit: Permit<authenticate::Allocate>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    body: Json<AllocationCreate>,
) -> Result<HttpResponse, Problem> {
    let AllocationCreate { certificate_type, quantity, reference } = body.0;
    let quantity = quantity.unwrap_or(1);
    let (allocation, is_new) = allocations::allocate(&permit.cx, id.0, certificate_type, quantity, reference).await?;
    let mut answer = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    if is_new {
        answer.insert_header(("Location", format!("/v1/allocations/{}", allocation.id)));
    }
    Ok(answer.json(Allocation::from(allocation)))
}

/// Get an allocation
///
/// Returns the allocation with its quantity and state.
#[utoipa::path(tag = "Allocations", responses(
    (status = 200, description = "The allocation.", body = Allocation)
))]
#[get("/allocations/{allocation_id}")]
pub async fn get_allocation(permit: Permit<Read>, id: Id<AllocationId>, _: NoQuery) -> Result<HttpResponse, Problem> {
    let allocation = allocations::get(&permit.cx, id.0).await?;
    Ok(HttpResponse::Ok().json(Allocation::from(allocation)))
}

/// Release an allocation
///
/// Returns the certificates of the allocation to the inventory of the subscription. If the allocation is already
/// released, nothing changes. Possible in every state of the subscription. Roles: admin and technician.
#[utoipa::path(tag = "Allocations", responses(
    (status = 200, description = "The updated allocation.", body = Allocation)
))]
#[post("/allocations/{allocation_id}/release")]
pub async fn release_allocation(
    permit: Permit<authenticate::Allocate>,
    id: Id<AllocationId>,
    _: NoQuery,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let allocation = allocations::release(&permit.cx, id.0).await?;
    Ok(HttpResponse::Ok().json(Allocation::from(allocation)))
}
