//! Subscriptions.

use actix_web::{HttpResponse, get, patch, post};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::inventory::InventoryLine;
use super::resellers::Stop;
use super::{ActionRequest, clearable};
use crate::api::contract::json::{Json, NoBody, OptionalJson};
use crate::api::contract::path::Id;
use crate::api::contract::problem::{ActionState, Problem, in_query};
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, Read, SuspendSubscriptions, WriteSubscriptions};
use crate::api::respond::page::{Listing, PageQuery, list, listing};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, ok};
use crate::domain::authorization::Actor;
use crate::domain::catalog::product::UnitPrice;
use crate::domain::id::{CustomerId, PriceListId, ProductId, ResellerId, SubscriptionId, Version};
use crate::domain::subscription::{self, Command, Details, SubscriptionFilter, SubscriptionSort, SubscriptionStatus};
use crate::domain::text::{Code, ExternalId};
use crate::ops::{Context, subscriptions};

/// A customer's subscription to a product.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "product_code": "website-tls",
    "status": "active",
    "lapsed": false,
    "suspended": null,
    "cancelled": null
}))]
pub struct Subscription {
    /// The id of the subscription.
    pub id: SubscriptionId,
    /// The customer of the subscription.
    pub customer_id: CustomerId,
    /// The product of the subscription.
    pub product_id: ProductId,
    /// The stable name of the product.
    pub product_code: Code,
    /// Your own reference.
    #[schema(required)]
    pub external_id: Option<ExternalId>,
    pub status: SubscriptionStatus,
    /// Whether the subscription is suspended and its term has ended since.
    pub lapsed: bool,
    /// Whether the subscription renews automatically when its term ends. Always false if it is cancelled or expired.
    pub auto_renew: bool,
    pub term: CurrentTerm,
    #[schema(required)]
    pub suspended: Option<Stop>,
    #[schema(required)]
    pub cancelled: Option<Stop>,
    /// One line for each certificate type, sorted by code.
    #[schema(max_items = 1000)]
    pub inventory: Vec<InventoryLine>,
    /// All actions, and whether each is allowed now.
    #[schema(max_items = 100)]
    pub actions: Vec<ActionState>,
    /// The version, as in `ETag`. Allocations do not change it.
    pub version: Version,
    /// When the subscription was ordered.
    pub created_at: DateTime<Utc>,
    /// When it last changed. Allocations do not count.
    pub updated_at: DateTime<Utc>,
}

/// The current term, or the first term of a pending subscription.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "start_date": "2026-01-01" }))]
pub struct CurrentTerm {
    /// The number of the term, from 1.
    #[schema(minimum = 1, maximum = 100_000)]
    pub number: i32,
    /// The length of the term, in calendar months.
    #[schema(minimum = 1, maximum = 36, example = 12)]
    pub months: i32,
    /// The first day.
    pub start_date: NaiveDate,
    /// The day after the last day.
    pub end_date: NaiveDate,
}

/// A term of a subscription, with the prices at its start.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "start_date": "2026-01-01" }))]
pub struct Term {
    /// The number of the term, from 1.
    #[schema(minimum = 1, maximum = 100_000)]
    pub number: i32,
    /// The length of the term, in calendar months.
    #[schema(minimum = 1, maximum = 36, example = 12)]
    pub months: i32,
    /// The first day.
    pub start_date: NaiveDate,
    /// The day after the last day.
    pub end_date: NaiveDate,
    /// The price of one certificate of each type for the whole term.
    #[schema(max_items = 1000)]
    pub prices: Vec<TermPrice>,
}

/// The price of one certificate of a type for a whole term.
#[derive(Debug, Serialize, ToSchema)]
pub struct TermPrice {
    /// The certificate type.
    pub certificate_type: Code,
    pub unit_price: super::money::Money,
    /// The price list of the price; null for the product's own price.
    #[schema(required)]
    pub price_list_id: Option<PriceListId>,
}

/// Changes of a subscription: a merge patch (RFC 7396). Omitted fields stay unchanged, null clears a field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "auto_renew": false, "external_id": "po-2026-17" }))]
pub struct SubscriptionPatch {
    /// Whether the subscription renews automatically when its term ends.
    #[schema(nullable = false)]
    pub auto_renew: Option<bool>,
    /// Your own reference.
    #[serde(default, deserialize_with = "clearable")]
    pub external_id: Option<Option<ExternalId>>,
}

list!(SubscriptionList of Subscription);
list!(TermList of Term);

