//! Subscriptions that wait for what time should have made of them, and why some of them have to.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::customers::ids_in_scope;
use super::run::{Statement, Write};
use super::schema::{renewal_failures, subscriptions};
use super::{Conn, Result};
use crate::domain::access::Scope;
use crate::domain::id::{CustomerId, SubscriptionId, Version};
use crate::domain::listing::{Page, Position, SortValue, Whose, Window};
use crate::domain::renewal_failure::{FailureCode, RenewalFailure, Waiting};

#[derive(Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = renewal_failures, treat_none_as_default_value = false, check_for_backend(diesel::pg::Pg))]
struct Row {
    subscription_id: SubscriptionId,
    #[diesel(skip_update)]
    customer_id: CustomerId,
    due_date: NaiveDate,
    version: Version,
    code: FailureCode,
    attempts: i32,
    first_failed_at: DateTime<Utc>,
    last_failed_at: DateTime<Utc>,
    next_attempt_at: DateTime<Utc>,
}

impl Row {
    fn into_failure(self) -> RenewalFailure {
        RenewalFailure {
            waiting: Waiting {
                subscription_id: self.subscription_id,
                customer_id: self.customer_id,
                due_date: self.due_date,
                version: self.version,
            },
            code: self.code,
            attempts: self.attempts,
            first_failed_at: self.first_failed_at,
            last_failed_at: self.last_failed_at,
            next_attempt_at: self.next_attempt_at,
        }
    }
}

type WaitingRow = (SubscriptionId, CustomerId, Option<NaiveDate>, Version);

fn waiting((subscription_id, customer_id, due_date, version): WaitingRow) -> Option<Waiting> {
    due_date.map(|due_date| Waiting { subscription_id, customer_id, due_date, version })
}

/// Failures that were told and whose time to be tried again has not come, of the subscription of the query
/// around this. A failure is about the due date and the version that stand in it.
macro_rules! in_vain_until {
    ($at:expr) => {
        exists(
            renewal_failures::table
                .filter(renewal_failures::subscription_id.eq(subscriptions::id))
                .filter(renewal_failures::due_date.nullable().eq(subscriptions::due_date))
                .filter(renewal_failures::version.eq(subscriptions::version))
                .filter(renewal_failures::next_attempt_at.gt($at)),
        )
    };
}

/// Subscriptions in scope that wait on a day, in order of id, behind `after`. Of everyone's, those are left
/// out that are to be tried again only later than `at`.
///
/// # Errors
/// The database fails.
pub async fn list_waiting(
    mut conn: &Conn,
    scope: Scope,
    whose: Whose,
    at: DateTime<Utc>,
    after: Option<SubscriptionId>,
    limit: i64,
) -> Result<Vec<Waiting>> {
    let mut query = subscriptions::table
        .filter(subscriptions::due_date.le(at.date_naive()))
        .order(subscriptions::id)
        .limit(limit)
        .select((subscriptions::id, subscriptions::customer_id, subscriptions::due_date, subscriptions::version))
        .into_boxed();
    query = match whose {
        Whose::Its(id) => query.filter(subscriptions::id.eq(id)),
        Whose::OfCustomer(id) => query.filter(subscriptions::customer_id.eq(id)),
        Whose::Everyones => query.filter(not(in_vain_until!(at))),
    };
    if scope.reseller().is_some() {
        query = query.filter(subscriptions::customer_id.eq_any(ids_in_scope(scope)));
    }
    if let Some(after) = after {
        query = query.filter(subscriptions::id.gt(after));
    }
    let rows: Vec<WaitingRow> = query.load(&mut conn).await?;
    Ok(rows.into_iter().filter_map(waiting).collect())
}

/// The subscription that has waited longest and that nobody else is at work on; nobody else will be, until
/// the transaction ends. For the service itself: this knows no scope.
///
/// # Errors
/// The database fails.
pub async fn lock_next(mut conn: &Conn, at: DateTime<Utc>) -> Result<Option<Waiting>> {
    let query = subscriptions::table
        .filter(subscriptions::due_date.le(at.date_naive()))
        .filter(not(in_vain_until!(at)))
        .order((subscriptions::due_date, subscriptions::id))
        .limit(1)
        .select((subscriptions::id, subscriptions::customer_id, subscriptions::due_date, subscriptions::version));
    let row: Option<WaitingRow> = query.for_update().skip_locked().first(&mut conn).await.optional()?;
    Ok(row.and_then(waiting))
}

/// The first day after `today` on which time changes a subscription. For the service itself: this knows no
/// scope.
///
/// # Errors
/// The database fails.
pub async fn next_due_date(mut conn: &Conn, today: NaiveDate) -> Result<Option<NaiveDate>> {
    let query = subscriptions::table
        .filter(subscriptions::due_date.gt(today))
        .order(subscriptions::due_date)
        .select(subscriptions::due_date);
    let date: Option<Option<NaiveDate>> = query.first(&mut conn).await.optional()?;
    Ok(date.flatten())
}

/// What was told of a subscription in scope.
///
/// # Errors
/// The database fails.
pub async fn find(mut conn: &Conn, scope: Scope, id: SubscriptionId) -> Result<Option<RenewalFailure>> {
    let query = renewal_failures::table
        .filter(renewal_failures::subscription_id.eq(id))
        .filter(renewal_failures::customer_id.eq_any(ids_in_scope(scope)))
        .select(Row::as_select());
    Ok(query.first(&mut conn).await.optional()?.map(Row::into_failure))
}

/// The failures in scope that last, in order of subscription.
///
/// # Errors
/// The database fails.
pub async fn list(mut conn: &Conn, scope: Scope, window: &Window) -> Result<Page<RenewalFailure>> {
    let mut query = renewal_failures::table
        .inner_join(subscriptions::table)
        .filter(renewal_failures::due_date.nullable().eq(subscriptions::due_date))
        .order(renewal_failures::subscription_id)
        .limit(window.limit + 1)
        .select(Row::as_select())
        .into_boxed();
    if scope.reseller().is_some() {
        query = query.filter(renewal_failures::customer_id.eq_any(ids_in_scope(scope)));
    }
    if let Some(after) = &window.after {
        query = query.filter(renewal_failures::subscription_id.gt(after.id));
    }
    let rows: Vec<Row> = query.load(&mut conn).await?;
    let position = |row: &Row| Position { value: SortValue::Id, id: row.subscription_id.0 };
    Ok(Page::cut(rows, window.limit, position).map(Row::into_failure))
}

/// Writes what there is to tell of a subscription, in the place of what there was.
#[must_use]
pub fn save(failure: &RenewalFailure) -> Write {
    let row = Row {
        subscription_id: failure.waiting.subscription_id,
        customer_id: failure.waiting.customer_id,
        due_date: failure.waiting.due_date,
        version: failure.waiting.version,
        code: failure.code,
        attempts: failure.attempts,
        first_failed_at: failure.first_failed_at,
        last_failed_at: failure.last_failed_at,
        next_attempt_at: failure.next_attempt_at,
    };
    diesel::insert_into(renewal_failures::table)
        .values(row.clone())
        .on_conflict(renewal_failures::subscription_id)
        .do_update()
        .set(row)
        .later()
}
