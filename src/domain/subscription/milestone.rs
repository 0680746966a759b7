//! What time does to a subscription by itself, and when.

use chrono::{Days, NaiveDate};

use super::{State, Subscription};
use crate::domain::label::label;
use crate::domain::time::LAPSE_DAYS;

label! {
    /// What time does to a subscription: `activation`, its first term starts; `term_end`, a term ends and
    /// the next one starts if it renews; `lapse_end`, it was suspended for too long after its term. Expect
    /// more values.
    Milestone {
        /// The first term starts.
        Activation = "activation",
        /// A term ends.
        TermEnd = "term_end",
        /// A lapse ends.
        LapseEnd = "lapse_end",
    }
}

/// What time does next, and at the start of which day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// What.
    pub milestone: Milestone,
    /// At the start of this day.
    pub on: NaiveDate,
}

impl Subscription {
    /// What time does next; `None` where it does nothing more.
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

    /// What time should have done by a day and has not yet.
    #[must_use]
    pub fn due(&self, today: NaiveDate) -> Option<Due> {
        self.next_due().filter(|due| due.on <= today)
    }

    /// The first day on which a lapsed subscription can no longer be renewed.
    pub(super) fn lapse_end(&self) -> NaiveDate {
        self.term.end_date + Days::new(LAPSE_DAYS.unsigned_abs())
    }
}
