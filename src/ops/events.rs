//! The feed of events: everything that was committed, each once, in an order in which nothing ever appears before
//! what a reader has seen.

use std::time::{Duration, Instant};

use super::{Context, Error, Result};
use crate::db::Db;
use crate::domain::access::Scope;
use crate::domain::event::{Event, EventType};
use crate::shutdown::Shutdown;
use crate::store::{Conn, events};

/// How many events get their places at once.
const BATCH: i64 = 1000;

/// How much of the feed is gone through by one statement, whatever it finds.
const REACH: i64 = 10_000;

/// How many of these one look is at the most: then the reader comes again, from further on.
const STRETCHES: usize = 20;

/// Between one look and the next of who waits.
const PAUSE: Duration = Duration::from_millis(200);

/// From where the feed is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// From behind this place; 0 is the beginning.
    Place(i64),
    /// From now on.
    Latest,
}

/// A part of the feed.
#[derive(Debug)]
pub struct Feed {
    /// The events, each with its place.
    pub events: Vec<(i64, Event)>,
    /// Behind which place to go on.
    pub after: i64,
}

/// Gives every event that is committed its place, and answers the last. Whoever reads does so: nobody waits for a
/// job.
///
/// # Errors
/// The database fails.
pub async fn catch_up(db: &Db) -> Result<i64> {
    loop {
        let head = async |conn: &mut Conn| Ok::<_, Error>(events::head(conn).await?);
        let (last, are_waiting) = db.statement(head).await?;
        if !are_waiting {
            return Ok(last);
        }
        db.transaction(async |tx| Ok::<_, Error>(events::give_places(tx, BATCH).await?)).await?;
    }
}

/// The events in the tenant from behind a place, of some types or all. When there are none, it waits for some, but
/// no longer than it is told to, nor when the service is being stopped.
///
/// # Errors
/// The database fails.
pub async fn list(
    cx: &Context,
    types: &[EventType],
    after: After,
    limit: i64,
    wait: Duration,
    shutdown: &Shutdown,
) -> Result<Feed> {
    let started = Instant::now();
    let mut place = match after {
        After::Place(place) => place,
        After::Latest => catch_up(&cx.db).await?,
    };
    loop {
        let feed = look(cx, types, place, limit).await?;
        if !feed.events.is_empty() || started.elapsed() >= wait || shutdown.is_draining() {
            return Ok(feed);
        }
        place = feed.after;
        tokio::select! {
            () = tokio::time::sleep(PAUSE.min(wait.saturating_sub(started.elapsed()))) => {}
            () = shutdown.draining() => {}
        }
    }
}

async fn look(cx: &Context, types: &[EventType], after: i64, limit: i64) -> Result<Feed> {
    let last = catch_up(&cx.db).await?;
    let mut place = after;
    let mut found = Vec::new();
    // A reader of old events is not made to come again for each stretch in which there is nothing for it.
    for _ in 0..STRETCHES {
        if place >= last || !found.is_empty() {
            break;
        }
        let through = last.min(place.saturating_add(REACH));
        found = between(cx, cx.actor.scope, types, place, through, limit).await?;
        place =
            if i64::try_from(found.len()) == Ok(limit) { found.last().map_or(through, |(at, _)| *at) } else { through };
    }
    Ok(Feed { events: found, after: place.max(after) })
}

async fn between(
    cx: &Context,
    scope: Scope,
    types: &[EventType],
    after: i64,
    through: i64,
    limit: i64,
) -> Result<Vec<(i64, Event)>> {
    let list = async |conn: &mut Conn| Ok(events::list(conn, scope, types, (after, through), limit).await?);
    cx.db.statement(list).await
}
