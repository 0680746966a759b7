//! Adding subscriptions: several at once, previewed and confirmed.

use actix_web::{HttpResponse, post};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::orders::Order;
use super::quote::Quote;
use super::subscriptions::Subscription;
use crate::api::auth::{Permit, Read, WriteSubscriptions};
use crate::api::json::Json;
use crate::api::path::Id;
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::api::resource::{IfMatch, IfMatchHeader, created};
use crate::domain::basket::{Item, ItemLine};
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
    /// Whether they renew by themselves; each can say otherwise. False when left out.
    #[serde(default)]
    pub auto_renew: bool,
    /// What to add.
    #[schema(min_items = 1, max_items = 50)]
    pub subscriptions: Vec<SubscriptionAdd>,
    /// The digest of the quote that was reviewed. Left out, it is confirmed as it is now; a preview does
    /// not look at it.
    #[schema(nullable = false, min_length = 64, max_length = 64, pattern = "^[0-9a-f]{64}$")]
    pub digest: Option<String>,
}

/// A subscription to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionAdd {
    /// One of the customer's available products.
    pub product_id: ProductId,
    /// One of the terms that the product is offered for.
    #[schema(minimum = 1, maximum = 36)]
    pub term_months: i32,
    /// The first day; today when left out. At most 365 days ahead, and the term must end after today:
    /// what is past of it is not charged.
    #[schema(nullable = false)]
    pub start_date: Option<NaiveDate>,
    /// Whether it renews by itself; the request's `auto_renew` when left out.
    #[schema(nullable = false)]
    pub auto_renew: Option<bool>,
    /// Your own reference.
    #[schema(nullable = false)]
    pub external_id: Option<ExternalId>,
    /// What it starts with: each certificate type once, at least one certificate in all.
    #[schema(min_items = 1, max_items = 50)]
    pub inventory: Vec<InventoryAdd>,
}

/// Certificates of one type to start with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryAdd {
    /// The type.
    pub certificate_type: Code,
    /// Usable from the first day.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub quantity: i32,
    /// For the next term; follows `quantity` when left out.
    #[schema(nullable = false, minimum = 0, maximum = 1_000_000)]
    pub renewal_quantity: Option<i32>,
}

/// What was added.
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
/// Every line with its arithmetic, the total, and what the next renewal will cost. Writes nothing.
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
/// All or none. `If-Match` is about the customer. Roles: admin and sales.
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
