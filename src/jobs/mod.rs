//! Background jobs: loops that call use cases, as the API does. Any number of instances can run them. Responses are
//! correct without them, because requests process the due transitions of the subscriptions that they use.

pub mod access;
pub mod rate_limits;
mod upkeep;
pub mod webhooks;

use std::time::Duration;

use crate::domain::authorization::Actor;
use crate::ops::{Context, Error, billing, milestones, sandbox};
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::platform::shutdown::Shutdown;

pub use upkeep::Upkeep;

/// The pause between two runs of a job.
const PAUSE: Duration = Duration::from_secs(1);

/// The maximum pause after consecutive failures. The first pause is [`PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause between two runs of a job. It gets longer with each consecutive failure.
struct Pace {
    job: &'static str,
    usual: Duration,
    after_failure: Duration,
}

impl Pace {
    fn new(job: &'static str, usual: Duration) -> Self {
        Self { job, usual, after_failure: PAUSE }
    }

    /// Waits for the next run, or until the service is stopping.
    async fn rest(&mut self, shutdown: &Shutdown, looked: Result<(), Error>) {
        let pause = match looked {
            Ok(()) => {
                self.after_failure = PAUSE;
                self.usual
            }
            Err(error) => {
                let pause = self.after_failure;
                tracing::warn!(job = self.job, %error, "job failed; retrying in {pause:?}");
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

/// Processes due transitions and issues invoices in the background.
pub struct Worker {
    pub db: Db,
    pub clock: Clock,
    /// Whether this is a sandbox, whose clock can be moved.
    pub sandbox: bool,
    /// The day of the month on which invoices are issued automatically, if any.
    pub invoice_day: Option<u32>,
    pub shutdown: Shutdown,
}

impl Worker {
    /// Runs until the service is stopping. Transactions are not interrupted.
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
            // Another instance may have moved the clock, or its move may have been interrupted.
            sandbox::walk(&cx(), self.invoice_day, stop).await?;
        }
        milestones::drain(&cx(), stop).await?;
        if let Some(day) = self.invoice_day.filter(|_| !stop()) {
            billing::run_monthly(&cx(), day).await?;
        }
        Ok(())
    }
}
