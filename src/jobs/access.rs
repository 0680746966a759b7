//! Keeps up what an instance remembers of keys, and writes which of them were used.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::access_cache::AccessCache;
use crate::db::Db;
use crate::ops::access;

/// Between one question for the version and the next.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);

/// Between one writing of uses and the next.
const WRITE_EVERY: Duration = Duration::from_secs(3);

/// How often the last uses are tried again: a worker that has ended takes along the connections that it opened, some of
/// which the pool still has.
const LAST_TRIES: usize = 10;

/// Between one such try and the next.
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// What looks after an instance's memory of keys. Every instance that serves has one.
pub struct AccessKeeper {
    pub db: Db,
    /// What is remembered.
    pub cache: AccessCache,
}

impl AccessKeeper {
    /// Works until the sender is dropped: when the last request is answered.
    pub async fn run(self, serving: watch::Receiver<()>) {
        tokio::join!(self.follow(serving.clone()), self.write_uses(serving));
    }

    async fn follow(&self, mut serving: watch::Receiver<()>) {
        let mut ticks = every(FOLLOW_EVERY);
        let mut fails = false;
        while is_next(&mut ticks, &mut serving).await {
            let outcome = access::follow(&self.db, &self.cache).await;
            // Once, rather than several times a second.
            if let Err(error) = &outcome
                && !fails
            {
                tracing::warn!(%error, "keys cannot be followed; each request looks its own up meanwhile");
            }
            fails = outcome.is_err();
        }
    }

    async fn write_uses(&self, mut serving: watch::Receiver<()>) {
        let mut ticks = every(WRITE_EVERY);
        let mut goes_on = true;
        while goes_on {
            // The last ones, too.
            goes_on = is_next(&mut ticks, &mut serving).await;
            let mut written = access::write_uses(&self.db, &self.cache).await;
            for _ in 0..LAST_TRIES {
                if goes_on || written.is_ok() {
                    break;
                }
                tokio::time::sleep(LAST_PAUSE).await;
                written = access::write_uses(&self.db, &self.cache).await;
            }
            if let Err(error) = written {
                tracing::warn!(%error, "when keys were last used could not be written");
            }
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for the next time; `false` when there is none.
async fn is_next(ticks: &mut Interval, serving: &mut watch::Receiver<()>) -> bool {
    tokio::select! {
        _ = ticks.tick() => true,
        _ = serving.changed() => false,
    }
}
