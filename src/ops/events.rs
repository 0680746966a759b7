//! The feed of events: everything that was committed, each once, in an order in which nothing ever appears before
//! what a reader has seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::{Context, Error, Result};
use crate::db::Db;
use crate::domain::event::{Event, EventType};
use crate::domain::listing::{Reading, fitting, json_size};
use crate::shutdown::Shutdown;
use crate::store::{Conn, events};

/// How many events get their places at once.
const BATCH: i64 = 1000;

/// How much of the feed is gone through by one statement, whatever it finds.
const REACH: i64 = 10_000;

/// How many of these one look is at the most: then the reader comes again, from further on.
const STRETCHES: usize = 20;

/// The most bytes of an event beside its data.
const ENVELOPE: usize = 1500;

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
    /// The events.
    pub events: Vec<Event>,
    /// Behind which place to go on.
    pub after: i64,
}

/// Looks whether the feed has gone on, for all who wait for it.
#[derive(Debug, Clone, Default)]
pub struct Lookout(Arc<Mutex<Option<(Instant, i64)>>>);

impl Lookout {
    /// The last place of the feed as it was a moment ago. Whoever asks in that moment waits for whoever asked first.
    async fn last(&self, db: &Db) -> Result<i64> {
        let mut seen = self.0.lock().await;
        if let Some((at, last)) = *seen
            && at.elapsed() < PAUSE
        {
            return Ok(last);
        }
        let last = catch_up(db).await;
        // A database that is away is not asked by each of them in turn.
        let known = last.as_ref().ok().or(seen.as_ref().map(|(_, last)| last)).copied();
        *seen = known.map(|known| (Instant::now(), known));
        last
    }
}

/// Gives every event that is committed its place, and answers the last. Whoever reads does so: nobody waits for a
/// job.
///
/// # Errors
/// The database fails.
pub async fn catch_up(db: &Db) -> Result<i64> {
    let head = async |conn: &mut Conn| Ok::<_, Error>(events::head(conn).await?);
    let (last, are_waiting) = db.statement(head).await?;
    if !are_waiting {
        return Ok(last);
    }
    loop {
        let give = async |tx: &mut Conn| Ok::<_, Error>(events::give_places(tx, BATCH).await?);
        let (given, last) = db.transaction(give).await?;
        // What others have committed since may wait for the next who reads.
        if given < BATCH {
            return Ok(last);
        }
    }
}

/// The events in the tenant from behind a place, of some types or all. When there are none, it waits for some, but
/// no longer than it is told to, nor when the service is being stopped.
///
/// # Errors
/// There never was such a place, or the database fails.
pub async fn list(
    cx: &Context,
    types: &[EventType],
    after: After,
    limit: i64,
    wait: Duration,
    lookout: &Lookout,
    shutdown: &Shutdown,
) -> Result<Feed> {
    let started = Instant::now();
    let mut last = catch_up(&cx.db).await?;
    let mut place = match after {
        After::Latest => last,
        After::Place(place) if place <= last => place,
        After::Place(_) => return Err(Error::UnknownPlace),
    };
    loop {
        if last > place {
            let feed = look(cx, types, (place, last), limit).await?;
            if !feed.events.is_empty() {
                return Ok(feed);
            }
            place = feed.after;
        }
        if started.elapsed() >= wait || shutdown.is_draining() {
            return Ok(Feed { events: Vec::new(), after: place });
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE.min(wait.saturating_sub(started.elapsed()))) => {}
            () = shutdown.draining() => {}
        }
        last = lookout.last(&cx.db).await?;
    }
}

async fn look(cx: &Context, types: &[EventType], (after, last): (i64, i64), limit: i64) -> Result<Feed> {
    let (mut place, mut reading) = (after, Reading::new(limit));
    let mut found = Vec::new();
    // A reader of old events is not made to come again for each stretch in which there is nothing for it.
    for _ in 0..STRETCHES {
        let Some(limit) = reading.next().filter(|_| place < last) else { break };
        let through = last.min(place.saturating_add(REACH));
        let list = async |conn: &mut Conn| {
            Ok::<_, Error>(events::list(conn, cx.actor.scope, types, (place, through), limit).await?)
        };
        let part = cx.db.statement(list).await?;
        let is_full = i64::try_from(part.len()) == Ok(limit);
        place = part.last().filter(|_| is_full).and_then(|event| event.sequence).unwrap_or(through);
        reading.note(part.iter().map(|event| json_size(&event.data)));
        let is_enough = !part.is_empty() && !is_full;
        found.extend(part);
        if is_enough {
            break;
        }
    }
    let fitting = fitting(found.iter().map(|event| json_size(&event.data) + ENVELOPE));
    if fitting < found.len() {
        found.truncate(fitting);
        place = found.last().and_then(|event| event.sequence).unwrap_or(after);
    }
    Ok(Feed { events: found, after: place })
}
