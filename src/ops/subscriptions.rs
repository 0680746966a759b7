//! Subscriptions.

use std::collections::BTreeMap;

use super::record::Saved;
use super::{Context, Error, Named, Precondition, Result, customers, found, milestones, offers, orders};
use crate::domain::basket::{self, Item};
use crate::domain::customer::{Action, Customer};
use crate::domain::event::Inventory;
use crate::domain::id::{CustomerId, ProductId, SubscriptionId};
use crate::domain::listing::{Page, SubscriptionFilter, SubscriptionSort, Whose, Window};
use crate::domain::machine::Outcome;
use crate::domain::order::{ChargeStatus, Order, OrderKind};
use crate::domain::product::Product;
use crate::domain::quote::{self, Plan, Quote};
use crate::domain::refusal::Refusal;
use crate::domain::subscription::{Command, Details, Subscription, Term};
use crate::domain::text::Reason;
use crate::store::inventory::Cause;
use crate::store::{self, Conn, in_order, products};

/// Subscriptions in the tenant.
///
/// # Errors
/// The filter names what is not there.
pub async fn list(
    cx: &Context,
    filter: &SubscriptionFilter,
    sort: SubscriptionSort,
    window: &Window,
) -> Result<Page<Subscription>> {
    let named = [
        ("customer_id", Named::Customer(filter.customer_id)),
        ("partner_id", Named::Reseller(filter.partner_id)),
        ("product_id", Named::Product(filter.product_id)),
    ];
    milestones::current_snapshot(cx, filter.customer_id.into(), async |tx| {
        cx.check_filter(tx, &named).await?;
        Ok(store::subscriptions::list(tx, cx.actor.scope, filter, sort, window).await?)
    })
    .await
}

/// The subscriptions of one customer.
///
/// # Errors
/// The customer is not found, or the filter names what is not there.
pub async fn list_of_customer(
    cx: &Context,
    customer_id: CustomerId,
    filter: &SubscriptionFilter,
    sort: SubscriptionSort,
    window: &Window,
) -> Result<Page<Subscription>> {
    customers::get(cx, customer_id).await?;
    let filter = SubscriptionFilter { customer_id: Some(customer_id), ..filter.clone() };
    list(cx, &filter, sort, window).await
}

/// A subscription.
///
/// # Errors
/// Not found.
pub async fn get(cx: &Context, id: SubscriptionId) -> Result<Subscription> {
    milestones::current(cx, Whose::Its(id), async |tx| find(tx, cx, id).await).await
}

/// The terms of a subscription, newest first.
///
/// # Errors
/// Not found.
pub async fn terms(cx: &Context, id: SubscriptionId, window: &Window) -> Result<(Subscription, Page<Term>)> {
    milestones::current_snapshot(cx, Whose::Its(id), async |tx| {
        let subscription = find(tx, cx, id).await?;
        let terms = store::subscriptions::terms(tx, id, window).await?;
        Ok((subscription, terms))
    })
    .await
}

/// Quotes new subscriptions; writes nothing.
///
/// # Errors
/// The customer is not found, or what the domain refuses.
pub async fn preview_add(cx: &Context, customer_id: CustomerId, items: &[Item]) -> Result<Quote> {
    cx.db
        .read(async |tx| {
            let customer = found(store::customers::find(tx, cx.actor.scope, customer_id).await?, "customer")?;
            let products = products::find_all(tx, &product_ids(items)).await?;
            let products = offers::offered(tx, customer_id, products).await?;
            Ok(plan_add(tx, cx, &customer, items, products).await?.quote)
        })
        .await
}

/// Adds subscriptions, all or none.
///
/// # Errors
/// The customer is not found, what the domain refuses, or the quote is stale.
pub async fn add(
    cx: &Context,
    customer_id: CustomerId,
    precondition: &Precondition,
    items: &[Item],
    digest: Option<&str>,
) -> Result<(Order, Vec<Subscription>)> {
    cx.write(async |tx| {
        let (customer, _) = customers::lock(tx, cx, customer_id, precondition).await?;
        let products = products::hold(tx, &product_ids(items)).await?;
        let products = offers::hold_offered(tx, customer_id, products).await?;
        let plan = plan_add(tx, cx, &customer, items, products).await?;
        orders::confirm(tx, cx, customer_id, None, plan, digest).await
    })
    .await
}

async fn plan_add(
    tx: &Conn,
    cx: &Context,
    customer: &Customer,
    items: &[Item],
    products: Vec<Product>,
) -> Result<Plan> {
    customer.guard(Action::AddSubscriptions, Default::default())?;
    let products: BTreeMap<_, _> = products.into_iter().map(|product| (product.id, product)).collect();
    let opened = basket::open(customer, items, &products, cx.at, || cx.new_id())?;
    let orders_before = store::orders::count(tx, customer.id, OrderKind::AddSubscriptions).await?;
    Ok(quote::add_subscriptions(customer, opened, orders_before, cx.today())?)
}

