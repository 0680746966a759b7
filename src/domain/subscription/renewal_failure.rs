//! Subscriptions whose due transition failed.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::domain::id::{CustomerId, SubscriptionId, Version};
use crate::domain::label::label;

label! {
    /// Why a subscription could not be processed. `amount_out_of_range`: the new term would cost more than can be
    /// billed, so lower its renewal inventory or suspend it; `internal`: an internal error, see the log of the service.
    /// More values may be added.
    FailureCode {
        AmountOutOfRange = "amount_out_of_range",
        Internal = "internal",
    }
}

/// The wait after the first failure. It doubles after each further failure.
const FIRST_WAIT: TimeDelta = TimeDelta::minutes(1);

const LONGEST_WAIT: TimeDelta = TimeDelta::days(1);

/// A subscription with a due transition that was not processed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub subscription_id: SubscriptionId,
    pub customer_id: CustomerId,
    /// The transition is due at the start of this day.
    pub due_date: NaiveDate,
    /// The version of the subscription.
    pub version: Version,
}

/// A subscription that waits because processing failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalFailure {
    pub waiting: Waiting,
    pub code: FailureCode,
    /// The number of attempts.
    pub attempts: i32,
    pub first_failed_at: DateTime<Utc>,
    pub last_failed_at: DateTime<Utc>,
    /// The time of the next attempt. The attempt is earlier if the subscription changes or is requested.
    pub next_attempt_at: DateTime<Utc>,
}

impl RenewalFailure {
    /// Whether this record already describes the failure, and its next attempt is not due yet.
    #[must_use]
    pub fn tells(&self, waiting: Waiting, code: FailureCode, at: DateTime<Utc>) -> bool {
        self.waiting == waiting && self.code == code && at < self.next_attempt_at
    }

    /// Returns the record after one more failure. `before` is the previous record.
    #[must_use]
    pub fn again(before: Option<Self>, waiting: Waiting, code: FailureCode, at: DateTime<Utc>) -> Self {
        let before = before.filter(|before| before.waiting == waiting);
        let attempts = before.as_ref().map_or(1, |before| before.attempts.saturating_add(1));
        Self {
            waiting,
            code,
            attempts,
            first_failed_at: before.map_or(at, |before| before.first_failed_at),
            last_failed_at: at,
            next_attempt_at: at + wait(attempts),
        }
    }
}

fn wait(attempts: i32) -> TimeDelta {
    let doublings = attempts.clamp(1, 16) - 1;
    (FIRST_WAIT * (1 << doublings)).min(LONGEST_WAIT)
}
