//! The feed of events: everything that was committed, each once, in an order in which nothing ever appears before
//! what a reader has seen.

use std::time::Duration;

use super::lookout::{Ask, Lookout};
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

/// From where the feed is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// From behind this place; 0 is the beginning.
    Place(i64),
    /// From now on.
    Latest,
}

/// A part of the feed.
#[derive(Debug, Clone)]
pub struct Feed {
    pub events: Vec<Event>,
    /// Behind which place to go on.
    pub after: i64,
}

/// Gives every event that is committed its place, and answers the last. Whoever reads does so: nobody waits for a
/// job.
pub async fn catch_up(db: &Db) -> Result<i64> {
    let head = async |conn: &Conn| events::head(conn).await;
    let (mut last, mut are_waiting) = db.statement(head).await?;
    while are_waiting {
        let (now, are_more) = db.begin().await?.commit_then(events::give_places(BATCH), head).await?;
        // What others have committed since may wait for the next who reads.
        are_waiting = are_more && now - last >= BATCH;
        last = now;
    }
    Ok(last)
}

/// The events in the tenant from behind a place, of some types or all. When there are none, it waits for some, but
/// no longer than it is told to, nor when the service is being stopped.
///
/// # Errors
/// There never was such a place, or the database fails.
pub async fn list(
    cx: &Context,
    types: Vec<EventType>,
    after: After,
    limit: i64,
    wait: Duration,
    lookout: &Lookout,
    shutdown: &Shutdown,
) -> Result<Feed> {
    let is_over = async {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.draining() => {}
        }
    };
    tokio::pin!(is_over);
    let mut waiter = lookout.waiter();
    let mut through = catch_up(&cx.db).await?;
    let after = match after {
        After::Latest => through,
        After::Place(place) if place <= through => place,
        After::Place(_) => return Err(Error::UnknownPlace),
    };
    let mut ask = Ask { scope: cx.actor.scope, types, after, limit };
    let mut feed = look(cx, &ask, through).await?;
    // One that has not come to the end asks again, from where it is now.
    while feed.events.is_empty() && feed.after == through && !wait.is_zero() {
        ask.after = feed.after;
        let news = tokio::select! {
            biased;
            () = &mut is_over => break,
            news = waiter.news(&cx.db) => news?,
        };
        through = through.max(news.through);
        feed = if news.concerns(&ask) {
            news.reading(&ask, look(cx, &ask, through)).await?
        } else {
            Feed { events: Vec::new(), after: through }
        };
    }
    Ok(feed)
}

async fn look(cx: &Context, ask: &Ask, through: i64) -> Result<Feed> {
    let (mut place, mut reading) = (ask.after, Reading::new(ask.limit));
    let mut found = Vec::new();
    // A reader of old events is not made to come again for each stretch in which there is nothing for it.
    for _ in 0..STRETCHES {
        let Some(limit) = reading.next().filter(|_| place < through) else { break };
        // Everyone's events of one type are found by their index, however far apart they are.
        let is_indexed = ask.types.len() == 1 && ask.scope.reseller().is_none();
        let reach = if is_indexed { through } else { through.min(place.saturating_add(REACH)) };
        let list =
            async |conn: &Conn| Ok::<_, Error>(events::list(conn, ask.scope, &ask.types, (place, reach), limit).await?);
        let part = cx.db.statement(list).await?;
        let is_full = i64::try_from(part.len()) == Ok(limit);
        place = part.last().filter(|_| is_full).and_then(|event| event.sequence).unwrap_or(reach);
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
        place = found.last().and_then(|event| event.sequence).unwrap_or(ask.after);
    }
    Ok(Feed { events: found, after: place })
}
