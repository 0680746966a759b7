//! Lists, previews, adds, edits, suspends, enables and cancels subscriptions.

use std::collections::BTreeMap;

use tokio::try_join;

use super::work::{Entity, Saved, refused};
use super::{Context, Named, Precondition, Result, customers, found, milestones, offers, orders};
use crate::domain::authorization::{Right, Scope};
use crate::domain::billing::add_subscriptions::{self, Item};
use crate::domain::billing::order::{ChargeStatus, Order, OrderKind};
use crate::domain::billing::quote::{self, Plan, Quote};
use crate::domain::catalog::product::Product;
use crate::domain::events::Inventory;
use crate::domain::id::{CustomerId, ProductId, SubscriptionId, Version};
use crate::domain::listing::{Page, Window};
use crate::domain::machine::Possibility;
use crate::domain::parties::customer::{Action, Customer};
use crate::domain::subscription::{Command, Details, Subscription, SubscriptionFilter, SubscriptionSort, Term, Whose};
use crate::domain::text::Reason;
use crate::store::{self, Conn, Write};

/// Lists the subscriptions in the tenant.
///
/// # Errors
/// The filter names a resource that does not exist.
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
    milestones::current(cx, filter.customer_id.into(), async |conn| {
        cx.checked(conn, &named, store::subscriptions::list(conn, cx.actor.scope, filter, sort, window)).await
    })
    .await
}

/// Lists the subscriptions of one customer.
///
/// # Errors
/// The customer does not exist, or the filter names a resource that does not exist.
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

/// Returns the subscription.
///
/// # Errors
/// The subscription does not exist.
pub async fn get(cx: &Context, id: SubscriptionId) -> Result<Subscription> {
    let is_due = |subscription: &Subscription| subscription.due(cx.today()).is_some();
    milestones::current_one(cx, Whose::Its(id), async |conn: &Conn| find(conn, cx, id).await, is_due).await
}

/// Lists the terms of a subscription, newest first.
///
/// # Errors
/// The subscription does not exist.
pub async fn terms(cx: &Context, id: SubscriptionId, window: &Window) -> Result<(Subscription, Page<Term>)> {
    milestones::current(cx, Whose::Its(id), async |conn| {
        let terms = async { Ok(store::subscriptions::terms(conn, id, window).await?) };
        try_join!(biased; find(conn, cx, id), terms)
    })
    .await
}

/// Quotes new subscriptions without writing anything.
///
/// # Errors
/// The customer does not exist, or a rule denies it.
pub async fn preview_add(cx: &Context, customer_id: CustomerId, items: &[Item]) -> Result<Quote> {
    let (ids, scope) = (product_ids(items), cx.actor.scope);
    let read = async |conn: &Conn| {
        let customer = async { found(store::customers::find(conn, scope, customer_id).await?, "customer") };
        try_join!(biased; customer, offers::find(conn, customer_id, &ids), count_orders(conn, customer_id))
    };
    let (customer, products, orders_before) = cx.db.statement(read).await?;
    Ok(plan_add(cx, &customer, items, products, orders_before)?.quote)
}

/// Adds subscriptions, all or none.
///
/// # Errors
/// The customer does not exist, a rule denies it, or the quote is stale.
pub async fn add(
    cx: &Context,
    customer_id: CustomerId,
    precondition: &Precondition,
    items: &[Item],
    digest: Option<&str>,
) -> Result<(Order, Vec<Subscription>)> {
    cx.write(async |work| {
        let ids = product_ids(items);
        // The other two are read after the lock is granted.
        let lock = work.lock(cx, customer_id, precondition);
        let hold = offers::hold(work.conn, customer_id, &ids);
        let count = count_orders(work.conn, customer_id);
        let ((customer, _), products, orders_before): (customers::Known, _, _) = try_join!(biased; lock, hold, count)?;
        let plan = plan_add(cx, &customer, items, products, orders_before)?;
        orders::confirm(work, cx, customer_id, None, plan, digest)
    })
    .await
}

/// The number of orders of the customer that add subscriptions.
async fn count_orders(conn: &Conn, customer_id: CustomerId) -> Result<i64> {
    Ok(store::orders::count(conn, customer_id, OrderKind::AddSubscriptions).await?)
}

