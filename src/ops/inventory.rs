//! Reads the inventory of subscriptions and its ledger, quotes and confirms changes, and sets thresholds.

use super::subscriptions::find;
use super::work::refused;
use super::{Context, Precondition, Result, found, milestones, offers, orders, subscriptions};
use crate::domain::billing::order::Order;
use crate::domain::billing::quote::{self, Plan, Quote};
use crate::domain::catalog::product::Product;
use crate::domain::id::{SubscriptionId, Version};
use crate::domain::listing::{Page, Window};
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::domain::subscription::inventory::{Entry, Line, replay};
use crate::domain::subscription::{Command, Subscription, Whose};
use crate::domain::text::Code;
use crate::store::inventory;
use chrono::{DateTime, Utc};
use tokio::try_join;

#[derive(Debug, Clone)]
pub enum Change {
    /// Additional quantities per certificate type, effective now.
    AddCurrent(Vec<(Code, i32)>),
    /// The quantities per certificate type in the next term. `None` means the same as the current quantity.
    SetRenewal(Vec<(Code, Option<i32>)>),
    /// A new term for a lapsed subscription.
    Renew,
}

impl Change {
    fn plan(
        &self,
        subscription: &Subscription,
        product: &Product,
        at: DateTime<Utc>,
    ) -> std::result::Result<Plan, Refusal> {
        match self {
            Self::AddCurrent(additions) => quote::add_current_inventory(subscription, product, additions, at),
            Self::SetRenewal(quantities) => quote::set_renewal_inventory(subscription, product, quantities, at),
            Self::Renew => quote::renew(subscription, product, at),
        }
    }
}

/// Returns the inventory of a subscription, now or at an instant in the past according to the ledger, and the version
/// of the subscription.
///
/// # Errors
/// The subscription does not exist, or the instant is in the future.
pub async fn get(cx: &Context, id: SubscriptionId, as_of: Option<DateTime<Utc>>) -> Result<(Vec<Line>, Version)> {
    let Some(at) = as_of else {
        let subscription = subscriptions::get(cx, id).await?;
        return Ok((subscription.lines, subscription.version));
    };
    milestones::current(cx, Whose::Its(id), async |conn| {
        let movements = async { Ok(inventory::last_movements(conn, id, at).await?) };
        let (subscription, movements) = try_join!(biased; find(conn, cx, id), movements)?;
        if at > cx.at {
            let detail = "You cannot request a future instant. Use an instant in the past.";
            return Err(Refusal::from(Violation::new("/as_of", ViolationCode::OutOfRange, detail)).into());
        }
        Ok((replay(movements), subscription.version))
    })
    .await
}

/// Quotes a change without writing anything.
///
/// # Errors
/// The subscription does not exist, or a rule denies the change.
pub async fn preview(cx: &Context, id: SubscriptionId, change: &Change) -> Result<Quote> {
    milestones::current(cx, Whose::Its(id), async |conn| {
        let subscription = find(conn, cx, id).await?;
        let offered = offers::find(conn, subscription.customer_id, &[subscription.product_id]).await?;
        let product = found(offered.into_iter().next(), "product")?;
        let plan = change.plan(&subscription, &product, cx.at);
        Ok(plan.map_err(|why| refused(cx, &subscription, why))?.quote)
    })
    .await
}

/// Makes exactly the change that [`preview`] would quote now.
///
/// # Errors
/// The subscription does not exist, has another version, a rule denies the change, or the quote is stale.
pub async fn confirm(
    cx: &Context,
    id: SubscriptionId,
    precondition: &Precondition,
    change: &Change,
    digest: Option<&str>,
) -> Result<(Order, Subscription)> {
    cx.change(Whose::Its(id), async |work| {
        let before: Subscription = work.lock(cx, id, precondition).await?;
        let offered = offers::hold(work.conn, before.customer_id, &[before.product_id]).await?;
        let product = found(offered.into_iter().next(), "product")?;
        let plan = change.plan(&before, &product, cx.at).map_err(|why| refused(cx, &before, why))?;
        let (order, after) = orders::confirm(work, cx, before.customer_id, Some(&before), plan, digest)?;
        Ok((order, found(after.into_iter().next(), "subscription")?))
    })
    .await
}

/// Sets the thresholds of certificate types.
///
/// # Errors
/// The subscription does not exist, has another version, or a rule denies the change.
pub async fn set_thresholds(
    cx: &Context,
    id: SubscriptionId,
    precondition: &Precondition,
    thresholds: Vec<(Code, Option<i32>)>,
) -> Result<Vec<Line>> {
    Ok(subscriptions::transition(cx, id, precondition, Command::SetThresholds(thresholds)).await?.lines)
}

/// Lists the entries of the inventory ledger of a subscription, newest first.
///
/// # Errors
/// The subscription does not exist.
pub async fn ledger(cx: &Context, id: SubscriptionId, window: &Window) -> Result<Page<Entry>> {
    milestones::current(cx, Whose::Its(id), async |conn| {
        let ledger = async { Ok(inventory::ledger(conn, id, window).await?) };
        let (_, page) = try_join!(biased; find(conn, cx, id), ledger)?;
        Ok(page)
    })
    .await
}
