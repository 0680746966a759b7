//! Keeps up what an instance remembers of keys, and writes which of them were used.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::access_cache::AccessCache;
use crate::db::Db;
use crate::ops::access;

/// Between one question for the version and the next.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);

/// Between one writing of uses and the next.
const WRITE_EVERY: Duration = Duration::from_secs(3);

/// What looks after an instance's memory of keys. Every instance that serves has one.
pub struct AccessKeeper {
    /// The database.
    pub db: Db,
    /// What is remembered.
    pub cache: AccessCache,
}

impl AccessKeeper {
    /// Works until the last request is answered.
    pub async fn run(self, answered: impl Future<Output = ()>) {
        tokio::select! {
            () = self.follow() => {}
            () = self.write_uses() => {}
            () = answered => {}
        }
        if let Err(error) = access::write_uses(&self.db, &self.cache).await {
            tracing::warn!(%error, "when keys were last used could not be written");
        }
    }

    async fn follow(&self) {
        let mut ticks = interval(FOLLOW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fails = false;
        loop {
            ticks.tick().await;
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

    async fn write_uses(&self) {
        let mut ticks = interval(WRITE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = access::write_uses(&self.db, &self.cache).await {
                tracing::warn!(%error, "when keys were last used could not be written");
            }
        }
    }
}
