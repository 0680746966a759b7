//! Forecasts upcoming charges: pending charges, and the cost of future renewals.

use chrono::{Days, NaiveDate};

use super::offers::Offers;
use super::{Context, Named, Result, found, milestones};
use crate::domain::billing::order::{ChargeFilter, ChargeStatus};
use crate::domain::billing::upcoming_charge::{Forecast, UpcomingCharge, UpcomingFilter, renewals};
use crate::domain::id::CustomerId;
use crate::domain::listing::{Page, Window};
use crate::domain::money::Money;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::domain::subscription::{SubscriptionFilter, SubscriptionSort, SubscriptionStatus, Whose};
use crate::domain::time::add_months;
use crate::store::{Conn, customers, orders, subscriptions};

/// The maximum length of the forecast, in days from today.
const MAX_DAYS_AHEAD: u64 = 366;

/// The number of rows that are read at once. More would only take more memory.
const PIECE: i64 = 500;

/// Lists the pending charges of a customer, and the cost of its renewals.
///
/// # Errors
/// The customer does not exist, or the period is invalid.
pub async fn of_customer(
    cx: &Context,
    customer_id: CustomerId,
    filter: &UpcomingFilter,
    window: &Window,
) -> Result<(Page<UpcomingCharge>, Vec<Money>)> {
    let find = async |conn: &Conn| found(customers::find(conn, cx.actor.scope, customer_id).await?, "customer");
    cx.db.statement(find).await?;
    list(cx, &UpcomingFilter { customer_id: Some(customer_id), ..*filter }, window).await
}

/// Lists pending charges and the cost of renewals, sorted by day, with the totals of all of them. Renewals that would
/// cost more than the maximum amount are omitted.
///
/// # Errors
/// The filter names a resource that does not exist, or the period is invalid.
pub async fn list(
    cx: &Context,
    filter: &UpcomingFilter,
    window: &Window,
) -> Result<(Page<UpcomingCharge>, Vec<Money>)> {
    let to = last_day(filter, cx.today())?;
    milestones::settle(cx, Whose::from(filter.customer_id)).await?;
    let named = [("partner_id", Named::Reseller(filter.partner_id))];
    cx.db.statement(async |conn| cx.checked(conn, &named, async { Ok(()) }).await).await?;

    let mut forecast = Forecast::new(window);
    add_pending(cx, filter, to, &mut forecast).await?;
    add_renewals(cx, filter, to, &mut forecast).await?;
    Ok(forecast.finish()?)
}

/// The exclusive end of the period: one month from today unless the filter names a day.
fn last_day(filter: &UpcomingFilter, today: NaiveDate) -> std::result::Result<NaiveDate, Refusal> {
    let latest = today + Days::new(MAX_DAYS_AHEAD);
    let to = filter.to.unwrap_or_else(|| add_months(today, 1));
    let wrong = |pointer, detail: String| Err(Violation::new(pointer, ViolationCode::OutOfRange, detail).into());
    if to > latest {
        return wrong(
            "/to",
            format!("The latest possible day is {latest}, {MAX_DAYS_AHEAD} days from today. Choose an earlier day."),
        );
    }
    if filter.from.is_some_and(|from| from >= to) {
        return wrong("/from", format!("`from` must be before {to}, the end of the period. Choose an earlier day."));
    }
    Ok(to)
}

async fn add_pending(cx: &Context, filter: &UpcomingFilter, to: NaiveDate, forecast: &mut Forecast<'_>) -> Result<()> {
    let filter = ChargeFilter {
        customer_id: filter.customer_id,
        partner_id: filter.partner_id,
        status: vec![ChargeStatus::Pending],
        due_after: filter.from,
        due_before: Some(to),
    };
    let mut window = Window { limit: PIECE, after: None };
    loop {
        let list = async |conn: &Conn| orders::list_charges(conn, cx.actor.scope, &filter, &window).await;
        let page: Page<_> = cx.db.statement(list).await?;
        page.rows.into_iter().for_each(|charge| forecast.add(charge.into()));
        match page.next {
            None => return Ok(()),
            next => window.after = next,
        }
    }
}

async fn add_renewals(cx: &Context, filter: &UpcomingFilter, to: NaiveDate, forecast: &mut Forecast<'_>) -> Result<()> {
    let which = SubscriptionFilter {
        customer_id: filter.customer_id,
        partner_id: filter.partner_id,
        status: vec![SubscriptionStatus::Pending, SubscriptionStatus::Active],
        auto_renew: Some(true),
        ends_before: Some(to),
        ..SubscriptionFilter::default()
    };
    let mut window = Window { limit: PIECE, after: None };
    loop {
        let sort = SubscriptionSort::EndAscending;
        let (page, offers) = cx
            .db
            .read(async |tx| {
                let page = subscriptions::list(tx, cx.actor.scope, &which, sort, &window).await?;
                let offers = Offers::of_subscriptions(tx, &page.rows).await?;
                Ok::<_, super::Error>((page, offers))
            })
            .await?;
        for subscription in &page.rows {
            let Some(product) = offers.to(subscription.customer_id, subscription.product_id) else { continue };
            match renewals(subscription, &product, to) {
                Ok(charges) => charges
                    .into_iter()
                    .filter(|charge| filter.from.is_none_or(|from| charge.due_date >= from))
                    .for_each(|charge| forecast.add(charge)),
                Err(refusal) => tracing::warn!(subscription_id = %subscription.id, %refusal, "omitted from a forecast"),
            }
        }
        match page.next {
            None => return Ok(()),
            next => window.after = next,
        }
    }
}
