//! Terms: counted from the anchor, without gap or overlap, limited to the last day of the month.

use chrono::{Datelike, NaiveDate};
use partner_platform::domain::time::{Schedule, add_months, days_between};
use proptest::prelude::*;

use crate::samples::{any_day, day, subscription};

fn schedule(anchor: &str, months: i32) -> Schedule {
    Schedule { anchor: day(anchor), first: 1, months }
}

/// Terms of any length on offer.
fn any_schedule() -> impl Strategy<Value = Schedule> {
    (any_day(), 1..20, 1..=36).prop_map(|(anchor, first, months)| Schedule { anchor, first, months })
}

fn last_of_month(date: NaiveDate) -> bool {
    date.succ_opt().unwrap().day() == 1
}

#[test]
fn a_year_from_29_february_ends_on_28_february() {
    assert_eq!(schedule("2028-02-29", 12).end(1), day("2029-02-28"));
}

#[test]
fn four_years_from_29_february_end_on_29_february() {
    assert_eq!(schedule("2028-02-29", 12).end(4), day("2032-02-29"));
    assert_eq!(schedule("2028-02-29", 24).end(2), day("2032-02-29"));
}

#[test]
fn months_from_31_january_end_on_each_month_s_last_day_or_31st() {
    let monthly = schedule("2026-01-31", 1);
    let ends: Vec<_> = (1..=5).map(|number| monthly.end(number).to_string()).collect();
    assert_eq!(ends, ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30"]);
}

#[test]
fn three_years_from_a_leap_day_and_back() {
    let terms = schedule("2028-02-29", 36);
    assert_eq!([terms.end(1), terms.end(4)], [day("2031-02-28"), day("2040-02-29")]);
}

#[test]
fn short_months_on_the_way_do_not_shorten_later_ones() {
    let monthly = schedule("2026-01-31", 1);
    for year in 1..=50 {
        assert_eq!(monthly.end(12 * year).day(), 31, "January {}", 2026 + year);
    }
}

#[test]
fn a_new_anchor_counts_its_own_terms() {
    let renewed = Schedule { anchor: day("2027-03-15"), first: 2, months: 12 };
    assert_eq!([renewed.start(2), renewed.end(2), renewed.end(3)], ["2027-03-15", "2028-03-15", "2029-03-15"].map(day));
}

#[test]
fn a_month_has_28_to_31_days_and_a_year_365_or_366() {
    let february = schedule("2026-02-01", 1);
    assert_eq!(days_between(february.start(1), february.end(1)), 28);
    let leap = schedule("2028-01-15", 12);
    assert_eq!(days_between(leap.start(1), leap.end(1)), 366);
}

#[test]
fn the_calendar_has_an_end_and_no_wrap() {
    assert_eq!(add_months(NaiveDate::MAX, 1), NaiveDate::MAX);
}

#[test]
fn a_subscription_starts_with_term_one_of_its_schedule() {
    let term = subscription().term;
    assert_eq!((term.number, term.start_date, term.end_date), (1, day("2026-01-01"), day("2027-01-01")));
}

proptest! {
    #[test]
    fn a_term_ends_its_months_after_the_anchor(schedule in any_schedule(), k in 0..50) {
        let months = schedule.anchor.year() * 12 + schedule.anchor.month0().cast_signed() + (k + 1) * schedule.months;
        let end = schedule.end(schedule.first + k);
        prop_assert_eq!(end.year() * 12 + end.month0().cast_signed(), months);
        prop_assert!(end.day() == schedule.anchor.day() || (end.day() < schedule.anchor.day() && last_of_month(end)));
    }

    #[test]
    fn fifty_years_of_terms_leave_no_gap_and_do_not_overlap(schedule in any_schedule()) {
        prop_assert_eq!(schedule.start(schedule.first), schedule.anchor);
        for number in schedule.first..=schedule.first + 600 / schedule.months {
            prop_assert!(schedule.start(number) < schedule.end(number));
            prop_assert_eq!(schedule.end(number), schedule.start(number + 1));
        }
    }
}
