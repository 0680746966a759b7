//! Processes due transitions of subscriptions. The background worker does this soon after midnight, and each request
//! does it earlier for the subscriptions that it uses. Each transition is one short transaction, and takes effect at
//! the start of its day, however late it is processed. So it does not matter who processes it.

use std::time::{Duration, Instant};

use chrono::NaiveDate;
use futures_util::future::try_join_all;
use tokio::join;

use super::offers::Offers;
use super::work::Work;
use super::{Context, Error, Result, found, orders};
use crate::domain::authorization::Actor;
use crate::domain::billing::quote;
use crate::domain::id::SubscriptionId;
use crate::domain::listing::{Page, Window};
use crate::domain::machine::Outcome;
use crate::domain::refusal::Refusal;
use crate::domain::subscription::renewal_failure::{FailureCode, RenewalFailure, Waiting};
use crate::domain::subscription::{Command, Due, Milestone, Subscription, Whose};
use crate::domain::time::start_of;
use crate::store::due_subscriptions::{self, Part};
use crate::store::{self, Conn, renewal_failures, subscriptions};

/// The number of due subscriptions that are looked up at once.
const BATCH: i64 = 100;

/// The maximum number of subscriptions that are processed in one transaction.
const TOGETHER: i64 = 100;

/// The maximum number of inventory lines in such a transaction. The first subscription may have more.
const LINES: usize = 2000;

/// The number of concurrent transactions.
const LANES: i32 = 4;

/// How long a request processes due transitions before it is rejected with [`Error::CatchingUp`].
const PATIENCE: Duration = Duration::from_secs(2);

impl Context {
    /// The same context for the service itself, at the start of a day.
    fn at_start_of(&self, day: NaiveDate) -> Self {
        Self { at: start_of(day), actor: Actor::system(), request: None, ..self.clone() }
    }
}

/// Reads data that scheduled transitions change. In the same round trip, checks whether transitions are due. If so,
/// processes them and reads again. Every use case that returns such data reads it with this function.
///
/// # Errors
/// Those of `read` and of [`settle`].
pub(super) async fn current<T>(cx: &Context, whose: Whose, read: impl AsyncFn(&Conn) -> Result<T>) -> Result<T> {
    // Nothing becomes due between the two statements, because both use the instant of the request.
    match cx.db.statement(async |conn| look(conn, cx, whose, &read).await).await? {
        Some(found) => found,
        None => {
            settle(cx, whose).await?;
            cx.db.statement(read).await
        }
    }
}

/// Reads a resource that scheduled transitions change, and from which `is_due` can tell whether one is due. If so,
/// processes the due transitions and reads again.
///
/// # Errors
/// Those of `read` and of [`settle`].
pub(super) async fn current_one<T>(
    cx: &Context,
    whose: Whose,
    read: impl AsyncFn(&Conn) -> Result<T>,
    is_due: impl Fn(&T) -> bool,
) -> Result<T> {
    let found = cx.db.glance(&read).await?;
    if !is_due(&found) {
        return Ok(found);
    }
    settle(cx, whose).await?;
    cx.db.glance(read).await
}

/// Returns the result of `read`, or `None` if transitions are due. Errors of `read` are also discarded then, because
/// they may be out of date.
async fn look<T>(
    conn: &Conn,
    cx: &Context,
    whose: Whose,
    read: impl AsyncFn(&Conn) -> Result<T>,
) -> Result<Option<Result<T>>> {
    let due = due_subscriptions::are_there(conn, cx.actor.scope, whose, cx.at);
    let (is_due, found) = join!(biased; due, read(conn));
    Ok((!is_due?).then_some(found))
}

/// Processes the due transitions of subscriptions. Every use case that changes such data starts with this function.
///
/// # Errors
/// The database fails, or [`Error::CatchingUp`] if there are too many due transitions.
pub async fn settle(cx: &Context, whose: Whose) -> Result<()> {
    let started = Instant::now();
    settle_while(cx, whose, || started.elapsed() < PATIENCE).await
}

/// [`settle`] for all tenants and without a time limit.
pub(super) async fn settle_all(cx: &Context) -> Result<()> {
    drain(cx, || false).await?;
    // Other instances may still be processing some: this waits for them.
    settle_while(cx, Whose::Everyones, || true).await
}

async fn settle_while(cx: &Context, whose: Whose, go_on: impl Fn() -> bool) -> Result<()> {
    let mut after = None;
    loop {
        let waiting = waiting(cx, whose, after).await?;
        for waiting in &waiting {
            if !go_on() {
                return Err(Error::CatchingUp);
            }
            catch_up(cx, waiting.subscription_id).await?;
        }
        match waiting.last() {
            Some(last) if i64::try_from(waiting.len()) == Ok(BATCH) => after = Some(last.subscription_id),
            _ => return Ok(()),
        }
    }
}

async fn waiting(cx: &Context, whose: Whose, after: Option<SubscriptionId>) -> Result<Vec<Waiting>> {
    let scope = cx.actor.scope;
    cx.db.statement(async |conn| Ok(due_subscriptions::list(conn, scope, whose, cx.at, after, BATCH).await?)).await
}

/// Processes all due transitions of a subscription, one after the other.
async fn catch_up(cx: &Context, id: SubscriptionId) -> Result<()> {
    loop {
        let cx = &Context { request: None, ..cx.clone() };
        let passed = cx.write(async |work| {
            let locked = subscriptions::lock(work.conn, cx.actor.scope, id).await?;
            let Some(subscription) = locked.filter(|subscription| subscription.due(cx.today()).is_some()) else {
                return Ok(None);
            };
            let offers = Offers::hold_of_subscriptions(work.conn, std::slice::from_ref(&subscription)).await?;
            pass(work, cx, subscription, &offers)
        });
        match passed.await {
            Ok(Some(milestone)) => count(milestone),
            Ok(None) => return Ok(()),
            Err(error) => return tell(cx, id, error).await,
        }
    }
}

