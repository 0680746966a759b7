//! The event feed watcher, for requests that wait for events. One of the waiting requests polls the feed for all of
//! them. A poll takes one statement, and one more if there are new events. Only requests with matching events then read
//! the feed, and requests with the same parameters share one read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

use super::events::{Feed, catch_up};
use super::{Error, Result};
use crate::domain::authorization::Scope;
use crate::domain::events::{EventType, Headline};
use crate::platform::db::Db;
use crate::store::{Conn, events};

/// The pause between two polls.
const PAUSE: Duration = Duration::from_millis(200);

/// The maximum number of headlines that one poll reads, the latest first. A request that waits for earlier events reads
/// the feed itself.
const MOST_HEADLINES: i64 = 1000;

/// Polls the feed for all requests that wait for events.
#[derive(Debug, Clone, Default)]
pub struct Lookout {
    /// The request that holds this lock polls.
    turn: Arc<tokio::sync::Mutex<Turn>>,
    news: watch::Sender<Arc<News>>,
}

#[derive(Debug, Default)]
struct Turn {
    next_look: Option<Instant>,
    /// The last known position of the feed.
    seen: i64,
}

/// The part of the feed that a poll found.
#[derive(Debug, Default)]
pub struct News {
    /// The position before the first headline.
    after: i64,
    /// The last position.
    pub through: i64,
    headlines: Vec<Headline>,
    readings: Mutex<HashMap<Ask, Arc<OnceCell<Feed>>>>,
}

/// The parameters of a request. Requests with equal parameters share one result.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    /// The tenant.
    pub scope: Scope,
    /// The event types; empty means all.
    pub types: Vec<EventType>,
    /// The position to start after.
    pub after: i64,
    /// The maximum number of events.
    pub limit: i64,
}

impl News {
    /// Whether there may be matching events for this request.
    #[must_use]
    pub fn concerns(&self, ask: &Ask) -> bool {
        if ask.after < self.after {
            return true; // The events in between are unknown.
        }
        let mut ahead = self.headlines.iter().filter(|headline| headline.sequence > ask.after);
        ahead.any(|headline| headline.is_for(ask.scope, &ask.types))
    }

    /// Returns the result of `read`, which runs once for all requests with equal parameters.
    ///
    /// # Errors
    /// The error of `read`. The next request runs its `read` again.
    pub async fn reading(&self, ask: &Ask, read: impl Future<Output = Result<Feed>>) -> Result<Feed> {
        let cell = {
            let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
            readings.entry(ask.clone()).or_default().clone()
        };
        cell.get_or_try_init(|| read).await.cloned()
    }
}

/// A request that waits for events.
#[derive(Debug)]
pub struct Waiter<'a> {
    lookout: &'a Lookout,
    news: watch::Receiver<Arc<News>>,
}

impl Lookout {
    /// Starts waiting. Events that are found after this call are not missed.
    #[must_use]
    pub fn waiter(&self) -> Waiter<'_> {
        Waiter { lookout: self, news: self.news.subscribe() }
    }

    /// Polls, once this waiter has the lock, until there are new events. If the waiter is dropped, the next one gets
    /// the lock.
    async fn look(&self, db: &Db) -> Result<()> {
        let db = db.for_everybody();
        let mut turn = self.turn.lock().await;
        loop {
            if let Some(at) = turn.next_look {
                tokio::time::sleep_until(at).await;
            }
            turn.next_look = Some(Instant::now() + PAUSE);
            let (after, through) = (turn.seen, catch_up(&db).await?);
            if through > after {
                let read = async |conn: &Conn| {
                    Ok::<_, Error>(events::headlines(conn, (after, through), MOST_HEADLINES).await?)
                };
                let headlines = db.statement(read).await?;
                let is_cut = i64::try_from(headlines.len()) == Ok(MOST_HEADLINES);
                let oldest = headlines.last().filter(|_| is_cut).map(|oldest| oldest.sequence - 1);
                turn.seen = through;
                let news = News { after: oldest.unwrap_or(after), through, headlines, ..News::default() };
                self.news.send_replace(Arc::new(news));
                return Ok(());
            }
        }
    }
}

impl Waiter<'_> {
    /// Waits until there are new events for any tenant.
    ///
    /// # Errors
    /// This waiter was polling, and the database fails.
    pub async fn news(&mut self, db: &Db) -> Result<Arc<News>> {
        tokio::select! {
            biased;
            // This cannot fail, because the lookout owns the sender.
            _ = self.news.changed() => {}
            looked = self.lookout.look(db) => looked?,
        }
        Ok(self.news.borrow_and_update().clone())
    }
}
