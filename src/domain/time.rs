//! Terms, dates and instants. All dates are UTC calendar days. Nothing here reads the current time.

use chrono::{DateTime, Months, NaiveDate, NaiveTime, SecondsFormat, Utc};

/// The longest term of a product, in months.
pub const MAX_TERM_MONTHS: i32 = 36;

/// How far ahead a subscription can start, in days.
pub const MAX_START_AHEAD_DAYS: i64 = 365;

/// How long a suspended subscription can be renewed after the end of its term, in days.
pub const LAPSE_DAYS: i64 = 90;

/// The dates of all terms of a subscription. Term `first + k` starts `k × months` calendar months after the anchor. If
/// that month is too short, the term starts on its last day. Each date is computed from the anchor, never from an
/// adjusted date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Schedule {
    /// The first day of term `first`.
    pub anchor: NaiveDate,
    /// The number of the term that starts on the anchor.
    pub first: i32,
    /// The length of a term, in months.
    pub months: i32,
}

impl Schedule {
    #[must_use]
    pub fn start(&self, number: i32) -> NaiveDate {
        add_months(self.anchor, (number - self.first) * self.months)
    }

    /// The day after the last day of a term: the interval is `[start, end)`.
    #[must_use]
    pub fn end(&self, number: i32) -> NaiveDate {
        self.start(number + 1)
    }
}

/// Returns the same day of the month, `months` later, or the last day of that month if it is too short. Saturates at
/// the end of the calendar, 260,000 years from now.
#[must_use]
pub fn add_months(date: NaiveDate, months: i32) -> NaiveDate {
    let months = Months::new(u32::try_from(months).unwrap_or(0));
    date.checked_add_months(months).unwrap_or(NaiveDate::MAX)
}

/// The first instant of a day, in UTC.
#[must_use]
pub fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// Whole days from one date to another.
#[must_use]
pub fn days_between(from: NaiveDate, to: NaiveDate) -> i64 {
    (to - from).num_days()
}

/// Rounds an instant to the precision of the database: microseconds, with a leap second as the first second of the next
/// minute.
#[must_use]
pub fn as_kept(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

/// Formats an instant as in requests and responses: RFC 3339, in UTC.
#[must_use]
pub fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
