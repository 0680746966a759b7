//! Computes amounts from prices. This is the only place that does.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::domain::money::{self, AmountOutOfRange};
use crate::domain::time::days_between;

/// The inputs of an amount, so that anyone can compute it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calculation {
    /// Price of one certificate for the whole term, in minor units.
    pub unit_price: i64,
    /// Number of certificates.
    pub quantity: i32,
    /// Paid days of the term, including the day of the change.
    pub remaining_days: i32,
    /// Days of the whole term: 365, 366, 730, ….
    pub term_days: i32,
}

impl Calculation {
    /// The calculation for certificates that are used until the end of the term, from `today` or from the start of the
    /// term, whichever is later.
    #[must_use]
    pub fn new(unit_price: i64, quantity: i32, start: NaiveDate, end: NaiveDate, today: NaiveDate) -> Self {
        let days = |from| i32::try_from(days_between(from, end)).unwrap_or(i32::MAX);
        Self { unit_price, quantity, remaining_days: days(today.max(start)), term_days: days(start) }
    }

    /// `round_half_away_from_zero(unit_price × quantity × remaining_days / term_days)`, in minor units: one division,
    /// one rounding.
    ///
    /// # Errors
    /// [`AmountOutOfRange`] if the amount is too large to be billed.
    pub fn amount(&self) -> Result<i64, AmountOutOfRange> {
        let numerator = i128::from(self.unit_price) * i128::from(self.quantity) * i128::from(self.remaining_days);
        let term_days = i128::from(self.term_days.max(1));
        let rounded = (2 * numerator.abs() + term_days) / (2 * term_days);
        money::in_range(rounded * numerator.signum())
    }
}
