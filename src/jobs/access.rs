//! Keeps the credentials cache of an instance up to date, and writes when keys were last used.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::ops::access;
use crate::ops::credential_cache::AccessCache;
use crate::platform::db::Db;

/// The pause between two checks of the version of the credentials.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);

/// The pause between two writes of the last uses.
const WRITE_EVERY: Duration = Duration::from_secs(3);

/// The number of retries for the last write before the service stops. Retries are needed because a server worker that
/// has ended closes the connections that it opened, and the pool may still contain some of them.
const LAST_TRIES: usize = 10;

/// The pause between two of these retries.
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// Maintains the credentials cache. Runs on every instance that serves requests.
pub struct AccessKeeper {
    pub db: Db,
    pub cache: AccessCache,
}

impl AccessKeeper {
    /// Runs until the sender is dropped, which is after the last response.
    pub async fn run(self, serving: watch::Receiver<()>) {
        tokio::join!(self.follow(serving.clone()), self.write_uses(serving));
    }

    async fn follow(&self, mut serving: watch::Receiver<()>) {
        let mut ticks = every(FOLLOW_EVERY);
        let mut fails = false;
        while is_next(&mut ticks, &mut serving).await {
            let outcome = access::follow(&self.db, &self.cache).await;
            // Logged once per outage, not several times a second.
            if let Err(error) = &outcome
                && !fails
            {
                tracing::warn!(%error, "cannot refresh the credentials cache; each request now looks up its key");
            }
            fails = outcome.is_err();
        }
    }

    async fn write_uses(&self, mut serving: watch::Receiver<()>) {
        let mut ticks = every(WRITE_EVERY);
        let mut goes_on = true;
        while goes_on {
            // When the service stops, writes once more.
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
                tracing::warn!(%error, "cannot write when keys were last used");
            }
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for the next tick. Returns `false` when the service stops.
async fn is_next(ticks: &mut Interval, serving: &mut watch::Receiver<()>) -> bool {
    tokio::select! {
        _ = ticks.tick() => true,
        _ = serving.changed() => false,
    }
}
