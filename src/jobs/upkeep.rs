//! What keeps the service in order: the audit trail is sealed, events get their places, and what is kept for a time
//! is deleted after it.

use std::time::{Duration, Instant};

use super::Pace;
use crate::clock::Clock;
use crate::db::Db;
use crate::ops::{Error, audit, courier, events, request};
use crate::shutdown::Shutdown;

/// How often what has expired is deleted.
const DELETE_EVERY: Duration = Duration::from_secs(60);

/// Keeps the service in order.
pub struct Upkeep {
    /// The database.
    pub db: Db,
    /// What time it is.
    pub clock: Clock,
    /// When to stop.
    pub shutdown: Shutdown,
}

impl Upkeep {
    /// Works until the service is being stopped.
    pub async fn run(self) {
        let mut pace = Pace::new();
        let mut deleted_at = None;
        while !self.shutdown.is_draining() {
            let looked = self.look(&mut deleted_at).await;
            pace.rest(&self.shutdown, looked).await;
        }
    }

    async fn look(&self, deleted_at: &mut Option<Instant>) -> Result<(), Error> {
        audit::seal(&self.db).await?;
        events::catch_up(&self.db).await?;
        if deleted_at.is_none_or(|at| at.elapsed() > DELETE_EVERY) {
            *deleted_at = Some(Instant::now());
            request::forget_expired(&self.db, self.clock.machine()).await?;
            courier::sweep(&self.db, self.clock.machine()).await?;
        }
        Ok(())
    }
}
