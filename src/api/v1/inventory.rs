//! Current inventory, renewal inventory and the inventory ledger.

use actix_web::{HttpResponse, get, post, put};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::orders::Order;
use super::quote::Quote;
use crate::api::contract::json::Json;
use crate::api::contract::path::Id;
use crate::api::contract::problem::{Problem, in_query};
use crate::api::contract::query::{NoQuery, Query};
use crate::api::middleware::authenticate::{Permit, Read, WriteSubscriptions};
use crate::api::respond::page::{Listing, PageQuery, list};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, created, ok};
use crate::domain::id::{AllocationId, LedgerEntryId, OrderId, SubscriptionId};
use crate::domain::subscription::inventory::{Entry, Line, Measure};
use crate::domain::text::Code;
use crate::domain::time::as_kept;
use crate::ops::inventory::{self, Change};

/// The certificates of one type in a subscription.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "low_threshold": 5 }))]
pub struct InventoryLine {
    /// The certificate type.
    pub certificate_type: Code,
    pub current: CurrentInventory,
    pub renewal: RenewalInventory,
    /// An `inventory.low` event is emitted when the available quantity falls to this number or below; null: never.
    #[schema(required, minimum = 0, maximum = 1_000_000)]
    pub low_threshold: Option<i32>,
}

/// The quantities of the current term.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "quantity": 20, "used": 8, "available": 12, "overage": 0 }))]
pub struct CurrentInventory {
    /// The number of certificates that are paid for.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub quantity: i32,
    /// The number of certificates in use.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub used: i32,
    /// `max(0, quantity − used)`.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub available: i32,
    /// `max(0, used − quantity)`. More than 0 is possible after a renewal with a smaller quantity.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub overage: i32,
}

/// The quantity of the next term.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "quantity": null, "effective_quantity": 20 }))]
pub struct RenewalInventory {
    /// The quantity that was set; null follows the current quantity.
    #[schema(required, minimum = 0, maximum = 1_000_000)]
    pub quantity: Option<i32>,
    /// `quantity`, or the current quantity if `quantity` is null. The next term starts with this quantity. If the
    /// product's limit is now lower, it starts with at most the limit or the current quantity, whichever is greater.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub effective_quantity: i32,
}

/// The complete inventory of a subscription.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "as_of": null }))]
pub struct Inventory {
    /// The id of the subscription.
    pub subscription_id: SubscriptionId,
    /// The instant of the inventory, if the request had `as_of`; null: now.
    #[schema(required)]
    pub as_of: Option<DateTime<Utc>>,
    /// One line for each certificate type, sorted by code.
    #[schema(max_items = 1000)]
    pub data: Vec<InventoryLine>,
}

/// The instant of the inventory.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InventoryQuery {
    /// Return the inventory at this instant, which must be in the past. Now if omitted.
    #[param(nullable = false)]
    pub as_of: Option<DateTime<Utc>>,
}

/// Certificates to add to the current inventory.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "lines": [{ "certificate_type": "ov-single", "add": 10 }] }))]
pub struct CurrentInventoryAdd {
    /// Each certificate type at most once. All lines succeed or none.
    #[schema(min_items = 1, max_items = 50)]
    pub lines: Vec<CurrentInventoryAddLine>,
    /// The digest of the quote that was reviewed. If omitted, the request is confirmed without a check. A preview
    /// ignores it.
    #[schema(nullable = false, min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    pub digest: Option<String>,
}

/// Certificates of one type to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CurrentInventoryAddLine {
    /// The certificate type.
    pub certificate_type: Code,
    /// The number of certificates to add.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub add: i32,
}

/// Quantities for the next term. Types that are not listed stay unchanged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "lines": [{ "certificate_type": "ov-single", "quantity": 25 }] }))]
pub struct RenewalInventorySet {
    /// Each certificate type at most once. All lines succeed or none.
    #[schema(min_items = 1, max_items = 50)]
    pub lines: Vec<RenewalInventorySetLine>,
    /// The digest of the quote that was reviewed. If omitted, the request is confirmed without a check. A preview
    /// ignores it.
    #[schema(nullable = false, min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    pub digest: Option<String>,
}

/// The renewal quantity of one type.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewalInventorySetLine {
    /// The certificate type.
    pub certificate_type: Code,
    /// The quantity at the start of the next term; null follows the current quantity.
    #[schema(required, minimum = 0, maximum = 1_000_000)]
    pub quantity: Option<i32>,
}

/// Thresholds for low inventory. Types that are not listed stay unchanged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "lines": [{ "certificate_type": "ov-single", "low_threshold": 5 }] }))]
pub struct InventoryThresholdsSet {
    /// Each certificate type at most once. All lines succeed or none.
    #[schema(min_items = 1, max_items = 50)]
    pub lines: Vec<InventoryThresholdsSetLine>,
}

