//! Upcoming charges: renewals are predicted as they will happen, and the forecast is paged.

use chrono::{Days, NaiveDate};
use partner_platform::domain::billing::proration::Calculation;
use partner_platform::domain::billing::quote;
use partner_platform::domain::billing::upcoming_charge::{Forecast, UpcomingCharge, UpcomingKind, renewals};
use partner_platform::domain::catalog::price_list::offered;
use partner_platform::domain::catalog::product::Product;
use partner_platform::domain::id::CustomerId;
use partner_platform::domain::listing::{Page, Position, Window};
use partner_platform::domain::machine::Outcome;
use partner_platform::domain::money::{MAX_AMOUNT, Money};
use partner_platform::domain::refusal::Refusal;
use partner_platform::domain::subscription::inventory::Line;
use partner_platform::domain::subscription::{Command, Milestone, State, Subscription, Term};
use partner_platform::domain::time::{Schedule, start_of};
use proptest::prelude::*;

use crate::samples::{
    any_lines, changed, code, day, edited, id, in_state, line, noon, overrides, product, subscription, suspended, text,
    usd,
};

/// A subscription with terms of this many months from a day on.
fn terms_of(months: i32, start: NaiveDate, lines: Vec<Line>) -> Subscription {
    let schedule = Schedule { anchor: start, first: 1, months };
    let prices = product().unit_prices(months, usd()).unwrap();
    Subscription { schedule, term: Term::of(&schedule, 1, prices), lines, ..subscription() }
}

fn monthly(start: &str) -> Subscription {
    terms_of(1, day(start), vec![line("ov", 10, Some(8), 0)])
}

/// What is charged before a day if each transition is processed on its own day.
fn lived_through(mut current: Subscription, product: &Product, before: NaiveDate) -> Vec<UpcomingCharge> {
    let mut charged = Vec::new();
    while let Some(due) = current.next_due().filter(|due| due.on < before) {
        let at = start_of(due.on);
        let next = match due.milestone {
            Milestone::Activation => changed(current.apply(Command::Activate, at).unwrap()),
            Milestone::LapseEnd => changed(current.apply(Command::Expire, at).unwrap()),
            Milestone::TermEnd => {
                let plan = quote::end_term(&current, product, at).unwrap();
                for line in plan.quote.lines.iter().filter(|line| line.amount.amount != 0) {
                    charged.push(UpcomingCharge {
                        kind: UpcomingKind::Renewal,
                        charge_id: None,
                        customer_id: current.customer_id,
                        subscription_id: line.subscription_id.unwrap(),
                        certificate_type: line.certificate_type.clone(),
                        calculation: line.calculation.unwrap(),
                        price_list_id: line.price_list_id,
                        amount: line.amount,
                        due_date: line.due_date,
                    });
                }
                plan.subscriptions[0].clone()
            }
        };
        current = next;
    }
    charged
}

fn due_dates(charges: &[UpcomingCharge]) -> Vec<String> {
    charges.iter().map(|charge| charge.due_date.to_string()).collect()
}

#[test]
fn a_monthly_subscription_renews_twelve_times_a_year_at_its_renewal_quantity() {
    let found = renewals(&monthly("2026-01-31"), &product(), day("2027-02-01")).unwrap();
    let expected = [
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
        "2026-05-31",
        "2026-06-30",
        "2026-07-31",
        "2026-08-31",
        "2026-09-30",
        "2026-10-31",
        "2026-11-30",
        "2026-12-31",
        "2027-01-31",
    ];
    assert_eq!(due_dates(&found), expected);
    assert!(found.iter().all(|charge| charge.amount == Money { amount: 8 * 825, currency: usd() }));
    let days: Vec<_> = found.iter().take(3).map(|charge| charge.calculation.term_days).collect();
    assert_eq!(days, [31, 30, 31], "28 February to 31 March, to 30 April, to 31 May");
}

#[test]
fn what_is_due_on_the_day_itself_is_not_before_it() {
    let up_to = |date| renewals(&monthly("2026-01-31"), &product(), day(date)).unwrap().len();
    assert_eq!(["2026-02-28", "2026-03-01", "2026-03-31", "2026-04-01"].map(up_to), [0, 1, 1, 2]);
}

