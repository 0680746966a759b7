//! Amounts: the worked cases, the properties, and the limits.

use chrono::{Days, NaiveDate};
use partner_platform::domain::billing::proration::Calculation;
use partner_platform::domain::catalog::product::MAX_QUANTITY;
use partner_platform::domain::money::{AmountOutOfRange, MAX_AMOUNT, MAX_UNIT_PRICE};
use partner_platform::domain::time::{MAX_TERM_MONTHS, add_months, days_between};
use proptest::prelude::*;
use serde::Deserialize;

use crate::samples::{any_day, day};

#[derive(Deserialize)]
struct Case {
    name: String,
    unit_price: i64,
    quantity: i32,
    start_date: NaiveDate,
    term_months: i32,
    end_date: NaiveDate,
    today: NaiveDate,
    term_days: i32,
    remaining_days: i32,
    amount: i64,
}

#[test]
fn every_worked_case_comes_out_as_written() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("proration.json")).unwrap();
    assert!(cases.len() >= 12, "the file of cases is truncated");
    for case in cases {
        let name = &case.name;
        let end = add_months(case.start_date, case.term_months);
        let calculation = Calculation::new(case.unit_price, case.quantity, case.start_date, end, case.today);
        assert_eq!(end, case.end_date, "{name}");
        assert_eq!(calculation.term_days, case.term_days, "{name}");
        assert_eq!(calculation.remaining_days, case.remaining_days, "{name}");
        assert_eq!(calculation.amount(), Ok(case.amount), "{name}");
    }
}

#[test]
fn half_a_minor_unit_is_rounded_away_from_zero() {
    let half = |unit_price| Calculation { unit_price, quantity: 1, remaining_days: 1, term_days: 2 }.amount();
    assert_eq!(half(1), Ok(1));
    assert_eq!(half(3), Ok(2));
    assert_eq!(half(-1), Ok(-1));
    assert_eq!(half(-3), Ok(-2));
}

#[test]
fn less_than_half_a_minor_unit_is_rounded_towards_zero() {
    let part = |remaining_days| Calculation { unit_price: 1, quantity: 1, remaining_days, term_days: 365 }.amount();
    assert_eq!(part(182), Ok(0));
    assert_eq!(part(183), Ok(1));
}

#[test]
fn the_day_of_the_change_counts() {
    let last_day = Calculation::new(365, 1, day("2026-01-01"), day("2027-01-01"), day("2026-12-31"));
    assert_eq!((last_day.remaining_days, last_day.amount()), (1, Ok(1)));
}

#[test]
fn a_term_in_the_future_is_paid_for_in_full() {
    let ahead = Calculation::new(7_777, 2, day("2027-01-01"), day("2028-01-01"), day("2026-11-01"));
    assert_eq!((ahead.remaining_days, ahead.amount()), (365, Ok(15_554)));
}

#[test]
fn the_largest_amount_is_the_last_one_in_range() {
    let amount = |unit_price| Calculation { unit_price, quantity: 1, remaining_days: 1, term_days: 1 }.amount();
    assert_eq!(amount(MAX_AMOUNT), Ok(MAX_AMOUNT));
    assert_eq!(amount(MAX_AMOUNT + 1), Err(AmountOutOfRange));
    assert_eq!(amount(-MAX_AMOUNT), Ok(-MAX_AMOUNT));
    assert_eq!(amount(-MAX_AMOUNT - 1), Err(AmountOutOfRange));
}

#[test]
fn the_largest_numbers_that_fit_the_types_do_not_wrap() {
    let days = i32::MAX;
    let huge = Calculation { unit_price: i64::MAX, quantity: i32::MAX, remaining_days: days, term_days: 1 };
    assert_eq!(huge.amount(), Err(AmountOutOfRange));
    let long = Calculation { unit_price: MAX_AMOUNT, quantity: 1, remaining_days: days, term_days: days };
    assert_eq!(long.amount(), Ok(MAX_AMOUNT));
}

