//! Scheduled transitions of a subscription.

use chrono::{Days, NaiveDate};

use super::{State, Subscription};
use crate::domain::label::label;
use crate::domain::time::LAPSE_DAYS;

label! {
    /// A scheduled transition. `activation`: the first term starts; `term_end`: a term ends, and the next one starts if
    /// the subscription renews; `lapse_end`: the subscription expires, because it stayed suspended for too long after
    /// its term. More values may be added.
    Milestone {
        Activation = "activation",
        TermEnd = "term_end",
        LapseEnd = "lapse_end",
    }
}

/// The next scheduled transition of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub milestone: Milestone,
    /// The transition is due at the start of this day.
    pub on: NaiveDate,
}

impl Subscription {
    /// Returns the next scheduled transition, if any.
    #[must_use]
    pub fn next_due(&self) -> Option<Due> {
        let (milestone, on) = match &self.state {
            State::Pending => (Milestone::Activation, self.term.start_date),
            State::Suspended(suspension) if suspension.lapsed => (Milestone::LapseEnd, self.lapse_end()),
            State::Active | State::Suspended(_) => (Milestone::TermEnd, self.term.end_date),
            State::Expired | State::Cancelled(_) => return None,
        };
        Some(Due { milestone, on })
    }

    /// Returns the transition that is due on a day and was not processed yet.
    #[must_use]
    pub fn due(&self, today: NaiveDate) -> Option<Due> {
        self.next_due().filter(|due| due.on <= today)
    }

    /// The first day on which a lapsed subscription can no longer be renewed.
    pub(super) fn lapse_end(&self) -> NaiveDate {
        self.term.end_date + Days::new(LAPSE_DAYS.unsigned_abs())
    }
}