#[test]
fn a_pending_subscription_starts_and_then_renews() {
    let pending = Subscription { state: State::Pending, ..monthly("2026-06-15") };
    let found = renewals(&pending, &product(), day("2026-09-01")).unwrap();
    assert_eq!(due_dates(&found), ["2026-07-15", "2026-08-15"], "its first term is charged by its order");
}

#[test]
fn what_does_not_renew_by_itself_has_no_renewals() {
    let far = day("2030-01-01");
    let none = |subscription: Subscription| assert_eq!(renewals(&subscription, &product(), far), Ok(Vec::new()));
    assert_ne!(renewals(&monthly("2026-01-01"), &product(), far), Ok(Vec::new()));
    for state in [suspended(false), suspended(true), State::Expired] {
        none(Subscription { state, ..monthly("2026-01-01") });
    }
    none(in_state(crate::samples::cancelled()));
    none(Subscription { auto_renew: false, ..monthly("2026-01-01") });
    none(Subscription { auto_renew: false, state: State::Pending, ..monthly("2026-01-01") });
    none(terms_of(1, day("2026-01-01"), vec![line("ev", 3, Some(0), 0), line("ov", 10, Some(0), 4)]));
}

#[test]
fn what_costs_nothing_is_not_foretold_and_the_rest_of_the_renewal_is() {
    let free = offered(product(), &[&overrides(20, &[("ev", 1, 0)])]);
    let both = terms_of(1, day("2026-01-01"), vec![line("ev", 3, None, 0), line("ov", 2, None, 0)]);
    let found = renewals(&both, &free, day("2026-03-02")).unwrap();
    let types: Vec<_> = found.iter().map(|charge| charge.certificate_type.as_str()).collect();
    assert_eq!(types, ["ov", "ov"]);
}

#[test]
fn a_renewal_has_the_price_and_the_list_of_the_offer() {
    let offer = offered(product(), &[&overrides(20, &[("ov", 1, 500)])]);
    let found = renewals(&monthly("2026-01-01"), &offer, day("2026-02-02")).unwrap();
    assert_eq!((found[0].price_list_id, found[0].calculation.unit_price), (Some(id(20)), 500));
    assert_eq!(found[0].amount.amount, 8 * 500);
}

#[test]
fn a_renewal_that_cannot_be_billed_is_told() {
    let dear = edited(&product(), |details| {
        details.prices.iter_mut().for_each(|price| price.unit_price = 999_999_999_999);
    });
    let many = terms_of(1, day("2026-01-01"), vec![line("ov", 9_008, None, 0)]);
    assert_eq!(renewals(&many, &dear, day("2026-02-02")), Err(Refusal::AmountOutOfRange));
}

proptest! {
    #[test]
    fn renewals_are_what_happens_when_each_day_is_met(
        months in prop::sample::select(vec![1, 12]),
        start in 0..500_u64,
        lines in any_lines(),
        (pending, switched_off, auto_renew) in any::<(bool, bool, bool)>(),
        days in 0..800_u64,
        listed in prop::option::of(0..2_000_i64),
    ) {
        let start = day("2025-10-01") + Days::new(start);
        let lines = lines.into_iter().filter(|line| product().details.certificate_type(&line.certificate_type).is_some());
        let mut before = terms_of(months, start, lines.collect());
        before.auto_renew = auto_renew;
        if pending {
            before.state = State::Pending;
        } else if switched_off {
            before.state = suspended(false);
        }
        let listed = listed.map(|price| overrides(20, &[("ov", months, price)]));
        let offer = offered(product(), &listed.iter().collect::<Vec<_>>());
        let until = start + Days::new(days);
        prop_assert_eq!(renewals(&before, &offer, until), Ok(lived_through(before, &offer, until)));
    }

    #[test]
    fn a_forecast_paged_by_any_limit_shows_all_once_in_order_and_the_same_totals(
        charges in any_charges(), limit in 1..12_i64,
    ) {
        let (whole, totals) = page(&charges, 200, None);
        prop_assert_eq!(whole.rows.len(), charges.len());
        prop_assert!(whole.rows.is_sorted_by_key(|charge| (charge.due_date, charge.customer_id.to_string())));
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let (page, of_page) = page(&charges, limit, after);
            prop_assert!(page.rows.len() <= usize::try_from(limit).unwrap());
            prop_assert_eq!(&of_page, &totals);
            rows.extend(page.rows);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        prop_assert_eq!(rows, whole.rows);
    }

    #[test]
    fn the_order_in_which_charges_are_found_does_not_matter(
        (charges, shuffled) in any_charges().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        limit in 1..12_i64,
    ) {
        prop_assert_eq!(page(&charges, limit, None), page(&shuffled, limit, None));
    }

    #[test]
    fn totals_are_those_of_all_charges_by_currency(charges in any_charges()) {
        let sum = |currency: &str| {
            let of = charges.iter().filter(|charge| charge.amount.currency == text(currency));
            of.map(|charge| charge.amount.amount).reduce(|sum, amount| sum + amount)
        };
        let expected: Vec<_> = ["EUR", "USD"]
            .into_iter()
            .filter_map(|currency| Some(Money { amount: sum(currency)?, currency: text(currency) }))
            .collect();
        prop_assert_eq!(page(&charges, 1, None).1, expected);
    }
}

