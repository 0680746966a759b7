//! What time does by itself. A subscription that is due is made what time should have made of it: by the
//! worker soon after midnight, and by whoever asks for it sooner. Each milestone is one short transaction and
//! happens as of the start of its day, however late it is dealt with, so that it does not matter who does.

use std::time::{Duration, Instant};

use chrono::NaiveDate;
use futures_util::future::try_join_all;
use tokio::join;

use super::offers::Offers;
use super::work::Work;
use super::{Context, Error, Result, found, orders};
use crate::domain::access::Actor;
use crate::domain::id::SubscriptionId;
use crate::domain::listing::{Page, Whose, Window};
use crate::domain::machine::Outcome;
use crate::domain::quote;
use crate::domain::refusal::Refusal;
use crate::domain::renewal_failure::{FailureCode, RenewalFailure, Waiting};
use crate::domain::subscription::{Command, Due, Milestone, Subscription};
use crate::domain::time::start_of;
use crate::store::due_subscriptions::{self, Part};
use crate::store::{self, Conn, renewal_failures, subscriptions};

/// How many waiting subscriptions are looked up at once.
const BATCH: i64 = 100;

/// How many of them are processed in one transaction.
const TOGETHER: i64 = 100;

/// The most lines that these have, beside the first one's.
const LINES: usize = 2000;

/// How many transactions there are at once.
const LANES: i32 = 4;

/// How long a request works on what is due before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(2);

impl Context {
    /// The same for the service itself, at the start of a day.
    fn at_start_of(&self, day: NaiveDate) -> Self {
        Self { at: start_of(day), actor: Actor::system(), request: None, ..self.clone() }
    }
}

/// Reads what time changes, and in the same round trip whether something of it is due. Whatever is
/// due is processed, and then it is read again. Every use case that shows what time changes reads it here.
///
/// # Errors
/// Of `read`, or of [`settle`].
pub(super) async fn current<T>(cx: &Context, whose: Whose, read: impl AsyncFn(&Conn) -> Result<T>) -> Result<T> {
    // Nothing becomes due between the two statements: their instant is the request's.
    match cx.db.statement(async |conn| look(conn, cx, whose, &read).await).await? {
        Some(found) => found,
        None => {
            settle(cx, whose).await?;
            cx.db.statement(read).await
        }
    }
}

/// Reads one thing that time changes, and that tells itself whether something of it is due. Whatever is due is
/// processed, and then it is read again.
///
/// # Errors
/// Of `read`, or of [`settle`].
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

/// What is read, or nothing when something is due: also what was refused may be refused no more.
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

/// Makes of subscriptions what time should have made of them by now. Every use case that changes what time changes
/// begins with this.
///
/// # Errors
/// The database fails, or there is so much to do that the caller is to come again.
pub async fn settle(cx: &Context, whose: Whose) -> Result<()> {
    let started = Instant::now();
    settle_while(cx, whose, || started.elapsed() < PATIENCE).await
}

/// [`settle`] for everyone and without a limit.
pub(super) async fn settle_all(cx: &Context) -> Result<()> {
    drain(cx, || false).await?;
    // Others may still be at work on some: this waits for them.
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

/// Brings a subscription up to date, one milestone after the other.
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

/// Works on what waits, longest first, until there is nothing left that nobody else is at work on, or it is
/// told to stop.
pub async fn drain(cx: &Context, stop: impl Fn() -> bool) -> Result<()> {
    let lane = async |part| {
        while !stop() && pass_next(cx, part).await? {}
        Ok(())
    };
    try_join_all(Part::of(LANES).map(lane)).await.map(drop)
}

/// Whether there was something to do.
async fn pass_next(cx: &Context, part: Part) -> Result<bool> {
    let next = async |conn: &Conn| Ok::<_, Error>(due_subscriptions::next(conn, cx.at, part, 4 * TOGETHER).await?);
    let ids = cx.db.statement(next).await?;
    if ids.is_empty() {
        return Ok(false);
    }
    match pass_together(cx, &ids).await {
        Ok(passed) => Ok(passed > 0),
        // One of them holds up the others, or they are too many for now: each by itself.
        Err(_) => {
            for id in ids.into_iter().take(usize::try_from(TOGETHER).unwrap_or(1)) {
                catch_up(cx, id).await?;
            }
            Ok(true)
        }
    }
}

/// Processes the next milestone of each of some subscriptions that nobody else is at work on, and answers of how many
/// that was tried. Those that cannot be processed are told.
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
                // Else it would be picked again and again.
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

/// What is due of a subscription that was locked, if anything is. What it refuses it has not begun.
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

/// Keeps why a subscription could not be brought up to date. It is tried again later, and holds up nobody.
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
        // Requests try before it is time to; that is not to be told each time.
        if before.as_ref().is_some_and(|before| before.tells(waiting, code, cx.at)) {
            return Ok(());
        }
        tracing::error!(subscription_id = %id, %code, %error, "a subscription that is due cannot be processed");
        metrics::counter!("subscription_milestone_failures_total", "code" => code.as_str()).increment(1);
        work.write([renewal_failures::save(&RenewalFailure::again(before, waiting, code, cx.at))]);
        Ok(())
    })
    .await
}

/// The subscriptions in the tenant that could not be processed when they were due.
pub async fn failures(cx: &Context, window: &Window) -> Result<Page<RenewalFailure>> {
    let list = async |tx: &Conn| Ok(renewal_failures::list(tx, cx.actor.scope, window).await?);
    current(cx, Whose::Everyones, list).await
}
