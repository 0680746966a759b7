//! When a delivery that has failed is tried again, and for how long.

use chrono::TimeDelta;

/// The wait after the first failure; it triples with every further one.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(5);

/// The longest wait, but for jitter. A receiver that says when to come again is not given longer either.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(8);

/// For how long deliveries are tried, at the least.
pub const PATIENCE: TimeDelta = TimeDelta::days(3);

/// The longest that attempts at an endpoint are apart while something waits for it: the longest wait, chance, and some
/// time for the queue. What they are apart beyond that, nobody has tried.
pub const LONGEST_GAP: TimeDelta = TimeDelta::hours(12);

/// An attempt may come later than its time by this part of the wait, so that not everything comes at once again.
const JITTER_PART: i32 = 4;

/// What a receiver and chance have to say about the next attempt.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pacing {
    /// The receiver does not want to hear before.
    pub retry_after: Option<TimeDelta>,
    /// Chance.
    pub jitter: u16,
}

/// How long to wait after so many failures; `None` when it has been long enough.
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