fn charge(number: usize, customer: u128, days: u64, in_euros: bool, amount: i64) -> UpcomingCharge {
    let is_pending = number.is_multiple_of(2);
    UpcomingCharge {
        kind: if is_pending { UpcomingKind::Pending } else { UpcomingKind::Renewal },
        charge_id: is_pending.then(|| id(1_000 + u128::try_from(number).unwrap())),
        customer_id: id::<CustomerId>(customer),
        // One subscription can have several on one day. Only pending charges can also have the same type.
        subscription_id: id(if is_pending { customer } else { 2_000 + u128::try_from(number).unwrap() }),
        certificate_type: code("ov"),
        calculation: Calculation { unit_price: amount, quantity: 1, remaining_days: 1, term_days: 1 },
        price_list_id: None,
        amount: Money { amount, currency: if in_euros { text("EUR") } else { usd() } },
        due_date: day("2026-01-01") + Days::new(days),
    }
}

/// Charges of a few customers on a few days, so that many have the same day and customer.
fn any_charges() -> impl Strategy<Value = Vec<UpcomingCharge>> {
    prop::collection::vec((1..4_u128, 0..4_u64, any::<bool>(), 1..1_000_i64), 0..40).prop_map(|all| {
        let charge = |(number, (customer, days, in_euros, amount))| charge(number, customer, days, in_euros, amount);
        all.into_iter().enumerate().map(charge).collect()
    })
}

fn page(charges: &[UpcomingCharge], limit: i64, after: Option<Position>) -> (Page<UpcomingCharge>, Vec<Money>) {
    let window = Window { limit, after };
    let mut forecast = Forecast::new(&window);
    charges.iter().cloned().for_each(|charge| forecast.add(charge));
    forecast.finish().unwrap()
}

#[test]
fn a_page_that_is_just_full_is_the_last() {
    let charges: Vec<_> = (0..4).map(|number| charge(number, 1, 0, false, 1)).collect();
    assert_eq!(page(&charges, 4, None).0.next, None);
    assert!(page(&charges, 3, None).0.next.is_some());
    assert_eq!(page(&[], 3, None), (Page::empty(), Vec::new()));
}

#[test]
fn a_total_that_cannot_be_billed_is_refused_on_every_page() {
    let window = Window { limit: 1, after: None };
    let mut forecast = Forecast::new(&window);
    for number in 0..3 {
        forecast.add(charge(number, 1, 0, false, MAX_AMOUNT));
    }
    assert!(matches!(forecast.finish(), Err(Refusal::AmountOutOfRange)));
}

#[test]
fn a_lapse_is_the_end_of_what_is_foretold() {
    let off = Subscription { state: suspended(false), ..monthly("2026-01-01") };
    let Outcome::Changed(lapsed) = off.apply(Command::EndTerm(Default::default()), noon("2026-02-01")).unwrap() else {
        panic!("its term has ended");
    };
    assert_eq!(renewals(&lapsed, &product(), day("2027-02-01")), Ok(Vec::new()));
}
