//! Adding subscriptions: several in one request, with preview and confirmation.

use actix_web::{HttpResponse, post};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::orders::Order;
use super::quote::Quote;
use super::subscriptions::Subscription;
use crate::api::contract::json::Json;
use crate::api::contract::path::Id;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, Read, WriteSubscriptions};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, created};
use crate::domain::billing::add_subscriptions::{Item, ItemLine};
use crate::domain::id::{CustomerId, ProductId};
use crate::domain::text::{Code, ExternalId};
use crate::ops::subscriptions;

/// Subscriptions to add: all or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "auto_renew": true,
    "subscriptions": [{
        "product_id": "01990000-0000-7000-8000-000000000000",
        "term_months": 12,
        "inventory": [{ "certificate_type": "ov-single", "quantity": 10, "renewal_quantity": 8 }]
    }]
}))]
pub struct SubscriptionsAdd {
    /// The default of `auto_renew` for all subscriptions of the request. False if omitted.
    #[serde(default)]
    pub auto_renew: bool,
    /// The subscriptions to add.
    #[schema(min_items = 1, max_items = 50)]
    pub subscriptions: Vec<SubscriptionAdd>,
    /// The digest of the quote that was reviewed. If omitted, the request is confirmed without a check. A preview
    /// ignores it.
    #[schema(nullable = false, min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    pub digest: Option<String>,
}

/// A subscription to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionAdd {
    /// One of the customer's available products.
    pub product_id: ProductId,
    /// The length of a term, in months: one of the terms of the product.
    #[schema(minimum = 1, maximum = 36)]
    pub term_months: i32,
    /// The first day; today if omitted. At most 365 days ahead. It can be in the past if the term ends after today;
    /// past days are not charged.
    #[schema(nullable = false)]
    pub start_date: Option<NaiveDate>,
    /// Whether the subscription renews automatically; the request's `auto_renew` if omitted.
    #[schema(nullable = false)]
    pub auto_renew: Option<bool>,
    /// Your own reference.
    #[schema(nullable = false)]
    pub external_id: Option<ExternalId>,
    /// The initial inventory: each certificate type at most once, and at least one certificate in total.
    #[schema(min_items = 1, max_items = 50)]
    pub inventory: Vec<InventoryAdd>,
}

/// The initial certificates of one type.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryAdd {
    /// The type of the certificates.
    pub certificate_type: Code,
    /// The quantity from the first day.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub quantity: i32,
    /// The quantity for the next term. If omitted, it follows the current quantity.
    #[schema(nullable = false, minimum = 0, maximum = 1_000_000)]
    pub renewal_quantity: Option<i32>,
}

/// The result of adding subscriptions.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionsAdded {
    pub order: Order,
    /// The subscriptions, in the order of the request.
    #[schema(max_items = 50)]
    pub subscriptions: Vec<Subscription>,
}

impl SubscriptionsAdd {
    fn into_parts(self) -> (Vec<Item>, Option<String>) {
        let items = self.subscriptions.into_iter().map(|add| Item {
            product_id: add.product_id,
            term_months: add.term_months,
            start_date: add.start_date,
            auto_renew: add.auto_renew.unwrap_or(self.auto_renew),
            external_id: add.external_id,
            inventory: add.inventory.into_iter().map(ItemLine::from).collect(),
        });
        (items.collect(), self.digest)
    }
}

impl From<InventoryAdd> for ItemLine {
    fn from(add: InventoryAdd) -> Self {
        let InventoryAdd { certificate_type, quantity, renewal_quantity } = add;
        Self { certificate_type, quantity, renewal_quantity }
    }
}

/// Preview new subscriptions
///
/// Returns a quote with the calculation of each line, the total, and the cost of the next renewal. Writes nothing.
#[utoipa::path(
    tag = "Subscriptions",
    extensions(("x-errors" = json!(["customer_archived", "product_retired", "amount_out_of_range"]))),
    responses((status = 200, description = "The quote.", body = Quote))
)]
#[post("/customers/{customer_id}/subscriptions/preview")]
pub async fn preview_add_subscriptions(
    permit: Permit<Read>,
    id: Id<CustomerId>,
    _: NoQuery,
    body: Json<SubscriptionsAdd>,
) -> Result<HttpResponse, Problem> {
    let (items, _) = body.0.into_parts();
    let quote = subscriptions::preview_add(&permit.cx, id.0, &items).await?;
    Ok(HttpResponse::Ok().json(Quote::from(&quote)))
}

/// Add subscriptions
///
/// Creates all subscriptions of the request or none, and charges the customer. `If-Match` is the version of the
/// customer. Roles: admin and sales.
#[utoipa::path(
    tag = "Subscriptions",
    params(IfMatchHeader),
    extensions(("x-errors" = json!([
        "customer_archived", "product_retired", "quote_stale", "amount_out_of_range"
    ]))),
    responses((status = 201, description = "The order and the subscriptions.", body = SubscriptionsAdded))
)]
#[post("/customers/{customer_id}/subscriptions")]
pub async fn add_subscriptions(
    permit: Permit<WriteSubscriptions>,
    id: Id<CustomerId>,
    _: NoQuery,
    expected: IfMatch,
    body: Json<SubscriptionsAdd>,
) -> Result<HttpResponse, Problem> {
    let (items, digest) = body.0.into_parts();
    let (order, added) = subscriptions::add(&permit.cx, id.0, &expected.0, &items, digest.as_deref()).await?;
    let location = format!("/v1/orders/{}", order.id);
    let subscriptions = added.iter().map(|subscription| Subscription::for_caller(subscription, &permit.cx)).collect();
    Ok(created(&location, None, SubscriptionsAdded { order: Order::from(&order), subscriptions }))
}