/// The threshold of one type.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryThresholdsSetLine {
    /// The certificate type. The subscription must have a line of this type.
    pub certificate_type: Code,
    /// The threshold for an `inventory.low` event; null: never.
    #[schema(required, minimum = 0, maximum = 1_000_000)]
    pub low_threshold: Option<i32>,
}

/// One change of one quantity of an inventory line. The sum of all deltas of a line is its quantity.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "delta": 10, "before": 10, "after": 20, "allocation_id": null }))]
pub struct LedgerEntry {
    /// The id of the entry.
    pub id: LedgerEntryId,
    /// The certificate type.
    pub certificate_type: Code,
    pub measure: Measure,
    /// The difference; null if the renewal quantity starts or stops following the current quantity.
    #[schema(required, minimum = -1_000_000, maximum = 1_000_000)]
    pub delta: Option<i32>,
    /// The value before the change; null if the renewal quantity followed the current quantity.
    #[schema(required, minimum = 0, maximum = 1_000_000)]
    pub before: Option<i32>,
    /// The value after the change; null if the renewal quantity follows the current quantity.
    #[schema(required, minimum = 0, maximum = 1_000_000)]
    pub after: Option<i32>,
    /// The order that made the change, if any.
    #[schema(required)]
    pub order_id: Option<OrderId>,
    /// The allocation that made the change, if any.
    #[schema(required)]
    pub allocation_id: Option<AllocationId>,
    /// Who made the change: `api_key:<id>`, `subject:<subject>` or `system`.
    #[schema(max_length = 300, example = "api_key:01990000-0000-7000-8000-000000000000")]
    pub actor: String,
    /// When the change was made.
    pub occurred_at: DateTime<Utc>,
}

list!(LedgerEntryList of LedgerEntry);

impl From<&Line> for InventoryLine {
    fn from(line: &Line) -> Self {
        Self {
            certificate_type: line.certificate_type.clone(),
            current: CurrentInventory {
                quantity: line.current,
                used: line.used,
                available: line.available(),
                overage: line.overage(),
            },
            renewal: RenewalInventory { quantity: line.renewal, effective_quantity: line.effective_renewal() },
            low_threshold: line.low_threshold,
        }
    }
}

impl From<Entry> for LedgerEntry {
    fn from(entry: Entry) -> Self {
        let delta = entry.movement.delta();
        Self {
            id: entry.id,
            certificate_type: entry.movement.certificate_type,
            measure: entry.movement.measure,
            delta,
            before: entry.movement.before,
            after: entry.movement.after,
            order_id: entry.order_id,
            allocation_id: entry.allocation_id,
            actor: entry.actor,
            occurred_at: entry.occurred_at,
        }
    }
}

impl CurrentInventoryAdd {
    fn into_parts(self) -> (Change, Option<String>) {
        let lines = self.lines.into_iter().map(|line| (line.certificate_type, line.add));
        (Change::AddCurrent(lines.collect()), self.digest)
    }
}

impl RenewalInventorySet {
    fn into_parts(self) -> (Change, Option<String>) {
        let lines = self.lines.into_iter().map(|line| (line.certificate_type, line.quantity));
        (Change::SetRenewal(lines.collect()), self.digest)
    }
}

/// Get a subscription's inventory
///
/// Returns the current quantity and the quantity of the next term for each certificate type. With `as_of`, returns the
/// inventory at that instant according to the ledger, without types that had no ledger entry by then. The `ETag` is the
/// version of the subscription, which allocations do not change.
#[utoipa::path(tag = "Inventory", params(InventoryQuery), responses(
    (status = 200, description = "The inventory.", body = Inventory, headers(
        ("ETag" = String, description = "The version of the subscription, for `If-Match`. Omitted with `as_of`.")
    ))
))]
#[get("/subscriptions/{subscription_id}/inventory")]
pub async fn get_inventory(
    permit: Permit<Read>,
    id: Id<SubscriptionId>,
    query: Query<InventoryQuery>,
) -> Result<HttpResponse, Problem> {
    let as_of = query.value.as_of.map(as_kept);
    let (lines, version) = inventory::get(&permit.cx, id.0, as_of).await.map_err(in_query)?;
    let data = lines.iter().map(InventoryLine::from).collect();
    let answer = Inventory { subscription_id: id.0, as_of, data };
    // A past state has no version for `If-Match`.
    Ok(if as_of.is_none() { ok(version, answer) } else { HttpResponse::Ok().json(answer) })
}

/// Preview an addition to current inventory
///
/// Returns a quote. Each line is charged for the rest of the term, including today. Writes nothing.
#[utoipa::path(
    tag = "Inventory",
    extensions(("x-errors" = json!([
        "invalid_transition", "subscription_suspended", "term_ended", "amount_out_of_range"
    ]))),
    responses((status = 200, description = "The quote.", body = Quote))
)]
#[post("/subscriptions/{subscription_id}/inventory/current/preview")]
pub async fn preview_current_inventory(
    permit: Permit<Read>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    body: Json<CurrentInventoryAdd>,
) -> Result<HttpResponse, Problem> {
    let (change, _) = body.0.into_parts();
    let quote = inventory::preview(&permit.cx, id.0, &change).await?;
    Ok(HttpResponse::Ok().json(Quote::from(&quote)))
}

