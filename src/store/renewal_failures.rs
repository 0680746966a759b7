//! Why transitions of subscriptions that are due have failed.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::customers::visible;
use super::run::{Statement, Write};
use super::schema::{renewal_failures, subscriptions};
use super::{Conn, Result};
use crate::domain::authorization::Scope;
use crate::domain::id::{CustomerId, SubscriptionId, Version};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::subscription::renewal_failure::{FailureCode, RenewalFailure, Waiting};

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

/// Returns the recorded failure of a subscription in scope.
pub async fn find(mut conn: &Conn, scope: Scope, id: SubscriptionId) -> Result<Option<RenewalFailure>> {
    let query = renewal_failures::table.filter(renewal_failures::subscription_id.eq(id));
    let query = visible!(query.select(Row::as_select()).into_boxed(), renewal_failures::customer_id, scope);
    Ok(query.first(&mut conn).await.optional()?.map(Row::into_failure))
}

/// Lists the failures in scope that still apply, ordered by subscription.
pub async fn list(mut conn: &Conn, scope: Scope, window: &Window) -> Result<Page<RenewalFailure>> {
    let mut query = renewal_failures::table
        .inner_join(subscriptions::table)
        .filter(renewal_failures::due_date.nullable().eq(subscriptions::due_date))
        .order(renewal_failures::subscription_id)
        .limit(window.limit + 1)
        .select(Row::as_select())
        .into_boxed();
    query = visible!(query, renewal_failures::customer_id, scope);
    if let Some(after) = &window.after {
        query = query.filter(renewal_failures::subscription_id.gt(after.id));
    }
    let rows: Vec<Row> = query.load(&mut conn).await?;
    let position = |row: &Row| Position { value: SortValue::Id, id: row.subscription_id.0 };
    Ok(Page::cut(rows, window.limit, position).map(Row::into_failure))
}

/// Records the failure of a subscription. It replaces the one recorded before.
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
