//! Lists orders and charges, and confirms plans. `confirm` is the only function that carries out a plan.

use super::subscriptions::told;
use super::work::{Saved, Work};
use super::{Context, Error, Named, Result, found, milestones};
use crate::domain::billing::order::{Charge, ChargeFilter, Order, OrderFilter, OrderLine};
use crate::domain::billing::quote::Plan;
use crate::domain::id::{CustomerId, OrderId};
use crate::domain::listing::{Page, Window};
use crate::domain::subscription::Subscription;
use crate::store::{orders, subscriptions};

/// Lists the orders in the tenant, newest first, without their lines but with the number of lines.
///
/// # Errors
/// The filter names a resource that does not exist.
pub async fn list(cx: &Context, filter: &OrderFilter, window: &Window) -> Result<Page<(Order, i64)>> {
    let named = [
        ("customer_id", Named::Customer(filter.customer_id)),
        ("subscription_id", Named::Subscription(filter.subscription_id)),
    ];
    milestones::current(cx, filter.customer_id.into(), async |conn| {
        cx.checked(conn, &named, orders::list(conn, cx.actor.scope, filter, window)).await
    })
    .await
}

/// Returns the order.
///
/// # Errors
/// The order does not exist.
pub async fn get(cx: &Context, id: OrderId) -> Result<Order> {
    cx.db.statement(async |conn| found(orders::find(conn, cx.actor.scope, id).await?, "order")).await
}

/// Lists the lines of an order.
///
/// # Errors
/// The order does not exist.
pub async fn lines(cx: &Context, id: OrderId, window: &Window) -> Result<Page<OrderLine>> {
    cx.db.statement(async |conn| found(orders::lines(conn, cx.actor.scope, id, window).await?, "order")).await
}

/// Lists the charges in the tenant, newest first.
///
/// # Errors
/// The filter names a resource that does not exist.
pub async fn list_charges(cx: &Context, filter: &ChargeFilter, window: &Window) -> Result<Page<Charge>> {
    let named = [("customer_id", Named::Customer(filter.customer_id))];
    milestones::current(cx, filter.customer_id.into(), async |conn| {
        cx.checked(conn, &named, orders::list_charges(conn, cx.actor.scope, filter, window)).await
    })
    .await
}

/// Carries out a plan: writes the order, its charges, the subscriptions and their ledger entries. `before` is the
/// locked subscription that the plan changes; `None` if the plan creates subscriptions.
///
/// # Errors
/// [`Error::QuoteStale`] if `digest` is not the digest of this plan.
pub(super) fn confirm(
    work: &mut Work<'_>,
    cx: &Context,
    customer_id: CustomerId,
    before: Option<&Subscription>,
    plan: Plan,
    digest: Option<&str>,
) -> Result<(Order, Vec<Subscription>)> {
    let Plan { quote, subscriptions } = plan;
    if digest.is_some_and(|digest| digest != quote.digest) {
        return Err(Error::QuoteStale(Box::new(quote)));
    }
    let order = Order::confirm(cx.new_id_of(customer_id), customer_id, quote, &subscriptions, cx.actor.label(), cx.at);
    let charges = order.charges(|| cx.new_id_of(customer_id));
    let cause = cx.cause(Some(order.id), None);
    // In this order, because the ledger refers to the order, and the order lines refer to the subscriptions.
    work.write([orders::insert(&order)]);
    let mut saved = Vec::new();
    for subscription in &subscriptions {
        work.write(match before {
            Some(before) => subscriptions::save(before, subscription, &cause),
            None => subscriptions::insert(subscription, &cause),
        });
        saved.extend(told(cx, before, subscription));
    }
    work.write(orders::insert_lines(&order, &charges));
    saved.push(Saved::new(cx, None, &order));
    saved.extend(charges.iter().map(|charge| Saved::new(cx, None, charge)));
    work.record(cx, saved);
    Ok((order, subscriptions))
}
