//! The retry schedule of deliveries.

use chrono::TimeDelta;

/// The wait after the first failure. It triples after each further failure.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(5);

/// The longest wait, before jitter. Also the limit for a `Retry-After` from the receiver.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(8);

/// The minimum time for which a delivery is retried.
pub const PATIENCE: TimeDelta = TimeDelta::days(3);

/// The longest possible time between two attempts at an endpoint with a queued delivery: the longest wait, jitter, and
/// some time in the queue. A longer gap means that nothing was tried.
pub const LONGEST_GAP: TimeDelta = TimeDelta::hours(12);

/// An attempt is delayed by up to this fraction of the wait (1/4), so that retries do not all come at the same time.
const JITTER_PART: i32 = 4;

/// Inputs for the time of the next attempt.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pacing {
    /// The `Retry-After` of the receiver.
    pub retry_after: Option<TimeDelta>,
    /// A random number.
    pub jitter: u16,
}

/// Returns how long to wait after a number of failures; `None` if the delivery must be given up.
#[must_use]
pub fn wait(failures: i32, pacing: Pacing) -> Option<TimeDelta> {
    let nominal = |failures: i32| {
        let triplings = failures.clamp(1, 12) - 1;
        (FIRST_WAIT * 3_i32.pow(triplings.unsigned_abs())).min(LONGEST_WAIT)
    };
    let waited: TimeDelta = (1..failures.clamp(1, 100)).map(nominal).sum();
    if waited >= PATIENCE {
        return None;
    }
    let asked = pacing.retry_after.unwrap_or_default().min(LONGEST_WAIT);
    let wait = nominal(failures).max(asked);
    Some(wait + wait / JITTER_PART * i32::from(pacing.jitter) / i32::from(u16::MAX))
}