/// Processes due transitions, the oldest first, until none is left that no other instance is processing, or until
/// `stop` returns true.
pub async fn drain(cx: &Context, stop: impl Fn() -> bool) -> Result<()> {
    let lane = async |part| {
        while !stop() && pass_next(cx, part).await? {}
        Ok(())
    };
    try_join_all(Part::of(LANES).map(lane)).await.map(drop)
}

/// Processes the next batch. Returns whether there was one.
async fn pass_next(cx: &Context, part: Part) -> Result<bool> {
    let next = async |conn: &Conn| Ok::<_, Error>(due_subscriptions::next(conn, cx.at, part, 4 * TOGETHER).await?);
    let ids = cx.db.statement(next).await?;
    if ids.is_empty() {
        return Ok(false);
    }
    match pass_together(cx, &ids).await {
        Ok(passed) => Ok(passed > 0),
        // One subscription blocks the others, or they are too many for one transaction: process each separately.
        Err(_) => {
            for id in ids.into_iter().take(usize::try_from(TOGETHER).unwrap_or(1)) {
                catch_up(cx, id).await?;
            }
            Ok(true)
        }
    }
}

/// Processes the next due transition of each subscription in `ids` that no other instance is processing. Returns how
/// many were tried. Failures are recorded.
async fn pass_together(cx: &Context, ids: &[SubscriptionId]) -> Result<usize> {
    let mut milestones = Vec::new();
    let mut failed = Vec::new();
    cx.write(async |work| {
        let locked = due_subscriptions::lock(work.conn, cx.at, ids, TOGETHER).await?;
        let mut lines = 0;
        let mut subscriptions = subscriptions::find_all(work.conn, &locked).await?;
        subscriptions.retain(|subscription| {
            let is_first = lines == 0;
            lines += subscription.lines.len();
            is_first || lines <= LINES
        });
        let offers = Offers::hold_of_subscriptions(work.conn, &subscriptions).await?;
        for subscription in subscriptions {
            let id = subscription.id;
            match pass(work, cx, subscription, &offers) {
                Ok(Some(milestone)) => milestones.push(milestone),
                // Without an error, it would be selected again and again.
                Ok(None) => {
                    let reason = "due_date is not when it is due";
                    failed.push((id, store::Error::Corrupt { table: "subscriptions", reason }.into()));
                }
                Err(error) => failed.push((id, error)),
            }
        }
        Ok(())
    })
    .await?;
    let tried = milestones.len() + failed.len();
    milestones.into_iter().for_each(count);
    for (id, error) in failed {
        tell(cx, id, error).await?;
    }
    Ok(tried)
}

/// Processes the next due transition of a locked subscription, if any. If this fails, nothing was written for the
/// subscription.
fn pass(work: &mut Work<'_>, cx: &Context, before: Subscription, offers: &Offers) -> Result<Option<Milestone>> {
    let Some(Due { milestone, on }) = before.due(cx.today()) else { return Ok(None) };
    let cx = cx.at_start_of(on);
    let outcome = match milestone {
        Milestone::Activation => before.apply(Command::Activate, cx.at)?,
        Milestone::LapseEnd => before.apply(Command::Expire, cx.at)?,
        Milestone::TermEnd => {
            let product = found(offers.to(before.customer_id, before.product_id), "product")?;
            let mut plan = quote::end_term(&before, &product, cx.at)?;
            if !plan.quote.lines.is_empty() {
                orders::confirm(work, &cx, before.customer_id, Some(&before), plan, None)?;
                return Ok(Some(milestone));
            }
            plan.subscriptions.pop().map_or(Outcome::Unchanged, Outcome::Changed)
        }
    };
    work.save(&cx, before, outcome);
    Ok(Some(milestone))
}

fn count(milestone: Milestone) {
    metrics::counter!("subscription_milestones_total", "milestone" => milestone.as_str()).increment(1);
}

/// Records why a due transition failed. It is retried later, and does not block other subscriptions.
async fn tell(cx: &Context, id: SubscriptionId, error: Error) -> Result<()> {
    let code = match &error {
        Error::Store(store::Error::Unavailable(_)) => return Err(error),
        Error::Refused { refusal: Refusal::AmountOutOfRange, .. } => FailureCode::AmountOutOfRange,
        _ => FailureCode::Internal,
    };
    let Some(waiting) = waiting(cx, Whose::Its(id), None).await?.pop() else { return Ok(()) };
    let cx = &Context { request: None, ..cx.clone() };
    cx.write(async |work| {
        let before = renewal_failures::find(work.conn, cx.actor.scope, id).await?;
        // Requests also retry it, and earlier than planned. Their failures are not recorded each time.
        if before.as_ref().is_some_and(|before| before.tells(waiting, code, cx.at)) {
            return Ok(());
        }
        tracing::error!(subscription_id = %id, %code, %error, "cannot process a due transition");
        metrics::counter!("subscription_milestone_failures_total", "code" => code.as_str()).increment(1);
        work.write([renewal_failures::save(&RenewalFailure::again(before, waiting, code, cx.at))]);
        Ok(())
    })
    .await
}

/// Lists the subscriptions in the tenant with a failed transition.
pub async fn failures(cx: &Context, window: &Window) -> Result<Page<RenewalFailure>> {
    let list = async |tx: &Conn| Ok(renewal_failures::list(tx, cx.actor.scope, window).await?);
    current(cx, Whose::Everyones, list).await
}
