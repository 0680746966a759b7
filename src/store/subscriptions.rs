//! Subscriptions with their terms. Their lines are in [`inventory`].

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use tokio::join;

use super::columns::Json;
use super::customers::{ids_in_scope, visible};
use super::filters::{between, one_of};
use super::fragments::{LinesOf, LinesOfSubscription};
use super::inventory::{self, Cause, Lines};
use super::page::{self, fetch, keyset};
use super::rows::{self, record};
use super::run::Write;
use super::schema::{customers, products, subscription_terms, subscriptions};
use super::{Conn, Error, Result};
use crate::domain::authorization::Scope;
use crate::domain::catalog::product::UnitPrices;
use crate::domain::id::{CustomerId, ProductId, SubscriptionId, Version};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::money::Currency;
use crate::domain::subscription::inventory::Line;
use crate::domain::subscription::{
    Cancellation, State, Subscription, SubscriptionFilter, SubscriptionSort, SubscriptionStatus, Suspension, Term,
};
use crate::domain::text::{Code, ExternalId, Reason};
use crate::domain::time::Schedule;

#[derive(Queryable, Selectable)]
#[diesel(table_name = subscriptions, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: SubscriptionId,
    customer_id: CustomerId,
    product_id: ProductId,
    external_id: Option<ExternalId>,
    currency: Currency,
    status: SubscriptionStatus,
    suspended_at: Option<DateTime<Utc>>,
    suspended_reason: Option<Reason>,
    cancelled_at: Option<DateTime<Utc>>,
    cancelled_reason: Option<Reason>,
    lapsed: bool,
    auto_renew: bool,
    anchor: NaiveDate,
    anchor_term: i32,
    term_months: i32,
    term_number: i32,
    start_date: NaiveDate,
    end_date: NaiveDate,
    unit_prices: Json<UnitPrices>,
    version: Version,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    due_date: Option<NaiveDate>,
    updated_by: String,
}

record!(Row in subscriptions: key(id) fixed(customer_id, created_at)
    rest(product_id, external_id, currency, status, suspended_at, suspended_reason, cancelled_at, cancelled_reason,
        lapsed, auto_renew, anchor, anchor_term, term_months, term_number, start_date, end_date, unit_prices, version,
        updated_at, due_date, updated_by));

#[derive(Queryable, Selectable)]
#[diesel(table_name = subscription_terms, check_for_backend(diesel::pg::Pg))]
struct TermRow {
    customer_id: CustomerId,
    subscription_id: SubscriptionId,
    number: i32,
    start_date: NaiveDate,
    end_date: NaiveDate,
    unit_prices: Json<UnitPrices>,
}

record!(TermRow in subscription_terms: key(subscription_id, number) fixed(customer_id, start_date, end_date)
    rest(unit_prices));

impl From<&Subscription> for TermRow {
    fn from(subscription: &Subscription) -> Self {
        let term = &subscription.term;
        Self {
            customer_id: subscription.customer_id,
            subscription_id: subscription.id,
            number: term.number,
            start_date: term.start_date,
            end_date: term.end_date,
            unit_prices: Json(term.unit_prices.clone()),
        }
    }
}

impl Row {
    fn new(subscription: &Subscription, updated_by: String) -> Self {
        let suspension = subscription.suspension();
        let cancellation = subscription.cancellation();
        Self {
            id: subscription.id,
            customer_id: subscription.customer_id,
            product_id: subscription.product_id,
            external_id: subscription.external_id.clone(),
            currency: subscription.currency,
            status: subscription.status(),
            suspended_at: suspension.map(|suspension| suspension.at),
            suspended_reason: suspension.and_then(|suspension| suspension.reason.clone()),
            cancelled_at: cancellation.map(|cancellation| cancellation.at),
            cancelled_reason: cancellation.and_then(|cancellation| cancellation.reason.clone()),
            lapsed: suspension.is_some_and(|suspension| suspension.lapsed),
            auto_renew: subscription.auto_renew,
            anchor: subscription.schedule.anchor,
            anchor_term: subscription.schedule.first,
            term_months: subscription.schedule.months,
            term_number: subscription.term.number,
            start_date: subscription.term.start_date,
            end_date: subscription.term.end_date,
            unit_prices: Json(subscription.term.unit_prices.clone()),
            version: subscription.version,
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
            due_date: subscription.next_due().map(|due| due.on),
            updated_by,
        }
    }