fn product_ids(items: &[Item]) -> Vec<ProductId> {
    items.iter().map(|item| item.product_id).collect()
}

/// Edits what can be edited of a subscription: automatic renewal and the caller's reference.
///
/// # Errors
/// Not found, another version, or what the domain refuses.
pub async fn update(
    cx: &Context,
    id: SubscriptionId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<Subscription> {
    change(cx, id, precondition, |subscription| subscription.edit(edit(subscription.details()), cx.at)).await
}

/// Suspends or enables a subscription.
///
/// # Errors
/// Not found, another version, or what the domain refuses.
pub async fn transition(
    cx: &Context,
    id: SubscriptionId,
    precondition: &Precondition,
    command: Command,
) -> Result<Subscription> {
    change(cx, id, precondition, |subscription| subscription.apply(command, cx.at)).await
}

/// Cancels a subscription that has not started; its charges are voided.
///
/// # Errors
/// Not found, another version, or what the domain refuses.
pub async fn cancel(
    cx: &Context,
    id: SubscriptionId,
    precondition: &Precondition,
    reason: Option<Reason>,
) -> Result<Subscription> {
    milestones::settle(cx, Whose::Its(id)).await?;
    cx.write(async |tx| {
        let subscription = lock(tx, cx, id, precondition).await?;
        let Some(plan) = quote::cancel(&subscription, reason, cx.at).map_err(|why| refused(cx, &subscription, why))?
        else {
            return Ok(subscription);
        };
        let (_, after) = orders::confirm(tx, cx, subscription.customer_id, Some(&subscription), plan, None).await?;
        let voided = store::orders::void_charges(tx, id).await?;
        cx.record(tx, voided.iter().map(|charge| Saved::charge(cx, ChargeStatus::Pending, None, charge))).await?;
        found(after.into_iter().next(), "subscription")
    })
    .await
}

async fn change(
    cx: &Context,
    id: SubscriptionId,
    precondition: &Precondition,
    change: impl FnOnce(&Subscription) -> std::result::Result<Outcome<Subscription>, Refusal>,
) -> Result<Subscription> {
    milestones::settle(cx, Whose::Its(id)).await?;
    cx.write(async |tx| {
        let before = lock(tx, cx, id, precondition).await?;
        match change(&before).map_err(|why| refused(cx, &before, why))? {
            Outcome::Unchanged => Ok(before),
            Outcome::Changed(after) => {
                save(tx, cx, &before, &after, &cx.cause(None, None)).await?;
                Ok(after)
            }
        }
    })
    .await
}

/// Saves a subscription that was locked, and tells it.
pub(super) async fn save(
    tx: &Conn,
    cx: &Context,
    before: &Subscription,
    after: &Subscription,
    cause: &Cause<'_>,
) -> Result<()> {
    in_order(store::subscriptions::save(tx, before, after, cause)).await?;
    cx.record(tx, told(cx, Some(before), after)).await
}

/// What is to be told of a subscription that was saved. An allocation moves its inventory alone.
pub(super) fn told(cx: &Context, before: Option<&Subscription>, after: &Subscription) -> Vec<Saved> {
    let is_other = before.is_none_or(|before| before.version != after.version);
    let itself = is_other.then(|| Saved::new(cx, before, after));
    let inventory = before.map(|before| Saved::new(cx, Some(&Inventory(before)), &Inventory(after)));
    itself.into_iter().chain(inventory).collect()
}

pub(super) async fn find(tx: &Conn, cx: &Context, id: SubscriptionId) -> Result<Subscription> {
    found(store::subscriptions::find(tx, cx.actor.scope, id).await?, "subscription")
}

pub(super) async fn lock(
    tx: &Conn,
    cx: &Context,
    id: SubscriptionId,
    precondition: &Precondition,
) -> Result<Subscription> {
    let subscription = found(store::subscriptions::lock(tx, cx.actor.scope, id).await?, "subscription")?;
    precondition.check(subscription.version)?;
    Ok(subscription)
}

pub(super) fn refused(cx: &Context, subscription: &Subscription, refusal: Refusal) -> Error {
    // A request that is wrong in itself is not helped by a list of what else could be done.
    let offers = match refusal {
        Refusal::Invalid(_) | Refusal::AmountOutOfRange => Vec::new(),
        _ => cx.actor.offers(subscription.possibilities(cx.today())),
    };
    Error::Refused { refusal, offers }
}
