//! The delivery queue: queues each event once for each endpoint that subscribes to it, and deletes old deliveries.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::id::WebhookEndpointId;
use crate::domain::webhooks::delivery::Delivery;
use crate::ops::{Context, Error, Result, events};
use crate::platform::db::Db;
use crate::store::{self, Conn, webhook_deliveries, webhook_queue, webhook_turns};

/// The number of deliveries that are queued in one transaction.
const BATCH: i64 = 1000;

/// The number of positions in the feed that one statement searches.
const REACH: i64 = 10_000;

/// The number of batches that each endpoint gets in one call.
const TURNS: usize = 10;

/// The maximum queue length of an endpoint. Further events stay in the feed for now.
const MOST_WAITING: i64 = 10_000;

/// How long finished deliveries are kept.
const KEPT: TimeDelta = TimeDelta::days(30);

/// The number of deliveries that one transaction deletes.
const SWEEP: i64 = 1000;

/// Queues deliveries for all committed events. Concurrent instances share the endpoints.
pub async fn fan_out(cx: &Context, stop: impl Fn() -> bool) -> Result<()> {
    let last = events::catch_up(&cx.db).await?;
    let behind = async |conn: &Conn| Ok::<_, Error>(webhook_turns::behind(conn, last).await?);
    let mut behind = cx.db.statement(behind).await?;
    // In turns, so that an endpoint that is far behind does not delay the others.
    for _ in 0..TURNS {
        let mut still_behind = Vec::new();
        for id in behind {
            if stop() {
                return Ok(());
            }
            match write_next(cx, id, last).await {
                Ok(true) => still_behind.push(id),
                Ok(false) => {}
                Err(error @ Error::Store(store::Error::Unavailable(_))) => return Err(error),
                // The other endpoints continue.
                Err(error) => tracing::error!(webhook_endpoint_id = %id, %error, "cannot queue the deliveries"),
            }
        }
        behind = still_behind;
    }
    Ok(())
}

/// Queues the next batch for an endpoint, up to the position `last` of the feed. Returns whether there may be more.
async fn write_next(cx: &Context, id: WebhookEndpointId, last: i64) -> Result<bool> {
    cx.write(async |work| {
        let Some((endpoint, place)) = webhook_turns::lock_served(work.conn, id).await? else { return Ok(false) };
        if place >= last || webhook_queue::is_long(work.conn, id, MOST_WAITING).await? {
            return Ok(false);
        }
        let through = last.min(place.saturating_add(REACH));
        let types = &endpoint.details.event_types;
        let found = store::events::list_ids(work.conn, endpoint.scope(), types, (place, through), BATCH).await?;
        let is_full = i64::try_from(found.len()) == Ok(BATCH);
        let place = found.last().filter(|_| is_full).map_or(through, |(place, _)| *place);
        let at = cx.clock.machine();
        let deliveries: Vec<_> =
            found.into_iter().map(|(_, event)| Delivery::queue(cx.new_id(), id, event, at)).collect();
        work.write([webhook_deliveries::insert(&deliveries)]);
        work.write([webhook_turns::set_place(id, place)]);
        Ok(place < last)
    })
    .await
}

/// Deletes old finished deliveries, and deliveries to deleted endpoints.
pub async fn sweep(db: &Db, now: DateTime<Utc>) -> Result<()> {
    let ended = async |tx: &Conn| Ok::<_, Error>(webhook_queue::delete_ended(tx, now - KEPT, SWEEP).await?);
    while db.transaction(ended).await? > 0 {}
    let orphans = async |tx: &Conn| Ok::<_, Error>(webhook_queue::delete_orphans(tx, SWEEP).await?);
    while db.transaction(orphans).await? > 0 {}
    Ok(())
}
