//! The queue of webhook deliveries that wait for an attempt, and old deliveries that are to be deleted. Get the
//! endpoint first: these functions take no scope.

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

/// Returns the delivery to an endpoint that has been due longest, and locks it until the transaction ends. Deliveries
/// that another transaction has locked are skipped.
pub async fn lock_next(mut conn: &Conn, id: WebhookEndpointId, at: DateTime<Utc>) -> Result<Option<Delivery>> {
    let query = pending(id)
        .filter(webhook_deliveries::next_attempt_at.le(at))
        .order((webhook_deliveries::next_attempt_at, webhook_deliveries::id))
        .limit(1)
        .select(Row::as_select());
    let row: Option<Row> = query.for_update().skip_locked().first(&mut conn).await.optional()?;
    Ok(row.map(Delivery::from))
}

/// Whether at least `length` deliveries to an endpoint are waiting.
pub async fn is_long(mut conn: &Conn, id: WebhookEndpointId, length: i64) -> Result<bool> {
    let last = pending(id).offset(length - 1).limit(1).select(webhook_deliveries::id);
    Ok(last.first::<WebhookDeliveryId>(&mut conn).await.optional()?.is_some())
}

/// Makes all waiting deliveries to an endpoint due now, and resets their attempts. Lock the endpoint first.
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

/// Deletes deliveries that ended before an instant, at most `limit`, and returns how many. Only for the service itself.
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

/// Deletes deliveries to endpoints that no longer exist, at most `limit`, and returns how many. Only for the service
/// itself.
pub async fn delete_orphans(mut conn: &Conn, limit: i64) -> Result<usize> {
    #[derive(QueryableByName)]
    struct Orphaned {
        #[diesel(sql_type = SqlUuid)]
        endpoint_id: WebhookEndpointId,
    }
    // Goes from one endpoint to the next by the index, because there are far fewer endpoints than deliveries.
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
