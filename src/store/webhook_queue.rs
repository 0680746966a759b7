//! Deliveries to webhook endpoints that wait to be tried, and those that have waited long enough to be deleted. Find
//! the endpoint first: nothing here knows a scope.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;

use super::run::{Prepared, Statement, Write};
use super::schema::webhook_deliveries;
use super::webhook_deliveries::Row;
use super::{Conn, Result};
use crate::domain::id::{WebhookDeliveryId, WebhookEndpointId};
use crate::domain::webhooks::delivery::Delivery;

/// The delivery to an endpoint that is due longest and that nobody else is taking up; nobody else will, until the
/// transaction ends.
///
/// # Errors
/// The database fails.
pub async fn lock_next(mut conn: &Conn, id: WebhookEndpointId, at: DateTime<Utc>) -> Result<Option<Delivery>> {
    let query = pending(id)
        .filter(webhook_deliveries::next_attempt_at.le(at))
        .order((webhook_deliveries::next_attempt_at, webhook_deliveries::id))
        .limit(1)
        .select(Row::as_select());
    let row: Option<Row> = query.for_update().skip_locked().first(&mut conn).await.optional()?;
    Ok(row.map(Delivery::from))
}

/// Whether so many deliveries wait for an endpoint, or more.
///
/// # Errors
/// The database fails.
pub async fn is_long(mut conn: &Conn, id: WebhookEndpointId, length: i64) -> Result<bool> {
    let last = pending(id).offset(length - 1).limit(1).select(webhook_deliveries::id);
    Ok(last.first::<WebhookDeliveryId>(&mut conn).await.optional()?.is_some())
}

/// Lets everything that waits for an endpoint be tried now, as if it never had been. Lock the endpoint first.
#[must_use]
pub fn wake(id: WebhookEndpointId, at: DateTime<Utc>) -> Write {
    let now = (webhook_deliveries::next_attempt_at.eq(at), webhook_deliveries::failures.eq(0));
    diesel::update(pending(id)).set(now).later()
}

#[diesel::dsl::auto_type]
fn pending(id: WebhookEndpointId) -> _ {
    webhook_deliveries::table
        .filter(webhook_deliveries::endpoint_id.eq(id))
        .filter(webhook_deliveries::next_attempt_at.is_not_null())
}

/// Deletes what ended before an instant, at most so much at once, and answers how much. For the service itself.
///
/// # Errors
/// The database fails.
pub async fn delete_ended(mut conn: &Conn, before: DateTime<Utc>, limit: i64) -> Result<usize> {
    let ended = webhook_deliveries::table
        .filter(webhook_deliveries::next_attempt_at.is_null())
        .filter(webhook_deliveries::last_attempt_at.lt(before))
        .order(webhook_deliveries::last_attempt_at)
        .limit(limit)
        .select(webhook_deliveries::id);
    let ids: Vec<WebhookDeliveryId> = ended.load(&mut conn).await?;
    delete(conn, &ids).await
}

/// Deletes what was for endpoints that are gone, at most so much at once, and answers how much. For the service
/// itself.
///
/// # Errors
/// The database fails.
pub async fn delete_orphans(mut conn: &Conn, limit: i64) -> Result<usize> {
    #[derive(QueryableByName)]
    struct Orphaned {
        #[diesel(sql_type = SqlUuid)]
        endpoint_id: WebhookEndpointId,
    }
    // From one endpoint to the next by the index: there are far fewer of them than deliveries.
    let query = "WITH RECURSIVE known AS ( \
             (SELECT endpoint_id FROM webhook_deliveries ORDER BY endpoint_id LIMIT 1) \
             UNION ALL \
             SELECT (SELECT endpoint_id FROM webhook_deliveries WHERE endpoint_id > known.endpoint_id \
                     ORDER BY endpoint_id LIMIT 1) \
             FROM known WHERE known.endpoint_id IS NOT NULL \
         ) \
         SELECT endpoint_id FROM known WHERE endpoint_id IS NOT NULL \
         AND NOT EXISTS (SELECT FROM webhook_endpoints WHERE id = endpoint_id)";
    let orphaned: Vec<Orphaned> = Prepared(diesel::sql_query(query)).load(&mut conn).await?;
    let gone: Vec<_> = orphaned.into_iter().map(|orphaned| orphaned.endpoint_id).collect();
    let theirs = webhook_deliveries::table.filter(webhook_deliveries::endpoint_id.eq_any(gone));
    let ids: Vec<WebhookDeliveryId> = theirs.limit(limit).select(webhook_deliveries::id).load(&mut conn).await?;
    delete(conn, &ids).await
}

async fn delete(conn: &Conn, ids: &[WebhookDeliveryId]) -> Result<usize> {
    let query = webhook_deliveries::table.filter(webhook_deliveries::id.eq_any(ids));
    Ok(diesel::delete(query).run(conn).await?)
}
