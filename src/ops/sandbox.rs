//! The clock of a sandbox: it runs like the machine's, ahead of it by as much as it was ever moved, and
//! everything that falls due on the way happens as if time had passed. It stands in the database, so that it
//! is the same on every instance and after every start.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{Context, Result, billing, milestones};
use crate::clock::Clock;
use crate::db::Db;
use crate::domain::access::Actor;
use crate::domain::billing::next_invoice_day;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::domain::time::{start_of, written};
use crate::store::sandbox::{self, Ahead};
use crate::store::{Conn, due_subscriptions};

/// The most days by which the clock is moved at once: ten years.
pub const MAX_DAYS: i32 = 3653;

/// With which year every sandbox ends: an instant beyond 9999 cannot be written down.
const LAST_YEAR: i32 = 9900;

/// Where the clock is to be moved.
#[derive(Debug, Clone, Copy)]
pub enum Move {
    /// So many days ahead.
    ByDays(i32),
    /// To an instant.
    To(DateTime<Utc>),
}

/// What a clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub now: DateTime<Utc>,
    /// Where it is on its way to, while it is moved.
    pub moving_to: Option<DateTime<Utc>>,
}

/// Sets the clock as the database has it.
pub async fn follow(db: &Db, clock: &Clock) -> Result<Ahead> {
    let ahead: Result<_> = db.statement(async |conn| Ok(sandbox::find(conn).await?.unwrap_or_default())).await;
    let ahead = ahead?;
    clock.set_ahead(ahead.now);
    Ok(ahead)
}

/// What the clock shows.
pub async fn read(cx: &Context) -> Result<Reading> {
    let ahead = follow(&cx.db, &cx.clock).await?;
    let moving = ahead.target > ahead.now;
    Ok(Reading { now: cx.clock.now(), moving_to: moving.then(|| cx.clock.machine() + ahead.target) })
}

/// Sets where the clock is to be moved; [`walk`] moves it there. Two moves at once add up.
///
/// # Errors
/// The clock goes forwards only, and not too far.
pub async fn aim(cx: &Context, to: Move) -> Result<Reading> {
    cx.write(async |work| {
        let ahead = sandbox::lock(work.conn).await?;
        let machine = cx.clock.machine();
        let target = target(machine + ahead.target, to)?;
        work.write([sandbox::save(Ahead { target: target - machine, ..ahead })]);
        Ok(Reading { now: machine + ahead.now, moving_to: Some(target) })
    })
    .await
}

fn target(now: DateTime<Utc>, to: Move) -> std::result::Result<DateTime<Utc>, Refusal> {
    let (field, target) = match to {
        Move::ByDays(days) => ("/advance_days", now + TimeDelta::days(days.into())),
        Move::To(target) => ("/now", target),
    };
    let latest = now + TimeDelta::days(MAX_DAYS.into());
    let latest = NaiveDate::from_ymd_opt(LAST_YEAR, 1, 1).map_or(latest, |end| start_of(end).min(latest));
    if (now..=latest).contains(&target) {
        return Ok(target);
    }
    let detail =
        format!("The clock can only move forward. Choose an instant from {} to {}.", written(now), written(latest));
    Err(Violation::new(field, ViolationCode::OutOfRange, detail).into())
}

/// Goes on to where the clock is to be, and does on each day what falls due on it, until it is told to stop. What
/// is interrupted is taken up again by the worker.
pub async fn walk(cx: &Context, invoice_day: Option<u32>, stop: impl Fn() -> bool) -> Result<()> {
    while !stop() {
        let ahead = follow(&cx.db, &cx.clock).await?;
        let cx = Context::new(cx.db.clone(), cx.clock.clone(), Actor::system());
        milestones::settle_all(&cx).await?;
        if let Some(day) = invoice_day {
            billing::run_monthly(&cx, day).await?;
        }
        if ahead.now >= ahead.target {
            break;
        }
        let machine = cx.clock.machine();
        let target = machine + ahead.target;
        let next = next_day(&cx, invoice_day).await?.map(start_of).filter(|next| *next < target);
        let now = next.unwrap_or(target) - machine;
        cx.db.send(vec![sandbox::save(Ahead { now, ..ahead })]).await?;
    }
    Ok(())
}

/// The next day on which something falls due.
async fn next_day(cx: &Context, invoice_day: Option<u32>) -> Result<Option<NaiveDate>> {
    let due = async |conn: &Conn| due_subscriptions::next_date(conn, cx.today()).await;
    let due: Option<NaiveDate> = cx.db.statement(due).await?;
    let invoices = invoice_day.and_then(|day| next_invoice_day(day, cx.today()));
    Ok(due.into_iter().chain(invoices).min())
}