/// Add current inventory
///
/// Adds certificates that are usable at once, and charges them for the rest of the term. The current inventory cannot
/// be lowered within a term. `If-Match` is the version of the subscription. Roles: admin and sales.
#[utoipa::path(
    tag = "Inventory",
    params(IfMatchHeader),
    extensions(("x-errors" = json!([
        "invalid_transition", "subscription_suspended", "term_ended", "quote_stale", "amount_out_of_range"
    ]))),
    responses((status = 201, description = "The order.", body = Order))
)]
#[post("/subscriptions/{subscription_id}/inventory/current")]
pub async fn add_current_inventory(
    permit: Permit<WriteSubscriptions>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    expected: IfMatch,
    body: Json<CurrentInventoryAdd>,
) -> Result<HttpResponse, Problem> {
    let (change, digest) = body.0.into_parts();
    let (order, _) = inventory::confirm(&permit.cx, id.0, &expected.0, &change, digest.as_deref()).await?;
    Ok(created(&format!("/v1/orders/{}", order.id), None, Order::from(&order)))
}

/// Preview renewal inventory
///
/// Returns a quote. Nothing is charged now; `next_renewal_total` is the cost of the next term. Writes nothing.
#[utoipa::path(
    tag = "Inventory",
    extensions(("x-errors" = json!(["invalid_transition", "amount_out_of_range"]))),
    responses((status = 200, description = "The quote.", body = Quote))
)]
#[post("/subscriptions/{subscription_id}/inventory/renewal/preview")]
pub async fn preview_renewal_inventory(
    permit: Permit<Read>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    body: Json<RenewalInventorySet>,
) -> Result<HttpResponse, Problem> {
    let (change, _) = body.0.into_parts();
    let quote = inventory::preview(&permit.cx, id.0, &change).await?;
    Ok(HttpResponse::Ok().json(Quote::from(&quote)))
}

/// Set renewal inventory
///
/// Sets the quantities of the next term. Types that are not listed stay unchanged. Nothing is charged now. `If-Match`
/// is the version of the subscription. Roles: admin and sales.
#[utoipa::path(
    tag = "Inventory",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["invalid_transition", "quote_stale", "amount_out_of_range"]))),
    responses((status = 200, description = "The order.", body = Order))
)]
#[put("/subscriptions/{subscription_id}/inventory/renewal")]
pub async fn set_renewal_inventory(
    permit: Permit<WriteSubscriptions>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    expected: IfMatch,
    body: Json<RenewalInventorySet>,
) -> Result<HttpResponse, Problem> {
    let (change, digest) = body.0.into_parts();
    let (order, _) = inventory::confirm(&permit.cx, id.0, &expected.0, &change, digest.as_deref()).await?;
    Ok(HttpResponse::Ok().json(Order::from(&order)))
}

/// Set inventory thresholds
///
/// Sets how many available certificates of a type count as low. An `inventory.low` event is emitted when the available
/// quantity falls to the threshold. When it falls to 0, `inventory.exhausted` is emitted regardless of the threshold.
/// `If-Match` is the version of the subscription. Roles: admin and sales.
#[utoipa::path(
    tag = "Inventory",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["invalid_transition"]))),
    responses((status = 200, description = "The updated inventory.", body = Inventory))
)]
#[put("/subscriptions/{subscription_id}/inventory/thresholds")]
pub async fn set_inventory_thresholds(
    permit: Permit<WriteSubscriptions>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    expected: IfMatch,
    body: Json<InventoryThresholdsSet>,
) -> Result<HttpResponse, Problem> {
    let thresholds = body.0.lines.into_iter().map(|line| (line.certificate_type, line.low_threshold)).collect();
    let lines = inventory::set_thresholds(&permit.cx, id.0, &expected.0, thresholds).await?;
    let data = lines.iter().map(InventoryLine::from).collect();
    Ok(HttpResponse::Ok().json(Inventory { subscription_id: id.0, as_of: None, data }))
}

/// List the inventory ledger
///
/// Returns all changes of the inventory, newest first.
#[utoipa::path(tag = "Inventory", params(PageQuery), responses(
    (status = 200, description = "A page of entries.", body = LedgerEntryList)
))]
#[get("/subscriptions/{subscription_id}/inventory/ledger")]
pub async fn list_inventory_ledger(
    permit: Permit<Read>,
    id: Id<SubscriptionId>,
    listing: Listing<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let page = inventory::ledger(&permit.cx, id.0, &listing.window).await?.map(LedgerEntry::from);
    Ok(listing.answer(page, |data, next_cursor| LedgerEntryList { data, next_cursor }))
}