fn plan_add(
    cx: &Context,
    customer: &Customer,
    items: &[Item],
    products: Vec<Product>,
    orders_before: i64,
) -> Result<Plan> {
    customer.guard(Action::AddSubscriptions, Default::default())?;
    let products: BTreeMap<_, _> = products.into_iter().map(|product| (product.id, product)).collect();
    let opened = add_subscriptions::open(customer, items, &products, cx.at, || cx.new_id_of(customer.id))?;
    Ok(quote::add_subscriptions(customer, opened, orders_before, cx.today())?)
}

fn product_ids(items: &[Item]) -> Vec<ProductId> {
    items.iter().map(|item| item.product_id).collect()
}

/// Edits the automatic renewal and the external id of a subscription.
///
/// # Errors
/// The subscription does not exist, has another version, or a rule denies the change.
pub async fn update(
    cx: &Context,
    id: SubscriptionId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<Subscription> {
    let edit = |before: &Subscription| before.edit(edit(before.details()), cx.at);
    cx.change_one(id, precondition, edit).await
}

/// Suspends or enables a subscription.
///
/// # Errors
/// The subscription does not exist, has another version, or a rule denies the change.
pub async fn transition(
    cx: &Context,
    id: SubscriptionId,
    precondition: &Precondition,
    command: Command,
) -> Result<Subscription> {
    cx.change_one(id, precondition, |before: &Subscription| before.apply(command, cx.at)).await
}

/// Cancels a subscription that has not started, and voids its charges.
///
/// # Errors
/// The subscription does not exist, has another version, or a rule denies the change.
pub async fn cancel(
    cx: &Context,
    id: SubscriptionId,
    precondition: &Precondition,
    reason: Option<Reason>,
) -> Result<Subscription> {
    cx.change(Whose::Its(id), async |work| {
        let before: Subscription = work.lock(cx, id, precondition).await?;
        let Some(plan) = quote::cancel(&before, reason, cx.at).map_err(|why| refused(cx, &before, why))? else {
            return Ok(before);
        };
        let pending = store::orders::lock_pending_charges(work.conn, id).await?;
        let (_, after) = orders::confirm(work, cx, before.customer_id, Some(&before), plan, None)?;
        work.write([store::orders::save_charges(&pending, ChargeStatus::Voided, None)]);
        work.record(cx, pending.iter().map(|charge| Saved::charge(cx, charge, ChargeStatus::Voided, None)));
        found(after.into_iter().next(), "subscription")
    })
    .await
}

/// The changes to record when a subscription was saved. An allocation changes only the inventory.
pub(super) fn told(cx: &Context, before: Option<&Subscription>, after: &Subscription) -> Vec<Saved> {
    let is_other = before.is_none_or(|before| before.version != after.version);
    let itself = is_other.then(|| Saved::new(cx, before, after));
    let inventory = before.map(|before| Saved::new(cx, Some(&Inventory(before)), &Inventory(after)));
    itself.into_iter().chain(inventory).collect()
}

pub(super) async fn find(tx: &Conn, cx: &Context, id: SubscriptionId) -> Result<Subscription> {
    found(store::subscriptions::find(tx, cx.actor.scope, id).await?, "subscription")
}

impl Entity for Subscription {
    type Id = SubscriptionId;

    const NAME: &'static str = "subscription";

    async fn lock(conn: &Conn, scope: Scope, id: SubscriptionId) -> store::Result<Option<Self>> {
        store::subscriptions::lock(conn, scope, id).await
    }

    fn depends_on(id: SubscriptionId) -> Option<Whose> {
        Some(Whose::Its(id))
    }

    fn version(&self) -> Version {
        self.version
    }

    fn possibilities(&self, cx: &Context) -> Vec<(Right, Possibility)> {
        self.possibilities(cx.today())
    }

    fn rows(&self, cx: &Context, before: &Self) -> Vec<Write> {
        store::subscriptions::save(before, self, &cx.cause(None, None))
    }

    fn told(&self, cx: &Context, before: &Self) -> Vec<Saved> {
        told(cx, Some(before), self)
    }
}