listing! {
    /// Filters and sort order of subscriptions.
    SubscriptionQuery {
        /// Only subscriptions of this customer.
        #[param(nullable = false)]
        customer_id: Option<CustomerId>,
        /// Only subscriptions of customers of this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
        /// Only subscriptions to this product.
        #[param(nullable = false)]
        product_id: Option<ProductId>,
        /// Only subscriptions in one of these states.
        #[param(max_items = 10)]
        status: Vec<SubscriptionStatus>,
        /// Only subscriptions with this value of `auto_renew`.
        #[param(nullable = false)]
        auto_renew: Option<bool>,
        /// The term ends before this day.
        #[param(nullable = false)]
        ends_before: Option<NaiveDate>,
        /// The term ends on this day or later.
        #[param(nullable = false)]
        ends_after: Option<NaiveDate>,
        /// The sort order; `end_date` if omitted.
        #[param(nullable = false)]
        sort: Option<SubscriptionSort>,
    }
}

impl Subscription {
    /// The response for the caller.
    pub(super) fn for_caller(subscription: &subscription::Subscription, cx: &Context) -> Self {
        Self::new(subscription, &cx.actor, cx.today())
    }

    pub(super) fn new(subscription: &subscription::Subscription, actor: &Actor, today: NaiveDate) -> Self {
        let suspension = subscription.suspension();
        let cancellation = subscription.cancellation();
        let offers = actor.offers(subscription.possibilities(today));
        Self {
            id: subscription.id,
            customer_id: subscription.customer_id,
            product_id: subscription.product_id,
            product_code: subscription.product_code.clone(),
            external_id: subscription.external_id.clone(),
            status: subscription.status(),
            lapsed: subscription.is_lapsed(today),
            auto_renew: subscription.auto_renew,
            term: CurrentTerm {
                number: subscription.term.number,
                months: subscription.schedule.months,
                start_date: subscription.term.start_date,
                end_date: subscription.term.end_date,
            },
            suspended: suspension.map(|it| Stop { at: it.at, reason: it.reason.clone() }),
            cancelled: cancellation.map(|it| Stop { at: it.at, reason: it.reason.clone() }),
            inventory: subscription.lines.iter().map(InventoryLine::from).collect(),
            actions: offers.iter().map(ActionState::from).collect(),
            version: subscription.version,
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
        }
    }
}

impl Term {
    fn new(term: subscription::Term, of: &subscription::Subscription) -> Self {
        let price = |(certificate_type, price): (_, UnitPrice)| TermPrice {
            certificate_type,
            unit_price: super::money::Money { amount: price.amount, currency: of.currency },
            price_list_id: price.price_list_id,
        };
        Self {
            number: term.number,
            months: of.schedule.months,
            start_date: term.start_date,
            end_date: term.end_date,
            prices: term.unit_prices.into_iter().map(price).collect(),
        }
    }
}

impl From<&SubscriptionQuery> for SubscriptionFilter {
    fn from(query: &SubscriptionQuery) -> Self {
        Self {
            customer_id: query.customer_id,
            partner_id: query.partner_id,
            product_id: query.product_id,
            status: query.status.clone(),
            auto_renew: query.auto_renew,
            ends_after: query.ends_after,
            ends_before: query.ends_before,
        }
    }
}

/// List subscriptions
///
/// Returns subscriptions. By default, those whose term ends soonest come first.
#[utoipa::path(tag = "Subscriptions", params(SubscriptionQuery), responses(
    (status = 200, description = "A page of subscriptions.", body = SubscriptionList)
))]
#[get("/subscriptions")]
pub async fn list_subscriptions(
    permit: Permit<Read>,
    listing: Listing<SubscriptionQuery>,
) -> Result<HttpResponse, Problem> {
    let filter = SubscriptionFilter::from(&listing.filter);
    let sort = listing.filter.sort.unwrap_or(SubscriptionSort::EndAscending);
    let page = subscriptions::list(&permit.cx, &filter, sort, &listing.window).await.map_err(in_query)?;
    let page = page.map(|subscription| Subscription::for_caller(&subscription, &permit.cx));
    Ok(listing.answer(page, |data, next_cursor| SubscriptionList { data, next_cursor }))
}

/// List a customer's subscriptions
///
/// Returns the subscriptions of the customer. By default, those whose term ends soonest come first.
#[utoipa::path(tag = "Subscriptions", params(SubscriptionQuery), responses(
    (status = 200, description = "A page of subscriptions.", body = SubscriptionList)
))]
#[get("/customers/{customer_id}/subscriptions")]
pub async fn list_customer_subscriptions(
    permit: Permit<Read>,
    id: Id<CustomerId>,
    listing: Listing<SubscriptionQuery>,
) -> Result<HttpResponse, Problem> {
    let filter = SubscriptionFilter::from(&listing.filter);
    let sort = listing.filter.sort.unwrap_or(SubscriptionSort::EndAscending);
    let page =
        subscriptions::list_of_customer(&permit.cx, id.0, &filter, sort, &listing.window).await.map_err(in_query)?;
    let page = page.map(|subscription| Subscription::for_caller(&subscription, &permit.cx));
    Ok(listing.answer(page, |data, next_cursor| SubscriptionList { data, next_cursor }))
}

