//! Subscriptions with a transition that is due.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::{exists, not, sql};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer};
use diesel_async::RunQueryDsl;

use super::customers::ids_in_scope;
use super::run::{Prepared, UpTo};
use super::schema::{renewal_failures, subscriptions};
use super::{Conn, Result};
use crate::domain::authorization::Scope;
use crate::domain::id::{CustomerId, SubscriptionId, Version};
use crate::domain::subscription::Whose;
use crate::domain::subscription::renewal_failure::Waiting;

type WaitingRow = (SubscriptionId, CustomerId, Option<NaiveDate>, Version);

fn waiting((subscription_id, customer_id, due_date, version): WaitingRow) -> Option<Waiting> {
    due_date.map(|due_date| Waiting { subscription_id, customer_id, due_date, version })
}

/// Renewal failures of the subscription in the surrounding query that are not to be retried yet. A failure is valid for
/// the due date and the version that it names.
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

/// Limits a boxed query to subscriptions in scope with a transition due on a day. For [`Whose::Everyones`],
/// subscriptions that failed and are to be retried after `at` are left out.
macro_rules! waiting_at {
    ($query:expr, $scope:expr, $whose:expr, $at:expr) => {{
        let query = $query.filter(subscriptions::due_date.le($at.date_naive()));
        let query = match $whose {
            Whose::Its(id) => query.filter(subscriptions::id.eq(id)),
            Whose::OfCustomer(id) => query.filter(subscriptions::customer_id.eq(id)),
            Whose::Everyones => query.filter(not(in_vain_until!($at))),
        };
        match $scope.reseller() {
            Some(_) => query.filter(subscriptions::customer_id.eq_any(ids_in_scope($scope))),
            None => query,
        }
    }};
}

/// Whether any subscription in scope is due. For [`Whose::Everyones`], failed subscriptions count only once they are to
/// be retried.
pub async fn are_there(mut conn: &Conn, scope: Scope, whose: Whose, at: DateTime<Utc>) -> Result<bool> {
    let query = subscriptions::table.select(subscriptions::id).into_boxed();
    // In the order of the index. Otherwise the planner expects to find some soon, and scans the table from one end to
    // the other.
    let query = waiting_at!(query, scope, whose, at).order((subscriptions::due_date, subscriptions::id));
    let found: Vec<SubscriptionId> = UpTo::new(query, 1).load(&mut conn).await?;
    Ok(!found.is_empty())
}

/// Lists subscriptions in scope that are due, ordered by id, after `after`.
pub async fn list(
    mut conn: &Conn,
    scope: Scope,
    whose: Whose,
    at: DateTime<Utc>,
    after: Option<SubscriptionId>,
    limit: i64,
) -> Result<Vec<Waiting>> {
    let columns = (subscriptions::id, subscriptions::customer_id, subscriptions::due_date, subscriptions::version);
    let query = subscriptions::table.order(subscriptions::id).limit(limit).select(columns).into_boxed();
    let mut query = waiting_at!(query, scope, whose, at);
    if let Some(after) = after {
        query = query.filter(subscriptions::id.gt(after));
    }
    let rows: Vec<WaitingRow> = query.load(&mut conn).await?;
    Ok(rows.into_iter().filter_map(waiting).collect())
}

/// A part of all customers, by the second to last byte of their ids. Both bounds are inclusive.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub from: i32,
    pub to: i32,
}

impl Part {
    /// Divides all customers into `many` parts; at most 256.
    pub fn of(many: i32) -> impl Iterator<Item = Self> {
        (0..many).map(move |nth| Self { from: 256 * nth / many, to: 256 * (nth + 1) / many - 1 })
    }
}

/// Returns the subscriptions of a part that have been due longest, without locking them. Only for the service itself:
/// this function takes no scope.
pub async fn next(mut conn: &Conn, at: DateTime<Utc>, part: Part, limit: i64) -> Result<Vec<SubscriptionId>> {
    let in_part = sql::<Bool>("get_byte(uuid_send(subscriptions.customer_id), 14) BETWEEN ")
        .bind::<Integer, _>(part.from)
        .sql(" AND ")
        .bind::<Integer, _>(part.to);
    let query = subscriptions::table
        .filter(subscriptions::due_date.le(at.date_naive()))
        .filter(not(in_vain_until!(at)))
        .filter(in_part)
        .order((subscriptions::due_date, subscriptions::id))
        .limit(limit)
        .select(subscriptions::id);
    Ok(Prepared(query).load(&mut conn).await?)
}

/// Locks those of the subscriptions that are still due, at most `limit`, until the transaction ends. Subscriptions that
/// another transaction has locked are skipped. Only for the service itself: this function takes no scope.
pub async fn lock(
    mut conn: &Conn,
    at: DateTime<Utc>,
    ids: &[SubscriptionId],
    limit: i64,
) -> Result<Vec<SubscriptionId>> {
    let query = subscriptions::table
        .filter(subscriptions::id.eq_any(ids))
        .filter(subscriptions::due_date.le(at.date_naive()))
        .limit(limit)
        .select(subscriptions::id);
    Ok(query.for_update().skip_locked().load(&mut conn).await?)
}

/// The first day after `today` on which a transition is due. Only for the service itself: this function takes no scope.
pub async fn next_date(mut conn: &Conn, today: NaiveDate) -> Result<Option<NaiveDate>> {
    let query = subscriptions::table
        .filter(subscriptions::due_date.gt(today))
        .order(subscriptions::due_date)
        .select(subscriptions::due_date);
    let date: Option<Option<NaiveDate>> = query.first(&mut conn).await.optional()?;
    Ok(date.flatten())
}