/// `unit_price × quantity × remaining_days / term_days`, computed digit by digit as on paper.
fn by_hand(calculation: &Calculation) -> u128 {
    let times = |digits: Vec<u64>, factor: u64| {
        let (mut product, mut carry) = (Vec::new(), 0);
        for digit in digits.into_iter().rev() {
            carry += digit * factor;
            product.push(carry % 10);
            carry /= 10;
        }
        while carry > 0 {
            product.push(carry % 10);
            carry /= 10;
        }
        product.into_iter().rev().collect::<Vec<_>>()
    };
    let whole = |number: i32| u64::try_from(number).unwrap();
    let numerator = times(vec![1], calculation.unit_price.try_into().unwrap());
    let numerator = times(times(numerator, whole(calculation.quantity)), whole(calculation.remaining_days));
    let divisor = whole(calculation.term_days);
    let (quotient, rest) = numerator.into_iter().fold((0_u128, 0), |(quotient, rest), digit| {
        let rest = rest * 10 + digit;
        (quotient * 10 + u128::from(rest / divisor), rest % divisor)
    });
    quotient + u128::from(rest >= divisor - rest)
}

/// A day in a term of 1 to 36 months, with a price and a quantity up to the limits.
fn any_calculation(max_price: i64, max_quantity: i32) -> impl Strategy<Value = Calculation> {
    let numbers = (0..=max_price, 0..=max_quantity, 1..=MAX_TERM_MONTHS);
    (any_day(), numbers, any::<prop::sample::Index>()).prop_map(|(start, (price, quantity, months), today)| {
        let end = add_months(start, months);
        let term = usize::try_from(days_between(start, end)).unwrap();
        let today = start + Days::new(today.index(term) as u64);
        Calculation::new(price, quantity, start, end, today)
    })
}

proptest! {
    #[test]
    fn an_amount_is_exact_or_out_of_range(calculation in any_calculation(MAX_UNIT_PRICE, MAX_QUANTITY)) {
        let expected = i64::try_from(by_hand(&calculation)).ok().filter(|amount| *amount <= MAX_AMOUNT);
        prop_assert_eq!(calculation.amount().ok(), expected);
    }

    #[test]
    fn an_ordinary_amount_is_exact(calculation in any_calculation(1_000_000, 5_000)) {
        prop_assert_eq!(calculation.amount().map(i128::from), Ok(by_hand(&calculation).try_into().unwrap()));
    }

    #[test]
    fn rounding_is_the_same_below_zero(calculation in any_calculation(1_000_000, 5_000)) {
        let mirrored = Calculation { unit_price: -calculation.unit_price, ..calculation };
        prop_assert_eq!(mirrored.amount().unwrap(), -calculation.amount().unwrap());
    }

    #[test]
    fn a_full_term_costs_the_full_price(calculation in any_calculation(1_000_000, 5_000)) {
        let full = Calculation { remaining_days: calculation.term_days, ..calculation };
        prop_assert_eq!(full.amount(), Ok(full.unit_price * i64::from(full.quantity)));
    }

    #[test]
    fn the_days_left_are_at_least_one_and_at_most_the_term(calculation in any_calculation(1, 1)) {
        prop_assert!((1..=calculation.term_days).contains(&calculation.remaining_days));
    }

    #[test]
    fn more_days_certificates_or_price_never_cost_less(calculation in any_calculation(1_000_000, 5_000)) {
        let Calculation { unit_price, quantity, remaining_days, .. } = calculation;
        let more = [
            Calculation { unit_price: unit_price + 1, ..calculation },
            Calculation { quantity: quantity + 1, ..calculation },
            Calculation { remaining_days: remaining_days + 1, ..calculation },
        ];
        prop_assert!(more.iter().all(|more| more.amount().unwrap() >= calculation.amount().unwrap()));
    }

    #[test]
    fn a_purchase_in_parts_costs_the_same_within_a_minor_unit_per_part(
        calculation in any_calculation(1_000_000, 1),
        parts in prop::collection::vec(1..500_i32, 1..6),
    ) {
        let of = |quantity| Calculation { quantity, ..calculation }.amount().unwrap();
        let apart: i64 = parts.iter().map(|part| of(*part)).sum();
        let together = of(parts.iter().sum());
        prop_assert!((apart - together).unsigned_abs() as usize <= parts.len(), "{apart} and {together}");
    }
}
