//! What carries events to webhook endpoints. First every event that an endpoint is to be sent is written down as a
//! delivery to it, once; then each is tried until it gets there. The database is asked before and after an attempt,
//! never during one: whoever takes a delivery up has it for a while, and when it is not heard of again, another goes on.

mod line;
mod message;

use super::work::{Saved, Work};
use super::{Context, Result};
use crate::domain::event::Event;
use crate::domain::id::WebhookEndpointId;
use crate::domain::webhook::Endpoint;
use crate::domain::webhook::delivery::{Attempt, Delivery};
use crate::domain::webhook::schedule::Pacing;
pub use crate::store::webhook_turns::Due;
use crate::store::{self, Conn, webhook_deliveries, webhook_queue, webhook_turns, webhooks};
pub use line::{fan_out, sweep};
pub(super) use message::Message;
pub use message::{Courier, MOST_SENDS};

/// How many messages to an endpoint an instance sends at once.
pub const LANES: usize = 4;

/// Whether whoever has come to the end of a delivery is to take up the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It got there, so the next may, too.
    GoOn,
    /// It did not, or there is none.
    Stop,
}

/// A delivery that was taken up.
struct Taken {
    endpoint: Endpoint,
    delivery: Delivery,
    event: Event,
}

/// The endpoints that something is due for, without some: those first that it gets to.
pub async fn due(cx: &Context, without: &[WebhookEndpointId]) -> Result<Vec<Due>> {
    let most = i64::try_from(LANES).unwrap_or(i64::MAX);
    let due = async |conn: &Conn| Ok(webhook_turns::due(conn, cx.clock.machine(), without, most).await?);
    cx.db.statement(due).await
}

/// Delivers what is due to an endpoint, one after the other, until there is nothing left, it does not get there, or
/// it is told to stop.
pub async fn deliver(cx: &Context, courier: &Courier, id: WebhookEndpointId, stop: impl Fn() -> bool) -> Result<()> {
    while !stop() && deliver_next(cx, courier, id).await? == Next::GoOn {}
    Ok(())
}

async fn deliver_next(cx: &Context, courier: &Courier, id: WebhookEndpointId) -> Result<Next> {
    // Before the delivery is taken: its lease runs.
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

/// The delivery that is due longest, for a while.
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

/// Writes how an attempt ended.
async fn note(work: &mut Work<'_>, cx: &Context, taken: &Delivery, attempt: Attempt, pacing: Pacing) -> Result<()> {
    let scope = cx.actor.scope;
    let mut is_enabled = true;
    if attempt.has_succeeded() {
        // At once: whoever locks an endpoint and its deliveries locks the endpoint first.
        webhook_turns::recovered(work.conn, taken.endpoint_id).await?;
    } else {
        let Some(endpoint) = webhooks::lock(work.conn, scope, taken.endpoint_id).await? else { return Ok(()) };
        let after = endpoint.failed(&attempt, cx.at);
        is_enabled = after.is_enabled();
        work.write([webhooks::save(&after)]);
        if after.version != endpoint.version {
            tracing::warn!(webhook_endpoint_id = %after.id, "a webhook endpoint is disabled: nothing gets there");
            work.record(cx, [Saved::new(cx, Some(&endpoint), &after)]);
        }
    }
    // As it is by now: it may have been put in line again.
    let Some(delivery) = webhook_deliveries::lock(work.conn, scope, taken.id).await? else { return Ok(()) };
    work.write([webhook_deliveries::save(&delivery.attempted(attempt, is_enabled, pacing))]);
    Ok(())
}

/// How many more messages are to be sent to an endpoint at once where so many are on their way, which are not due any
/// more. Where nothing gets at the moment, one in all is enough to try.
#[must_use]
pub fn more_lanes(due: Due, running: usize) -> usize {
    let most = if due.is_failing { 1 } else { LANES };
    let free = most.saturating_sub(running);
    usize::try_from(due.deliveries).unwrap_or(free).min(free)
}
