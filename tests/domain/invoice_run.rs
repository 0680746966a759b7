//! Billing: each charge on one invoice, and each month once.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate};
use partner_platform::domain::billing::invoice::InvoiceLine;
use partner_platform::domain::billing::invoice_run::{Draft, MAX_LINES, Month, Run, months_due, split};
use partner_platform::domain::money::{MAX_AMOUNT, total};
use proptest::prelude::*;

use crate::samples::{any_day, day, invoice_line, usd};

const HALF: i64 = MAX_AMOUNT / 2;

/// Charges of a few customers in a few currencies, some of them as large as possible.
fn any_lines() -> impl Strategy<Value = Vec<InvoiceLine>> {
    let amount = prop_oneof![1..100_000_i64, -500..0_i64, Just(HALF), Just(MAX_AMOUNT), Just(-MAX_AMOUNT)];
    let currency = prop::sample::select(vec!["USD", "EUR", "JPY"]);
    let due = prop::sample::select(vec!["2026-01-01", "2026-02-01", "2027-01-01"]);
    prop::collection::vec((1..4_u128, amount, currency, due), 0..40).prop_map(|charges| {
        let numbered = (1..).zip(charges);
        numbered
            .map(|(number, (customer, amount, currency, due))| {
                // In another order than the one it will be sorted by.
                invoice_line(number * 7919 % 97, customer, amount, currency, due)
            })
            .collect()
    })
}

fn amounts(draft: &Draft) -> Vec<i64> {
    draft.lines.iter().map(|line| line.charge.amount.amount).collect()
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_is_billed_twice(lines in any_lines()) {
        let drafts = split(lines.clone());
        let billed: Vec<_> = drafts.iter().flat_map(|draft| &draft.lines).map(|line| line.charge.id).collect();
        prop_assert_eq!(billed.len(), lines.len());
        let of = |ids: &[_]| ids.iter().copied().collect::<BTreeSet<_>>();
        let given: Vec<_> = lines.iter().map(|line| line.charge.id).collect();
        prop_assert_eq!(of(&billed), of(&given));
    }

    #[test]
    fn an_invoice_is_one_customers_in_one_currency_and_adds_up(lines in any_lines()) {
        for draft in split(lines) {
            prop_assert!(!draft.lines.is_empty());
            for line in &draft.lines {
                prop_assert_eq!(line.charge.customer_id, draft.customer_id);
                prop_assert_eq!(line.charge.amount.currency, draft.total.currency);
            }
            prop_assert_eq!(total(amounts(&draft)), Ok(draft.total.amount));
            prop_assert!(
                draft.lines.is_sorted_by_key(|line| (line.charge.due_date, line.charge.id)),
                "the oldest charge comes first"
            );
        }
    }

    #[test]
    fn the_order_in_which_charges_are_found_does_not_matter(lines in any_lines()) {
        let reversed: Vec<_> = lines.iter().cloned().rev().collect();
        prop_assert_eq!(split(lines), split(reversed));
    }

    #[test]
    fn a_run_counts_what_it_bills_and_leaves_what_it_cannot_add_up(lines in any_lines()) {
        let drafts = split(lines);
        let mut run = Run::default();
        let counted: Vec<_> = drafts.iter().take_while(|draft| run.count(draft).is_ok()).collect();
        prop_assert_eq!(run.invoices, i64::try_from(counted.len()).unwrap());
        let lines: usize = counted.iter().map(|draft| draft.lines.len()).sum();
        prop_assert_eq!(run.charges, i64::try_from(lines).unwrap());
        for (currency, sum) in &run.totals {
            let theirs = counted.iter().filter(|draft| draft.total.currency == *currency);
            prop_assert_eq!(total(theirs.map(|draft| draft.total.amount)), Ok(*sum));
        }
        prop_assert!(drafts.is_empty() || !counted.is_empty(), "each run makes progress");
    }

    #[test]
    fn each_month_is_due_once_from_its_invoice_day_on(first in any_day(), invoice_day in 1..=31_u32, days in 0..800_u64) {
        let today = first + chrono::Days::new(days);
        let mut last = None;
        let mut billed = Vec::new();
        for day in first.iter_days().take_while(|day| *day <= today) {
            for month in months_due(last, invoice_day, day) {
                prop_assert!(month.through <= day);
                last = Some(month.first);
                billed.push(month);
            }
            prop_assert_eq!(months_due(last, invoice_day, day).iter().filter(|month| Some(month.first) <= last).count(), 0);
        }
        for (month, next) in billed.iter().zip(billed.iter().skip(1)) {
            prop_assert_eq!(next.first, month.first + chrono::Months::new(1), "no month is left out");
        }
        for month in &billed {
            prop_assert_eq!(month.first.day(), 1);
            prop_assert_eq!((month.through.year(), month.through.month()), (month.first.year(), month.first.month()));
        }
        if let Some(from) = billed.first() {
            prop_assert_eq!(
                months_due(Some(from.first), invoice_day, today),
                &billed[1..],
                "a late run bills the same as one in time"
            );
        }
    }
}

