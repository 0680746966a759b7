//! Reports. A page at a time, whatever becomes of it: each sees one state of the data.

use super::{Context, Named, Result, milestones};
use crate::domain::listing::{Page, Window};
use crate::domain::report::{
    About, SubscriptionReportFilter, SubscriptionRow, TransactionReportFilter, TransactionRow, UsageReportFilter,
    UsageRow,
};
use crate::store::{Conn, reports};

/// Subscriptions in the tenant, oldest first.
///
/// # Errors
/// The filter names what is not there, or a cost is out of range.
pub async fn subscriptions(
    cx: &Context,
    filter: &SubscriptionReportFilter,
    window: &Window,
) -> Result<Page<SubscriptionRow>> {
    milestones::current_snapshot(cx, filter.about.customer_id.into(), async |tx| {
        check(tx, cx, filter.about).await?;
        Ok(reports::list_subscriptions(tx, cx.actor.scope, filter, window).await?)
    })
    .await
}

/// Lines of orders in the tenant, the newest order first.
///
/// # Errors
/// The filter names what is not there.
pub async fn transactions(
    cx: &Context,
    filter: &TransactionReportFilter,
    window: &Window,
) -> Result<Page<TransactionRow>> {
    milestones::current(cx, filter.about.customer_id.into(), async |tx| {
        check(tx, cx, filter.about).await?;
        Ok(reports::list_transactions(tx, cx.actor.scope, filter, window).await?)
    })
    .await
}

/// Lines of inventory in the tenant, in order of subscription and certificate type.
///
/// # Errors
/// The filter names what is not there.
pub async fn usage(cx: &Context, filter: &UsageReportFilter, window: &Window) -> Result<Page<UsageRow>> {
    milestones::current(cx, filter.about.customer_id.into(), async |tx| {
        check(tx, cx, filter.about).await?;
        Ok(reports::list_usage(tx, cx.actor.scope, filter, window).await?)
    })
    .await
}

async fn check(tx: &Conn, cx: &Context, about: About) -> Result<()> {
    let named = [
        ("partner_id", Named::Reseller(about.partner_id)),
        ("customer_id", Named::Customer(about.customer_id)),
        ("product_id", Named::Product(about.product_id)),
    ];
    cx.check_filter(tx, &named).await
}
