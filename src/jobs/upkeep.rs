//! Maintenance: seals the audit trail, gives events their positions in the feed, and deletes expired data.

use std::time::Duration;

use super::{PAUSE, Pace};
use crate::ops::{Error, audit, courier, events, request};
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::platform::shutdown::Shutdown;

/// The pause between two deletions of expired data.
const DELETE_EVERY: Duration = Duration::from_secs(60);

/// The maintenance jobs.
pub struct Upkeep {
    pub db: Db,
    pub clock: Clock,
    pub shutdown: Shutdown,
}

impl Upkeep {
    /// Runs until the service is stopping. A failure of one task does not affect the others.
    pub async fn run(self) {
        let (db, clock) = (&self.db, &self.clock);
        tokio::join!(
            self.repeat("seals", PAUSE, || async { audit::seal(db).await.map(drop) }),
            self.repeat("places of events", PAUSE, || async { events::catch_up(db).await.map(drop) }),
            self.repeat("expired answers", DELETE_EVERY, || request::forget_expired(db, clock.machine())),
            self.repeat("past deliveries", DELETE_EVERY, || courier::sweep(db, clock.machine())),
        );
    }

    async fn repeat<F>(&self, job: &'static str, every: Duration, task: impl Fn() -> F)
    where
        F: Future<Output = Result<(), Error>>,
    {
        let mut pace = Pace::new(job, every);
        while !self.shutdown.is_draining() {
            pace.rest(&self.shutdown, task().await).await;
        }
    }
}