#[test]
fn a_line_too_many_goes_on_the_next_invoice() {
    for (count, expected) in [(1, vec![1]), (MAX_LINES, vec![1000]), (MAX_LINES + 1, vec![1000, 1])] {
        let lines = (0..count).map(|number| invoice_line(number as u128, 1, 5, "USD", "2026-01-01")).collect();
        let drafts = split(lines);
        assert_eq!(drafts.iter().map(|draft| draft.lines.len()).collect::<Vec<_>>(), expected);
        assert_eq!(drafts.iter().map(|draft| draft.total.amount).sum::<i64>(), 5 * i64::try_from(count).unwrap());
    }
}

#[test]
fn an_amount_too_much_goes_on_the_next_invoice() {
    let of = |amounts: &[i64]| {
        let numbered = (1..).zip(amounts);
        let lines = numbered.map(|(number, amount)| invoice_line(number, 1, *amount, "USD", "2026-01-01")).collect();
        split(lines).iter().map(crate::invoice_run::amounts).collect::<Vec<_>>()
    };
    assert_eq!(of(&[HALF, HALF, 1]), [vec![HALF, HALF, 1]]);
    assert_eq!(of(&[HALF, HALF, 1, 1]), [vec![HALF, HALF, 1], vec![1]]);
    assert_eq!(of(&[MAX_AMOUNT, MAX_AMOUNT]), [[MAX_AMOUNT], [MAX_AMOUNT]]);
}

#[test]
fn a_run_stops_before_its_total_is_out_of_range() {
    let drafts = split(vec![
        invoice_line(1, 1, MAX_AMOUNT, "USD", "2026-01-01"),
        invoice_line(2, 2, MAX_AMOUNT, "EUR", "2026-01-01"),
        invoice_line(3, 3, 1, "USD", "2026-01-01"),
    ]);
    let mut run = Run::default();
    assert_eq!(drafts.iter().map(|draft| run.count(draft).is_ok()).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!((run.invoices, run.charges, run.totals[&usd()]), (2, 2, MAX_AMOUNT));
}

#[test]
fn the_monthly_runs_begin_with_this_month_and_catch_up_later() {
    let month = |first: &str, through: &str| Month { first: day(first), through: day(through) };
    let due = |last: Option<&str>, invoice_day, today: &str| months_due(last.map(day), invoice_day, day(today));
    assert_eq!(due(None, 1, "2027-01-01"), [month("2027-01-01", "2027-01-01")]);
    assert_eq!(due(None, 15, "2027-01-14"), []);
    assert_eq!(due(Some("2027-01-01"), 1, "2027-01-31"), []);
    assert_eq!(due(Some("2026-12-01"), 31, "2027-02-27"), [month("2027-01-01", "2027-01-31")]);
    let months = [month("2027-01-01", "2027-01-31"), month("2027-02-01", "2027-02-28")];
    assert_eq!(due(Some("2026-12-01"), 31, "2027-02-28"), months, "in a short month, its last day counts");
    assert_eq!(due(Some("2027-05-01"), 1, "2027-01-01"), [], "a clock that was set back bills nothing");
    assert_eq!(NaiveDate::from_ymd_opt(2028, 2, 29), Some(due(Some("2028-01-01"), 30, "2028-02-29")[0].through));
}
