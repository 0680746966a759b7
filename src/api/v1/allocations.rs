//! Allocations.

use actix_web::{HttpResponse, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::auth::{self, Permit, Read};
use crate::api::json::{Json, NoBody};
use crate::api::page::{Listing, PageQuery, list};
use crate::api::path::Id;
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::domain::allocation::{self, AllocationStatus};
use crate::domain::id::{AllocationId, SubscriptionId};
use crate::domain::text::{Code, Reference};
use crate::ops::allocations;

/// Certificates in use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "released_at": null }))]
pub struct Allocation {
    /// Its id.
    pub id: AllocationId,
    /// Of which subscription.
    pub subscription_id: SubscriptionId,
    /// Of which type.
    pub certificate_type: Code,
    /// How many.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub quantity: i32,
    /// Your own reference.
    pub reference: Reference,
    pub status: AllocationStatus,
    /// When they were put to use.
    pub created_at: DateTime<Utc>,
    /// When they were given back.
    #[schema(required)]
    pub released_at: Option<DateTime<Utc>>,
}

/// Certificates to put to use.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "certificate_type": "ov-single", "quantity": 1, "reference": "certificate 0042" }))]
pub struct AllocationCreate {
    /// Of which type.
    pub certificate_type: Code,
    /// How many; 1 when left out.
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000, default = 1)]
    pub quantity: Option<i32>,
    /// Your own reference; unique in the subscription while the allocation is open.
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
/// Newest first.
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
/// Puts certificates to use. The same `reference`, type and quantity again answers the first allocation
/// with 200, so that a retry is safe. Roles: admin and technician.
#[utoipa::path(
    tag = "Allocations",
    extensions(("x-errors" = json!([
        "invalid_transition", "subscription_suspended", "term_ended", "inventory_exhausted", "duplicate_reference"
    ]))),
    responses(
        (status = 200, description = "The allocation was there already.", body = Allocation),
        (status = 201, description = "The new allocation.", body = Allocation)
    )
)]
#[post("/subscriptions/{subscription_id}/allocations")]
pub async fn allocate(
    permit: Permit<auth::Allocate>,
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
/// How many certificates it has put to use, and whether it still does.
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
/// Gives its certificates back, once; again, it changes nothing. Possible in every state of the
/// subscription. Roles: admin and technician.
#[utoipa::path(tag = "Allocations", responses(
    (status = 200, description = "The allocation as it is now.", body = Allocation)
))]
#[post("/allocations/{allocation_id}/release")]
pub async fn release_allocation(
    permit: Permit<auth::Allocate>,
    id: Id<AllocationId>,
    _: NoQuery,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let allocation = allocations::release(&permit.cx, id.0).await?;
    Ok(HttpResponse::Ok().json(Allocation::from(allocation)))
}
