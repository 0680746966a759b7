use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::customers::visible;
use super::run::{Statement, Write};
use super::schema::allocations;
use super::{Conn, Result};
use crate::domain::authorization::Scope;
use crate::domain::id::{AllocationId, CustomerId, SubscriptionId};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::subscription::allocation::Allocation;
use crate::domain::text::{Code, Reference};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = allocations, treat_none_as_default_value = false, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: AllocationId,
    subscription_id: SubscriptionId,
    certificate_type: Code,
    quantity: i32,
    reference: Reference,
    created_at: DateTime<Utc>,
    released_at: Option<DateTime<Utc>>,
}

impl From<Row> for Allocation {
    fn from(row: Row) -> Self {
        let Row { id, subscription_id, certificate_type, quantity, reference, created_at, released_at } = row;
        Self { id, subscription_id, certificate_type, quantity, reference, created_at, released_at }
    }
}

/// Returns an allocation in scope. Before changing it, lock its subscription, then get it again.
pub async fn find(mut conn: &Conn, scope: Scope, id: AllocationId) -> Result<Option<Allocation>> {
    let query = allocations::table.filter(allocations::id.eq(id)).select(Row::as_select()).into_boxed();
    let row: Option<Row> = visible!(query, allocations::customer_id, scope).first(&mut conn).await.optional()?;
    Ok(row.map(Allocation::from))
}

/// Returns the open allocation of a subscription with a reference. Lock the subscription first.
pub async fn find_open(mut conn: &Conn, id: SubscriptionId, reference: &Reference) -> Result<Option<Allocation>> {
    let query = allocations::table
        .filter(allocations::subscription_id.eq(id))
        .filter(allocations::reference.eq(reference))
        .filter(allocations::released_at.is_null())
        .select(Row::as_select());
    Ok(query.first(&mut conn).await.optional()?.map(Allocation::from))
}

/// Lists the allocations of a subscription, newest first. Get the subscription first: this function takes no scope.
pub async fn list(mut conn: &Conn, id: SubscriptionId, window: &Window) -> Result<Page<Allocation>> {
    let mut query = allocations::table
        .filter(allocations::subscription_id.eq(id))
        .order(allocations::id.desc())
        .limit(window.limit + 1)
        .select(Row::as_select())
        .into_boxed();
    if let Some(after) = &window.after {
        query = query.filter(allocations::id.lt(after.id));
    }
    let rows: Vec<Row> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position { value: SortValue::Id, id: row.id.0 });
    Ok(page.map(Allocation::from))
}

/// Inserts an allocation. Its reference must not be in use by another open allocation of the subscription.
#[must_use]
pub fn insert(customer_id: CustomerId, allocation: &Allocation) -> Write {
    let row = Row {
        id: allocation.id,
        subscription_id: allocation.subscription_id,
        certificate_type: allocation.certificate_type.clone(),
        quantity: allocation.quantity,
        reference: allocation.reference.clone(),
        created_at: allocation.created_at,
        released_at: allocation.released_at,
    };
    diesel::insert_into(allocations::table).values((row, allocations::customer_id.eq(customer_id))).later()
}

/// Records that an allocation was released.
#[must_use]
pub fn save(allocation: &Allocation) -> Write {
    diesel::update(allocations::table.find(allocation.id))
        .set(allocations::released_at.eq(allocation.released_at))
        .later()
}
