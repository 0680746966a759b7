//! What runs by itself: a loop that calls use cases, as the API does. Any number of instances can have it;
//! none of them needs it to be right, as requests bring up to date what they touch.

pub mod access;
pub mod rate_limits;
mod upkeep;
pub mod webhooks;

use std::time::Duration;

use crate::clock::Clock;
use crate::db::Db;
use crate::domain::access::Actor;
use crate::ops::{Context, Error, billing, milestones, sandbox};
use crate::shutdown::Shutdown;

pub use upkeep::Upkeep;

/// Between one look and the next.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after failures in a row; the first is [`PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a job rests between one look and the next: longer after each failure in a row.
struct Pace {
    job: &'static str,
    usual: Duration,
    after_failure: Duration,
}

impl Pace {
    fn new(job: &'static str, usual: Duration) -> Self {
        Self { job, usual, after_failure: PAUSE }
    }

    /// Rests, but no longer than until the service is being stopped.
    async fn rest(&mut self, shutdown: &Shutdown, looked: Result<(), Error>) {
        let pause = match looked {
            Ok(()) => {
                self.after_failure = PAUSE;
                self.usual
            }
            Err(error) => {
                let pause = self.after_failure;
                tracing::warn!(job = self.job, %error, "a job failed; it tries again in {pause:?}");
                self.after_failure = (pause * 2).min(LONGEST_PAUSE);
                pause
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.draining() => {}
        }
    }
}

/// What works in the background.
pub struct Worker {
    pub db: Db,
    pub clock: Clock,
    /// Whether the clock can be moved.
    pub sandbox: bool,
    /// Day of the month on which invoices are made, if they are.
    pub invoice_day: Option<u32>,
    /// When to stop.
    pub shutdown: Shutdown,
}

impl Worker {
    /// Works until the service is being stopped; never in the middle of something.
    pub async fn run(self) {
        let mut pace = Pace::new("milestones", PAUSE);
        while !self.shutdown.is_draining() {
            let looked = self.look().await;
            pace.rest(&self.shutdown, looked).await;
        }
    }

    async fn look(&self) -> Result<(), Error> {
        let cx = || Context::new(self.db.clone(), self.clock.clone(), Actor::system());
        let stop = || self.shutdown.is_draining();
        if self.sandbox {
            // Somebody may have moved it elsewhere, or have been interrupted.
            sandbox::walk(&cx(), self.invoice_day, stop).await?;
        }
        milestones::drain(&cx(), stop).await?;
        if let Some(day) = self.invoice_day.filter(|_| !stop()) {
            billing::run_monthly(&cx(), day).await?;
        }
        Ok(())
    }
}
