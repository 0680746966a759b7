//! Regression tests for former bugs.

use partner_platform::domain::billing::quote;
use partner_platform::domain::catalog::product::UnitPrice;
use partner_platform::domain::money::{AmountOutOfRange, in_range, total};
use partner_platform::domain::subscription::inventory;
use partner_platform::domain::subscription::{Command, State, Subscription};

use crate::samples::{IN_TERM, code, day, edited, in_state, line, noon, product, subscription};

#[test]
fn the_smallest_number_is_out_of_range() {
    assert_eq!(in_range(i128::from(i64::MIN)), Err(AmountOutOfRange));
    assert_eq!(total([i64::MIN]), Err(AmountOutOfRange));
}

#[test]
fn a_type_without_a_price_is_not_given_away() {
    // Since then, the product is no longer offered for 12 months, and has a new type.
    let product = edited(&product(), |details| {
        details.terms.retain(|months| *months != 12);
        details.prices.retain(|price| price.term_months != 12);
    });
    let mut older = Subscription { lines: vec![line("ev", 5, None, 0)], ..subscription() };
    older.term.unit_prices.remove(&code("ov"));
    let plan = quote::add_current_inventory(&older, &product, &[(code("ov"), 100)], noon(IN_TERM));
    let given = plan.as_ref().map(|plan| plan.quote.total.amount);
    assert!(!matches!(given, Ok(0)), "100 certificates for free: {plan:?}");
}

#[test]
fn sums_of_quantities_do_not_overflow() {
    let additions = vec![(code("ov"), i32::MAX), (code("ov"), i32::MAX)];
    let outcome = std::panic::catch_unwind(|| {
        quote::add_current_inventory(&subscription(), &product(), &additions, noon(IN_TERM))
    });
    assert!(outcome.is_ok(), "panics");
    assert!(outcome.unwrap().is_err());
}

#[test]
fn a_subscription_that_has_started_is_not_cancelled() {
    let pending = in_state(State::Pending);
    assert!(pending.apply(Command::Cancel { reason: None }, noon("2026-01-01")).is_err());
}

#[test]
fn a_lapse_that_is_over_cannot_be_renewed() {
    let lapsed = in_state(crate::samples::suspended(true));
    assert!(lapsed.apply(Command::Renew(Default::default()), noon("2027-04-01")).is_err());
}

#[test]
fn following_what_is_not_held_is_no_change() {
    let follow = Command::SetRenewalInventory(vec![(code("dv"), None)]);
    let outcome = subscription().apply(follow, noon(IN_TERM)).unwrap();
    assert_eq!(outcome, partner_platform::domain::machine::Outcome::Unchanged);
}

#[test]
fn only_the_types_asked_for_get_a_price_in_the_term() {
    let mut older = Subscription { lines: vec![line("ev", 5, None, 0)], ..subscription() };
    older.term.unit_prices.clear();
    older.term.unit_prices.insert(code("dv"), UnitPrice { amount: 1, price_list_id: None });
    let plan = quote::add_current_inventory(&older, &product(), &[(code("ov"), 1)], noon(IN_TERM)).unwrap();
    assert!(!plan.subscriptions[0].term.unit_prices.contains_key(&code("ev")));
    let _ = (inventory::find(&plan.subscriptions[0].lines, &code("ov")), day(IN_TERM));
}

#[test]
fn raising_below_zero_is_refused() {
    let plan = quote::add_current_inventory(&subscription(), &product(), &[(code("ov"), -3)], noon(IN_TERM));
    assert!(plan.is_err(), "{plan:?}");
}