/// Get a subscription
///
/// Returns the subscription with its term, its inventory, and the actions that are allowed now.
#[utoipa::path(tag = "Subscriptions", params(IfNoneMatchHeader), responses(
    (status = 200, description = "The subscription.", body = Subscription)
))]
#[get("/subscriptions/{subscription_id}")]
pub async fn get_subscription(
    permit: Permit<Read>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    have: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let subscription = subscriptions::get(&permit.cx, id.0).await?;
    Ok(have.answer(subscription.version, Subscription::for_caller(&subscription, &permit.cx)))
}

/// Edit a subscription
///
/// Applies a merge patch. `auto_renew` can be changed while the subscription is pending, active or suspended. Roles:
/// admin and sales.
#[utoipa::path(
    tag = "Subscriptions",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["invalid_transition"]))),
    responses((status = 200, description = "The updated subscription.", body = Subscription))
)]
#[patch("/subscriptions/{subscription_id}")]
pub async fn update_subscription(
    permit: Permit<WriteSubscriptions>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    expected: IfMatch,
    body: Json<SubscriptionPatch>,
) -> Result<HttpResponse, Problem> {
    let SubscriptionPatch { auto_renew, external_id } = body.0;
    let edit = |details: Details| Details {
        auto_renew: auto_renew.unwrap_or(details.auto_renew),
        external_id: external_id.unwrap_or(details.external_id),
    };
    let subscription = subscriptions::update(&permit.cx, id.0, &expected.0, edit).await?;
    Ok(ok(subscription.version, Subscription::for_caller(&subscription, &permit.cx)))
}

/// Suspend a subscription
///
/// Suspends the subscription. Nothing is lost, and the term continues to run. Until the subscription is enabled, new
/// allocations and additions to the current inventory are rejected. Roles: admin, sales and technician.
#[utoipa::path(
    tag = "Subscriptions",
    params(IfMatchHeader),
    request_body = ActionRequest,
    extensions(("x-errors" = json!(["invalid_transition"]))),
    responses((status = 200, description = "The updated subscription.", body = Subscription))
)]
#[post("/subscriptions/{subscription_id}/suspend")]
pub async fn suspend_subscription(
    permit: Permit<SuspendSubscriptions>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    expected: IfMatch,
    body: OptionalJson<ActionRequest>,
) -> Result<HttpResponse, Problem> {
    let command = Command::Suspend { reason: body.0.reason };
    let subscription = subscriptions::transition(&permit.cx, id.0, &expected.0, command).await?;
    Ok(ok(subscription.version, Subscription::for_caller(&subscription, &permit.cx)))
}

/// Enable a subscription
///
/// Enables a suspended subscription, with the inventory and allocations that it had. Roles: admin, sales and
/// technician.
#[utoipa::path(
    tag = "Subscriptions",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["invalid_transition", "term_ended"]))),
    responses((status = 200, description = "The updated subscription.", body = Subscription))
)]
#[post("/subscriptions/{subscription_id}/enable")]
pub async fn enable_subscription(
    permit: Permit<SuspendSubscriptions>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    expected: IfMatch,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let subscription = subscriptions::transition(&permit.cx, id.0, &expected.0, Command::Enable).await?;
    Ok(ok(subscription.version, Subscription::for_caller(&subscription, &permit.cx)))
}

/// Cancel a subscription
///
/// Cancels a subscription that has not started. Its quantities become 0, and its charges are voided. This is final.
/// Roles: admin and sales.
#[utoipa::path(
    tag = "Subscriptions",
    params(IfMatchHeader),
    request_body = ActionRequest,
    extensions(("x-errors" = json!(["invalid_transition"]))),
    responses((status = 200, description = "The updated subscription.", body = Subscription))
)]
#[post("/subscriptions/{subscription_id}/cancel")]
pub async fn cancel_subscription(
    permit: Permit<WriteSubscriptions>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    expected: IfMatch,
    body: OptionalJson<ActionRequest>,
) -> Result<HttpResponse, Problem> {
    let subscription = subscriptions::cancel(&permit.cx, id.0, &expected.0, body.0.reason).await?;
    Ok(ok(subscription.version, Subscription::for_caller(&subscription, &permit.cx)))
}

/// List a subscription's terms
///
/// Returns the terms of the subscription, newest first, each with the prices at its start.
#[utoipa::path(tag = "Subscriptions", params(PageQuery), responses(
    (status = 200, description = "A page of terms.", body = TermList)
))]
#[get("/subscriptions/{subscription_id}/terms")]
pub async fn list_subscription_terms(
    permit: Permit<Read>,
    id: Id<SubscriptionId>,
    listing: Listing<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let (subscription, page) = subscriptions::terms(&permit.cx, id.0, &listing.window).await?;
    let page = page.map(|term| Term::new(term, &subscription));
    Ok(listing.answer(page, |data, next_cursor| TermList { data, next_cursor }))
}
