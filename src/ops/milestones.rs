//! What time does by itself. A subscription that is due is made what time should have made of it: by the
//! worker soon after midnight, and by whoever asks for it sooner. Each milestone is one short transaction and
//! happens as of the start of its day, however late it is dealt with, so that it does not matter who does.

use std::time::{Duration, Instant};

use chrono::NaiveDate;
use futures_util::future::try_join_all;
use tokio::join;

use super::work::Work;
use super::{Context, Error, Result, found, offers, orders};
use crate::domain::access::Actor;
use crate::domain::id::SubscriptionId;
use crate::domain::listing::{Page, Whose, Window};
use crate::domain::machine::Outcome;
use crate::domain::quote;
use crate::domain::refusal::Refusal;
use crate::domain::renewal_failure::{FailureCode, RenewalFailure, Waiting};
use crate::domain::subscription::{Command, Due, Milestone, Subscription};
use crate::domain::time::start_of;
use crate::store::{self, Conn, renewal_failures, subscriptions};

/// How many waiting subscriptions are looked up at once.
const BATCH: i64 = 100;

/// How many subscriptions are worked on at once.
const LANES: usize = 4;

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

/// What is read, or nothing when something is due: also what was refused may be refused no more.
async fn look<T>(
    conn: &Conn,
    cx: &Context,
    whose: Whose,
    read: impl AsyncFn(&Conn) -> Result<T>,
) -> Result<Option<Result<T>>> {
    let waiting = renewal_failures::list_waiting(conn, cx.actor.scope, whose, cx.at, None, 1);
    let (waiting, found) = join!(biased; waiting, read(conn));
    Ok(waiting?.is_empty().then_some(found))
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
///
/// # Errors
/// The database fails.
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
    cx.db
        .statement(async |conn| Ok(renewal_failures::list_waiting(conn, scope, whose, cx.at, after, BATCH).await?))
        .await
}

/// Brings a subscription up to date, one milestone after the other.
async fn catch_up(cx: &Context, id: SubscriptionId) -> Result<()> {
    loop {
        let cx = &Context { request: None, ..cx.clone() };
        let passed = cx.write(async |work| match subscriptions::lock(work.conn, cx.actor.scope, id).await? {
            None => Ok(None),
            Some(subscription) => pass(work, cx, subscription).await,
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
///
/// # Errors
/// The database fails.
pub async fn drain(cx: &Context, stop: impl Fn() -> bool) -> Result<()> {
    let lane = async || {
        while !stop() && pass_next(cx).await? {}
        Ok(())
    };
    try_join_all((0..LANES).map(|_| lane())).await.map(drop)
}

/// Whether there was something to do.
async fn pass_next(cx: &Context) -> Result<bool> {
    let mut picked = None;
    let passed = cx.write(async |work| {
        picked = renewal_failures::lock_next(work.conn, cx.at).await?.map(|waiting| waiting.subscription_id);
        let Some(id) = picked else { return Ok(None) };
        let subscription = found(subscriptions::find(work.conn, cx.actor.scope, id).await?, "subscription")?;
        // Else it would be picked again and again.
        let not_due = store::Error::Corrupt { table: "subscriptions", reason: "due_date is not when it is due" };
        pass(work, cx, subscription).await?.ok_or(not_due.into()).map(Some)
    });
    match (passed.await, picked) {
        (Ok(milestone), _) => milestone.into_iter().for_each(count),
        (Err(error), Some(id)) => tell(cx, id, error).await?,
        (Err(error), None) => return Err(error),
    }
    Ok(picked.is_some())
}

/// What is due of a subscription that was locked, if anything is.
async fn pass(work: &mut Work<'_>, cx: &Context, before: Subscription) -> Result<Option<Milestone>> {
    let Some(Due { milestone, on }) = before.due(cx.today()) else { return Ok(None) };
    let cx = cx.at_start_of(on);
    let outcome = match milestone {
        Milestone::Activation => before.apply(Command::Activate, cx.at)?,
        Milestone::LapseEnd => before.apply(Command::Expire, cx.at)?,
        Milestone::TermEnd => {
            // The term will name the lists of its prices: none is deleted meanwhile.
            let offered = offers::hold(work.conn, before.customer_id, &[before.product_id]).await?;
            let product = found(offered.into_iter().next(), "product")?;
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
///
/// # Errors
/// The database fails.
pub async fn failures(cx: &Context, window: &Window) -> Result<Page<RenewalFailure>> {
    let list = async |tx: &Conn| Ok(renewal_failures::list(tx, cx.actor.scope, window).await?);
    current(cx, Whose::Everyones, list).await
}
