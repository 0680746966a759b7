//! The event feed: all committed events, each once, in a stable order. A new event never appears before a position that
//! a reader has already passed.

use std::time::Duration;

use super::lookout::{Ask, Lookout};
use super::{Context, Error, Result};
use crate::domain::events::{Event, EventType};
use crate::domain::listing::{Reading, fitting, json_size};
use crate::platform::db::Db;
use crate::platform::shutdown::Shutdown;
use crate::store::{Conn, events};

/// The number of events that get their positions in one statement.
const BATCH: i64 = 1000;

/// The number of positions in the feed that one statement searches.
const REACH: i64 = 10_000;

/// The maximum number of such statements for one request. The client continues from where the search ended.
const STRETCHES: usize = 20;

/// The maximum number of bytes of an event without its data.
const ENVELOPE: usize = 1500;

/// Where to start reading the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// After this position; 0 is the beginning.
    Place(i64),
    /// After the last committed event.
    Latest,
}

#[derive(Debug, Clone)]
pub struct Feed {
    pub events: Vec<Event>,
    /// The position to continue after.
    pub after: i64,
}

/// Gives all committed events their positions, and returns the last position. Readers do this themselves, so that they
/// need not wait for a background job.
pub async fn catch_up(db: &Db) -> Result<i64> {
    let head = async |conn: &Conn| events::head(conn).await;
    let (mut last, mut are_waiting) = db.statement(head).await?;
    while are_waiting {
        let (now, are_more) = db.begin().await?.commit_then(events::give_places(BATCH), head).await?;
        // Events that were committed in the meantime can wait for the next reader.
        are_waiting = are_more && now - last >= BATCH;
        last = now;
    }
    Ok(last)
}

/// Lists the events of the tenant after a position, of some types or all. If there are none, waits for some, but not
/// longer than `wait`, and not when the service is stopping.
///
/// # Errors
/// [`Error::UnknownPlace`], or the database fails.
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
    // If the search has not reached the end of the feed, the client continues from where it is now.
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
    // Several statements, so that a reader of old events does not need a request for each stretch without matching
    // events.
    for _ in 0..STRETCHES {
        let Some(limit) = reading.next().filter(|_| place < through) else { break };
        // Events of one type over all tenants are found through an index, however far apart they are.
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