    fn into_subscription(self, product_code: Code, lines: Vec<Line>) -> Result<Subscription> {
        let state = match (self.status, self.suspended_at, self.cancelled_at) {
            (SubscriptionStatus::Pending, None, None) => State::Pending,
            (SubscriptionStatus::Active, None, None) => State::Active,
            (SubscriptionStatus::Suspended, Some(at), None) => {
                State::Suspended(Suspension { at, reason: self.suspended_reason, lapsed: self.lapsed })
            }
            (SubscriptionStatus::Expired, None, None) => State::Expired,
            (SubscriptionStatus::Cancelled, None, Some(at)) => {
                State::Cancelled(Cancellation { at, reason: self.cancelled_reason })
            }
            _ => return Err(Error::Corrupt { table: "subscriptions", reason: "the columns do not match the status" }),
        };
        Ok(Subscription {
            id: self.id,
            customer_id: self.customer_id,
            product_id: self.product_id,
            product_code,
            external_id: self.external_id,
            currency: self.currency,
            state,
            auto_renew: self.auto_renew,
            schedule: Schedule { anchor: self.anchor, first: self.anchor_term, months: self.term_months },
            term: Term {
                number: self.term_number,
                start_date: self.start_date,
                end_date: self.end_date,
                unit_prices: self.unit_prices.0,
            },
            lines,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

/// A subscription with the code of its product and its lines.
type Found = (Row, Code, Json<Lines>);

fn found((row, code, Json(Lines(lines))): Found) -> Result<Subscription> {
    row.into_subscription(code, lines)
}

/// Returns a subscription in scope.
pub async fn find(mut conn: &Conn, scope: Scope, id: SubscriptionId) -> Result<Option<Subscription>> {
    let query = subscriptions::table
        .inner_join(products::table)
        .filter(subscriptions::id.eq(id))
        .select((Row::as_select(), products::code, LinesOf(id)))
        .into_boxed();
    let row: Option<Found> = visible!(query, subscriptions::customer_id, scope).first(&mut conn).await.optional()?;
    row.map(found).transpose()
}

/// Returns the subscriptions with these ids that exist. Only for the service itself: this function takes no scope.
pub async fn find_all(mut conn: &Conn, ids: &[SubscriptionId]) -> Result<Vec<Subscription>> {
    let rows: Vec<Found> = subscriptions::table
        .inner_join(products::table)
        .filter(subscriptions::id.eq_any(ids))
        .select((Row::as_select(), products::code, LinesOfSubscription))
        .load(&mut conn)
        .await?;
    rows.into_iter().map(found).collect()
}

/// Returns a subscription in scope, and locks it for update until the transaction ends.
pub async fn lock(conn: &Conn, scope: Scope, id: SubscriptionId) -> Result<Option<Subscription>> {
    // The filter stands next to the lock, so that a subscription out of scope is not waited for.
    let row = subscriptions::table.filter(subscriptions::id.eq(id)).select(subscriptions::id);
    let lock = async {
        let lock = match scope.reseller() {
            None => row.for_update().first::<SubscriptionId>(&mut &*conn).await,
            Some(_) => {
                let visible = row.filter(subscriptions::customer_id.eq_any(ids_in_scope(scope)));
                visible.for_update().first(&mut &*conn).await
            }
        };
        lock.optional()
    };
    // Read after the row is locked. A row that was read together with the lock could be an older version.
    let (locked, found) = join!(biased; lock, find(conn, scope, id));
    match locked? {
        Some(_) => found,
        None => Ok(None),
    }
}

/// Lists subscriptions in scope.
pub async fn list(
    mut conn: &Conn,
    scope: Scope,
    filter: &SubscriptionFilter,
    sort: SubscriptionSort,
    window: &Window,
) -> Result<Page<Subscription>> {
    let mut query = subscriptions::table
        .inner_join(products::table)
        .select((Row::as_select(), products::code, LinesOfSubscription))
        .into_boxed();
    query = visible!(query, subscriptions::customer_id, scope);
    if let Some(customer_id) = filter.customer_id {
        query = query.filter(subscriptions::customer_id.eq(customer_id));
    }
    if let Some(partner_id) = filter.partner_id {
        let managed = customers::table.filter(customers::reseller_id.eq(partner_id)).select(customers::id);
        query = query.filter(subscriptions::customer_id.eq_any(managed));
    }
    if let Some(product_id) = filter.product_id {
        query = query.filter(subscriptions::product_id.eq(product_id));
    }
    query = one_of!(query, subscriptions::status, filter.status);
    if let Some(auto_renew) = filter.auto_renew {
        query = query.filter(subscriptions::auto_renew.eq(auto_renew));
    }
    query = between!(query, subscriptions::end_date, filter.ends_after, filter.ends_before);
    let (end, created, id) = (subscriptions::end_date, subscriptions::created_at, subscriptions::id);
    let query = match sort {
        SubscriptionSort::EndAscending => keyset!(query, end, id, window, page::date_after(window), ascending),
        SubscriptionSort::EndDescending => keyset!(query, end, id, window, page::date_after(window), descending),
        SubscriptionSort::CreatedAscending => {
            keyset!(query, created, id, window, page::instant_after(window), ascending)
        }
        SubscriptionSort::CreatedDescending => {
            keyset!(query, created, id, window, page::instant_after(window), descending)
        }
    };
    let rows: Vec<Found> =
        fetch!(conn, query, window, *filter != SubscriptionFilter::default() || scope.reseller().is_some());
    let page = Page::cut(rows, window.limit, |(row, ..)| Position {
        value: match sort {
            SubscriptionSort::EndAscending | SubscriptionSort::EndDescending => SortValue::Date(row.end_date),
            SubscriptionSort::CreatedAscending | SubscriptionSort::CreatedDescending => {
                SortValue::Instant(row.created_at)
            }
        },
        id: row.id.0,
    });
    page.try_map(found)
}

/// Inserts a subscription, its first term, its lines and their first ledger entries.
#[must_use]
pub fn insert(subscription: &Subscription, cause: &Cause<'_>) -> Vec<Write> {
    let row = rows::insert([Row::new(subscription, cause.actor.clone())]);
    let mut writes = vec![row, rows::insert([TermRow::from(subscription)])];
    writes.extend(inventory::save(subscription, &[], cause));
    writes
}

/// Updates a subscription that was locked, and its changed lines with their ledger entries.
#[must_use]
pub fn save(before: &Subscription, after: &Subscription, cause: &Cause<'_>) -> Vec<Write> {
    let mut writes = Vec::new();
    if after.version != before.version {
        writes.push(rows::update([Row::new(after, cause.actor.clone())]));
    }
    if after.term.number != before.term.number {
        // A term is inserted once. A second term with the same number would be a second renewal, which the database
        // rejects.
        writes.push(rows::insert([TermRow::from(after)]));
    } else if after.term != before.term {
        writes.push(rows::update([TermRow::from(after)]));
    }
    writes.extend(inventory::save(after, &before.lines, cause));
    writes
}

/// Lists the terms of a subscription, newest first. Get the subscription first: this function takes no scope.
pub async fn terms(mut conn: &Conn, id: SubscriptionId, window: &Window) -> Result<Page<Term>> {
    let mut query = subscription_terms::table
        .filter(subscription_terms::subscription_id.eq(id))
        .order(subscription_terms::number.desc())
        .limit(window.limit + 1)
        .select(TermRow::as_select())
        .into_boxed();
    if let Some(SortValue::Number(number)) = window.after.as_ref().map(|after| &after.value) {
        query = query.filter(subscription_terms::number.lt(*number));
    }
    let rows: Vec<TermRow> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position { value: SortValue::Number(row.number), id: id.0 });
    Ok(page.map(|row| Term {
        number: row.number,
        start_date: row.start_date,
        end_date: row.end_date,
        unit_prices: row.unit_prices.0,
    }))
}
