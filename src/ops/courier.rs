//! Delivers events to webhook endpoints. First, each event that an endpoint subscribes to is queued as one delivery.
//! Then each delivery is attempted until it succeeds. The database is used before and after an attempt, never during
//! one: a delivery is leased for the attempt, and another instance takes it over when the lease expires.

mod line;
mod message;

use super::work::{Saved, Work};
use super::{Context, Result};
use crate::domain::events::Event;
use crate::domain::id::WebhookEndpointId;
use crate::domain::webhooks::Endpoint;
use crate::domain::webhooks::delivery::{Attempt, Delivery};
use crate::domain::webhooks::schedule::Pacing;
pub use crate::store::webhook_turns::Due;
use crate::store::{self, Conn, webhook_deliveries, webhook_queue, webhook_turns, webhooks};
pub use line::{fan_out, sweep};
pub(super) use message::Message;
pub use message::{Courier, MOST_SENDS};

/// The maximum number of concurrent messages from one instance to one endpoint.
pub const LANES: usize = 4;

/// Whether to continue with the next delivery of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The delivery succeeded.
    GoOn,
    /// The delivery failed, or none is due.
    Stop,
}

/// A leased delivery.
struct Taken {
    endpoint: Endpoint,
    delivery: Delivery,
    event: Event,
}

/// Lists the endpoints that have due deliveries, except those in `without`. Endpoints whose deliveries succeed come
/// first.
pub async fn due(cx: &Context, without: &[WebhookEndpointId]) -> Result<Vec<Due>> {
    let most = i64::try_from(LANES).unwrap_or(i64::MAX);
    let due = async |conn: &Conn| Ok(webhook_turns::due(conn, cx.clock.machine(), without, most).await?);
    cx.db.statement(due).await
}

/// Sends the due deliveries of an endpoint, one after the other, until none is left, one fails, or `stop` returns true.
pub async fn deliver(cx: &Context, courier: &Courier, id: WebhookEndpointId, stop: impl Fn() -> bool) -> Result<()> {
    while !stop() && deliver_next(cx, courier, id).await? == Next::GoOn {}
    Ok(())
}

async fn deliver_next(cx: &Context, courier: &Courier, id: WebhookEndpointId) -> Result<Next> {
    // Waits for the slot before the delivery is leased, so that the lease does not expire while waiting.
    let slot = courier.slot().await;
    let Some(Taken { endpoint, delivery, event }) = courier.write(cx, async |work| take(work, cx, id).await).await?
    else {
        return Ok(Next::Stop);
    };
    let (attempt, retry_after) = courier.send(cx, &Message { endpoint, event: &event }, slot).await;
    let mut jitter = [0; 2];
    getrandom::fill(&mut jitter).map_err(|error| store::Error::Unavailable(format!("randomness: {error}")))?;
    let pacing = Pacing { retry_after, jitter: u16::from_ne_bytes(jitter) };
    let next = if attempt.has_succeeded() { Next::GoOn } else { Next::Stop };
    let outcome = if next == Next::GoOn { "succeeded" } else { "failed" };
    metrics::counter!("webhook_attempts_total", "outcome" => outcome).increment(1);
    let cx = Context { at: cx.clock.now(), ..cx.clone() };
    courier.write(&cx, async |work| note(work, &cx, &delivery, attempt, pacing).await).await?;
    Ok(next)
}

/// Leases the delivery that has been due for the longest time.
async fn take(work: &mut Work<'_>, cx: &Context, id: WebhookEndpointId) -> Result<Option<Taken>> {
    let at = cx.clock.machine();
    let Some(endpoint) = webhook_turns::served(work.conn, id).await? else { return Ok(None) };
    let Some(delivery) = webhook_queue::lock_next(work.conn, id, at).await? else { return Ok(None) };
    let Some(event) = store::events::find(work.conn, endpoint.scope(), delivery.event_id).await? else {
        let error = Some("The event no longer exists.".to_owned());
        let attempt = Attempt { at, duration_ms: 0, http_status: None, error };
        work.write([webhook_deliveries::save(&delivery.give_up(attempt))]);
        return Ok(None);
    };
    let delivery = delivery.lease(at);
    work.write([webhook_deliveries::save(&delivery)]);
    Ok(Some(Taken { endpoint, delivery, event }))
}

/// Saves the result of an attempt.
async fn note(work: &mut Work<'_>, cx: &Context, taken: &Delivery, attempt: Attempt, pacing: Pacing) -> Result<()> {
    let scope = cx.actor.scope;
    let mut is_enabled = true;
    if attempt.has_succeeded() {
        // Executed immediately, not collected: the endpoint must always be locked before its deliveries.
        webhook_turns::recovered(work.conn, taken.endpoint_id).await?;
    } else {
        let Some(endpoint) = webhooks::lock(work.conn, scope, taken.endpoint_id).await? else { return Ok(()) };
        let after = endpoint.failed(&attempt, cx.at);
        is_enabled = after.is_enabled();
        work.write([webhooks::save(&after)]);
        if after.version != endpoint.version {
            tracing::warn!(webhook_endpoint_id = %after.id, "a webhook endpoint was disabled because deliveries fail");
            work.record(cx, [Saved::new(cx, Some(&endpoint), &after)]);
        }
    }
    // Read again: it may have been queued again in the meantime.
    let Some(delivery) = webhook_deliveries::lock(work.conn, scope, taken.id).await? else { return Ok(()) };
    work.write([webhook_deliveries::save(&delivery.attempted(attempt, is_enabled, pacing))]);
    Ok(())
}

/// How many more workers an endpoint gets when it already has `running`. The deliveries that are being sent are not
/// counted as due. An endpoint whose deliveries fail gets one worker in total, which is enough to try.
#[must_use]
pub fn more_lanes(due: Due, running: usize) -> usize {
    let most = if due.is_failing { 1 } else { LANES };
    let free = most.saturating_sub(running);
    usize::try_from(due.deliveries).unwrap_or(free).min(free)
}
