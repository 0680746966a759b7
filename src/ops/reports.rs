//! Reports on subscriptions, transactions and usage, page by page. Each page is one statement and therefore shows one
//! consistent state of the data.

use super::{Context, Named, Result, milestones};
use crate::domain::listing::{Page, Window};
use crate::domain::report::{
    About, SubscriptionReportFilter, SubscriptionRow, TransactionReportFilter, TransactionRow, UsageReportFilter,
    UsageRow,
};
use crate::store::reports;

/// Lists the subscriptions in the tenant, oldest first.
///
/// # Errors
/// The filter names a resource that does not exist, or a cost is out of range.
pub async fn subscriptions(
    cx: &Context,
    filter: &SubscriptionReportFilter,
    window: &Window,
) -> Result<Page<SubscriptionRow>> {
    milestones::current(cx, filter.about.customer_id.into(), async |conn| {
        let list = reports::list_subscriptions(conn, cx.actor.scope, filter, window);
        cx.checked(conn, &named(filter.about), list).await
    })
    .await
}

/// Lists the order lines in the tenant, newest order first.
///
/// # Errors
/// The filter names a resource that does not exist.
pub async fn transactions(
    cx: &Context,
    filter: &TransactionReportFilter,
    window: &Window,
) -> Result<Page<TransactionRow>> {
    milestones::current(cx, filter.about.customer_id.into(), async |conn| {
        let list = reports::list_transactions(conn, cx.actor.scope, filter, window);
        cx.checked(conn, &named(filter.about), list).await
    })
    .await
}

/// Lists the inventory lines in the tenant, sorted by subscription and certificate type.
///
/// # Errors
/// The filter names a resource that does not exist.
pub async fn usage(cx: &Context, filter: &UsageReportFilter, window: &Window) -> Result<Page<UsageRow>> {
    milestones::current(cx, filter.about.customer_id.into(), async |conn| {
        let list = reports::list_usage(conn, cx.actor.scope, filter, window);
        cx.checked(conn, &named(filter.about), list).await
    })
    .await
}

fn named(about: About) -> [(&'static str, Named); 3] {
    [
        ("partner_id", Named::Reseller(about.partner_id)),
        ("customer_id", Named::Customer(about.customer_id)),
        ("product_id", Named::Product(about.product_id)),
    ]
}
