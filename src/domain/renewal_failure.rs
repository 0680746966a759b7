//! That a subscription could not be made what time should have made of it.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::id::{CustomerId, SubscriptionId, Version};
use super::label::label;

label! {
    /// Why a subscription could not be processed: `amount_out_of_range`, the new term would cost more than
    /// can be billed, lower its renewal inventory or suspend it; `internal`, the service failed, its log
    /// says why. Expect more values.
    FailureCode {
        /// The new term would cost more than can be billed.
        AmountOutOfRange = "amount_out_of_range",
        /// The service failed.
        Internal = "internal",
    }
}

/// The wait after a first failure; it doubles with every further one.
const FIRST_WAIT: TimeDelta = TimeDelta::minutes(1);

/// The longest wait.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(1);

/// A subscription that time should have changed, and has not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub subscription_id: SubscriptionId,
    /// Who holds it.
    pub customer_id: CustomerId,
    /// Since the start of this day.
    pub due_date: NaiveDate,
    /// At which version.
    pub version: Version,
}

/// That a subscription waits because it could not be processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalFailure {
    /// What waits.
    pub waiting: Waiting,
    /// Why.
    pub code: FailureCode,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was tried first.
    pub first_failed_at: DateTime<Utc>,
    /// When it was tried last.
    pub last_failed_at: DateTime<Utc>,
    /// When it is tried again; sooner when the subscription changes, or somebody asks for it.
    pub next_attempt_at: DateTime<Utc>,
}

impl RenewalFailure {
    /// Whether this is what there is to tell already.
    #[must_use]
    pub fn tells(&self, waiting: Waiting, code: FailureCode, at: DateTime<Utc>) -> bool {
        self.waiting == waiting && self.code == code && at < self.next_attempt_at
    }

    /// What there is to tell after one more failure. `before` is what there was.
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
