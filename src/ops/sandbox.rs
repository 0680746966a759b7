//! The clock of a sandbox. It runs ahead of the machine's clock, and can be moved forward. Everything that becomes due
//! on the way is processed as if the time had passed. The offset is stored in the database, so that it is the same on
//! all instances and after a restart.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{Context, Result, billing, milestones};
use crate::domain::authorization::Actor;
use crate::domain::billing::invoice_run::next_invoice_day;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::domain::time::{start_of, written};
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::store::sandbox::{self, Ahead};
use crate::store::{Conn, due_subscriptions};

/// The maximum number of days for one move: ten years.
pub const MAX_DAYS: i32 = 3653;

/// The last year of a sandbox. An instant after the year 9999 cannot be represented in a response.
const LAST_YEAR: i32 = 9900;

/// A move of the clock.
#[derive(Debug, Clone, Copy)]
pub enum Move {
    /// Forward by a number of days.
    ByDays(i32),
    /// Forward to an instant.
    To(DateTime<Utc>),
}

/// The state of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub now: DateTime<Utc>,
    /// The target of the move in progress, if any.
    pub moving_to: Option<DateTime<Utc>>,
}

/// Sets the clock of this instance to the offset in the database.
pub async fn follow(db: &Db, clock: &Clock) -> Result<Ahead> {
    let ahead: Result<_> = db.statement(async |conn| Ok(sandbox::find(conn).await?.unwrap_or_default())).await;
    let ahead = ahead?;
    clock.set_ahead(ahead.now);
    Ok(ahead)
}

/// Returns the state of the clock.
pub async fn read(cx: &Context) -> Result<Reading> {
    let ahead = follow(&cx.db, &cx.clock).await?;
    let moving = ahead.target > ahead.now;
    Ok(Reading { now: cx.clock.now(), moving_to: moving.then(|| cx.clock.machine() + ahead.target) })
}

/// Sets the target of the clock. [`walk`] moves the clock there. Two concurrent moves add up.
///
/// # Errors
/// The target is in the past, or too far in the future.
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

/// Moves the clock to its target day by day, and processes what is due on each day, until `stop` returns true. The
/// worker continues an interrupted move.
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

/// The next day on which a transition or an invoice run is due.
async fn next_day(cx: &Context, invoice_day: Option<u32>) -> Result<Option<NaiveDate>> {
    let due = async |conn: &Conn| due_subscriptions::next_date(conn, cx.today()).await;
    let due: Option<NaiveDate> = cx.db.statement(due).await?;
    let invoices = invoice_day.and_then(|day| next_invoice_day(day, cx.today()));
    Ok(due.into_iter().chain(invoices).min())
}
