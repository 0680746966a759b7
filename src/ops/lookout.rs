//! Waiting for events. However many wait, one of them looks for all: a look costs one statement, what it found one
//! more, and only those whom it concerns read, each part of the feed once for all who ask for the same.

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

/// Between one look and the next.
const PAUSE: Duration = Duration::from_millis(200);

/// The most headlines that are read at once, the latest: who was behind before these reads for itself.
const MOST_HEADLINES: i64 = 1000;

/// Looks whether the feed has gone on, for all who wait for it.
#[derive(Debug, Clone, Default)]
pub struct Lookout {
    /// Whose turn it is to look.
    turn: Arc<tokio::sync::Mutex<Turn>>,
    news: watch::Sender<Arc<News>>,
}

#[derive(Debug, Default)]
struct Turn {
    next_look: Option<Instant>,
    /// The last place that was seen.
    seen: i64,
}

/// The part of the feed that a look found.
#[derive(Debug, Default)]
pub struct News {
    /// It begins behind this place.
    after: i64,
    /// Its last place.
    pub through: i64,
    headlines: Vec<Headline>,
    readings: Mutex<HashMap<Ask, Arc<OnceCell<Feed>>>>,
}

/// What somebody asks of the feed: two who ask for the same get the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Whose events.
    pub scope: Scope,
    /// Of these types; all when there are none.
    pub types: Vec<EventType>,
    /// From behind this place.
    pub after: i64,
    /// At the most so many.
    pub limit: i64,
}

impl News {
    /// Whether there may be something here for who asks.
    #[must_use]
    pub fn concerns(&self, ask: &Ask) -> bool {
        if ask.after < self.after {
            return true; // What is in between is not known here.
        }
        let mut ahead = self.headlines.iter().filter(|headline| headline.sequence > ask.after);
        ahead.any(|headline| headline.is_for(ask.scope, &ask.types))
    }

    /// What `read` reads, which is done once for all who ask for the same.
    ///
    /// # Errors
    /// The error of `read`; the next who asks then does it again.
    pub async fn reading(&self, ask: &Ask, read: impl Future<Output = Result<Feed>>) -> Result<Feed> {
        let cell = {
            let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
            readings.entry(ask.clone()).or_default().clone()
        };
        cell.get_or_try_init(|| read).await.cloned()
    }
}

/// Somebody who waits.
#[derive(Debug)]
pub struct Waiter<'a> {
    lookout: &'a Lookout,
    news: watch::Receiver<Arc<News>>,
}

impl Lookout {
    /// Waits from now on: nothing that is found later is missed.
    #[must_use]
    pub fn waiter(&self) -> Waiter<'_> {
        Waiter { lookout: self, news: self.news.subscribe() }
    }

    /// Looks, once it is this waiter's turn, until there is something. A waiter that goes away leaves its turn to the
    /// next.
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
    /// Waits until the feed goes on, for whomever.
    ///
    /// # Errors
    /// It was this waiter's turn to look, and the database fails.
    pub async fn news(&mut self, db: &Db) -> Result<Arc<News>> {
        tokio::select! {
            biased;
            // It never fails: the sender is the lookout's.
            _ = self.news.changed() => {}
            looked = self.lookout.look(db) => looked?,
        }
        Ok(self.news.borrow_and_update().clone())
    }
}
