//! Quotes: the effect, the cost and the warnings of a change, with a calculation that anyone can repeat.

use chrono::NaiveDate;
use partner_platform::domain::billing::add_subscriptions::{self, Item, ItemLine};
use partner_platform::domain::billing::order::{Bucket, OrderKind, OrderLine};
use partner_platform::domain::billing::quote::{self, Plan, WarningCode};
use partner_platform::domain::catalog::product::Product;
use partner_platform::domain::id::SubscriptionId;
use partner_platform::domain::machine::Outcome;
use partner_platform::domain::refusal::{Refusal, ViolationCode};
use partner_platform::domain::subscription::inventory;
use partner_platform::domain::subscription::{Command, State, Subscription};
use partner_platform::domain::text::Code;
use proptest::prelude::*;

use crate::samples::{
    END, IN_TERM, any_lines, at, changed, code, customer, day, edited, id, in_state, item, line, noon, problems,
    product, products, subscription, suspended,
};

/// The plan for new subscriptions, confirmed on a day.
fn add(items: &[Item], today: NaiveDate) -> Plan {
    let products = products();
    let opened =
        add_subscriptions::open(&customer(), items, &products, at(today), || id::<SubscriptionId>(100)).unwrap();
    quote::add_subscriptions(&customer(), opened, 0, today).unwrap()
}

fn starting(date: &str) -> Item {
    Item { start_date: Some(day(date)), ..item() }
}

/// Unit price, quantity, remaining days, days of the term.
fn arithmetic(line: &OrderLine) -> Option<(i64, i32, i32, i32)> {
    line.calculation.map(|of| (of.unit_price, of.quantity, of.remaining_days, of.term_days))
}

#[test]
fn a_subscription_from_today_costs_the_full_term() {
    let plan = add(&[item()], day(IN_TERM));
    let line = &plan.quote.lines[0];
    assert_eq!(arithmetic(line), Some((9_900, 3, 365, 365)));
    assert_eq!((line.quantity_before, line.quantity_after), (Some(0), Some(3)));
    assert_eq!((line.subscription_id, line.subscription_index), (None, Some(0)));
    assert_eq!((plan.quote.total.amount, plan.quote.as_of), (29_700, day(IN_TERM)));
    assert_eq!(plan.quote.kind, OrderKind::AddSubscriptions);
}

#[test]
fn a_backdated_subscription_costs_the_days_that_are_left() {
    let plan = add(&[starting("2026-01-01")], day(IN_TERM));
    assert_eq!(arithmetic(&plan.quote.lines[0]), Some((9_900, 3, 275, 365)));
    assert_eq!((plan.quote.total.amount, plan.quote.lines[0].due_date), (22_377, day(IN_TERM)));
}

#[test]
fn a_subscription_in_the_future_costs_the_full_term_on_its_first_day() {
    let plan = add(&[starting("2026-12-01")], day(IN_TERM));
    assert_eq!(arithmetic(&plan.quote.lines[0]), Some((9_900, 3, 365, 365)));
    assert_eq!(plan.quote.lines[0].due_date, day("2026-12-01"));
}

#[test]
fn a_renewal_quantity_of_a_new_subscription_is_a_line_without_a_charge() {
    let inventory = vec![ItemLine { certificate_type: code("ov"), quantity: 3, renewal_quantity: Some(1) }];
    let plan = add(&[Item { inventory, ..item() }], day(IN_TERM));
    let renewal = &plan.quote.lines[1];
    assert_eq!((renewal.bucket, renewal.quantity_before, renewal.quantity_after), (Bucket::Renewal, None, Some(1)));
    assert_eq!((renewal.calculation, renewal.amount.amount), (None, 0));
    assert_eq!(plan.quote.next_renewal_total.amount, 9_900);
}

#[test]
fn what_does_not_renew_by_itself_costs_nothing_at_the_next_renewal() {
    let plan = add(&[item(), Item { auto_renew: false, ..item() }], day(IN_TERM));
    assert_eq!((plan.quote.total.amount, plan.quote.next_renewal_total.amount), (59_400, 29_700));
}

#[test]
fn more_certificates_cost_the_rest_of_the_term_at_the_term_s_price() {
    let dearer = edited(&product(), |details| details.prices.iter_mut().for_each(|price| price.unit_price *= 2));
    let plan = quote::add_current_inventory(&subscription(), &dearer, &[(code("ov"), 10)], noon(IN_TERM)).unwrap();
    let line = &plan.quote.lines[0];
    assert_eq!((plan.quote.lines.len(), arithmetic(line)), (1, Some((9_900, 10, 275, 365))));
    assert_eq!((line.quantity_before, line.quantity_after, line.amount.amount), (Some(10), Some(20), 74_589));
    assert_eq!(line.subscription_id, Some(subscription().id));
    assert_eq!(plan.quote.next_renewal_total.amount, 5 * 50_000 + 8 * 19_800, "the next term has today's prices");
    assert_eq!(plan.subscriptions[0].term, subscription().term);
}

#[test]
fn a_type_that_was_new_to_the_product_in_the_term_has_today_s_price() {
    let bare = Subscription { lines: vec![line("ev", 5, None, 0)], ..subscription() };
    let mut older = bare.clone();
    older.term.unit_prices.remove(&code("ov"));
    let plan = quote::add_current_inventory(&older, &product(), &[(code("ov"), 1)], noon(IN_TERM)).unwrap();
    assert_eq!(arithmetic(&plan.quote.lines[0]), Some((9_900, 1, 275, 365)));
    assert_eq!(plan.subscriptions[0].term, bare.term, "the price is stored with the term");
}

#[test]
fn more_certificates_than_the_product_allows_and_unknown_types_are_refused_at_once() {
    let additions = [(code("ov"), 991), (code("dv"), 1), (code("ev"), 1), (code("ev"), 1)];
    let refusal = quote::add_current_inventory(&subscription(), &product(), &additions, noon(IN_TERM)).unwrap_err();
    let expected = [
        ("/lines/0/add", ViolationCode::OutOfRange),
        ("/lines/1/certificate_type", ViolationCode::CertificateTypeNotInProduct),
        ("/lines/3/certificate_type", ViolationCode::Duplicate),
    ];
    assert_eq!(problems(refusal), expected.map(|(pointer, code)| (pointer.to_owned(), code)));
}

#[test]
fn renewal_quantities_are_checked_and_cost_nothing_now() {
    let quote = |quantities: &[_]| quote::set_renewal_inventory(&subscription(), &product(), quantities, noon(IN_TERM));
    let refusal = quote(&[(code("ov"), Some(1_001))]).unwrap_err();
    assert_eq!(problems(refusal), [("/lines/0/quantity".to_owned(), ViolationCode::OutOfRange)]);
    let plan = quote(&[(code("ov"), None)]).unwrap();
    let line = &plan.quote.lines[0];
    assert_eq!((line.bucket, line.quantity_before, line.quantity_after), (Bucket::Renewal, Some(8), None));
    assert_eq!((plan.quote.total.amount, line.calculation), (0, None));
    assert_eq!(plan.quote.next_renewal_total.amount, 5 * 25_000 + 10 * 9_900);
}

#[test]
fn renewing_fewer_than_are_in_use_is_warned_of() {
    let quantities = [(code("ov"), Some(0)), (code("ev"), Some(1))];
    let plan = quote::set_renewal_inventory(&subscription(), &product(), &quantities, noon(IN_TERM)).unwrap();
    let [warning] = &plan.quote.warnings[..] else { panic!("{:?}", plan.quote.warnings) };
    assert_eq!((warning.code, warning.pointer.as_deref()), (WarningCode::RenewalBelowUsed, Some("/lines/1/quantity")));
    assert_eq!(plan.subscriptions[0].lines[0], line("ev", 5, Some(1), 2));
    let as_many = quote::set_renewal_inventory(&subscription(), &product(), &[(code("ev"), Some(2))], noon(IN_TERM));
    assert_eq!(as_many.unwrap().quote.warnings, []);
}

#[test]
fn raising_the_current_quantity_warns_while_the_next_term_starts_with_fewer_than_are_in_use() {
    let warnings = |lines, additions: &[(Code, i32)]| {
        let subscription = Subscription { lines, ..subscription() };
        let plan = quote::add_current_inventory(&subscription, &product(), additions, noon(IN_TERM)).unwrap();
        plan.quote.warnings.into_iter().map(|of| (of.code, of.pointer.unwrap(), of.detail)).collect::<Vec<_>>()
    };
    let set = warnings(vec![line("ev", 5, Some(1), 4)], &[(code("ov"), 1), (code("ev"), 3)]);
    let detail = "4 certificates of ev are in use. The next term would start with 1 and an overage of 3.";
    assert_eq!(set, [(WarningCode::RenewalBelowUsed, "/lines/1/add".to_owned(), detail.to_owned())]);
    let over = vec![line("ev", 1, None, 4)];
    let detail = "4 certificates of ev are in use. The next term would start with 3 and an overage of 1.";
    let pointer = "/lines/0/add".to_owned();
    assert_eq!(
        warnings(over.clone(), &[(code("ev"), 2)]),
        [(WarningCode::RenewalBelowUsed, pointer, detail.to_owned())],
        "an overage remains"
    );
    assert_eq!(warnings(over, &[(code("ev"), 3)]), [], "the renewal quantity follows the increase");
    assert_eq!(warnings(vec![line("ev", 5, Some(4), 4)], &[(code("ev"), 1)]), []);
}

/// The product with another limit for `ov`.
fn limited(limit: i32) -> Product {
    edited(&product(), |details| details.certificate_types[1].max_quantity = limit)
}

#[test]
fn what_is_held_can_be_renewed_when_the_limit_is_lowered_below_it_and_not_raised() {
    let held = Subscription { lines: vec![line("ov", 100, None, 0)], ..subscription() };
    let set =
        |quantity| quote::set_renewal_inventory(&held, &limited(50), &[(code("ov"), Some(quantity))], noon(IN_TERM));
    assert_eq!(set(100).unwrap().quote.lines[0].quantity_after, Some(100));
    let refusal = set(101).unwrap_err();
    let Refusal::Invalid(violations) = &refusal else { panic!("{refusal:?}") };
    assert_eq!(
        violations[0].detail,
        "A subscription can hold 0 to 100 of ov, and this request makes it 101. Change the quantity."
    );
    let raised = quote::add_current_inventory(&held, &limited(50), &[(code("ov"), 1)], noon(IN_TERM)).unwrap_err();
    assert_eq!(problems(raised), [("/lines/0/add".to_owned(), ViolationCode::OutOfRange)]);
}

#[test]
fn a_renewal_after_a_lapse_is_charged_in_full_at_today_s_prices() {
    let dearer = edited(&product(), |details| details.prices.iter_mut().for_each(|price| price.unit_price += 100));
    let plan = quote::renew(&in_state(suspended(true)), &dearer, noon("2027-02-10")).unwrap();
    let lines: Vec<_> = plan.quote.lines.iter().map(arithmetic).collect();
    assert_eq!(lines, [Some((25_100, 5, 365, 365)), Some((10_000, 8, 365, 365))]);
    assert_eq!((plan.quote.lines[1].quantity_before, plan.quote.lines[1].quantity_after), (Some(10), Some(8)));
    assert_eq!(plan.quote.total.amount, 5 * 25_100 + 8 * 10_000);
    assert_eq!(plan.subscriptions[0].term.start_date, day("2027-02-10"));
}

#[test]
fn cancelling_charges_nothing_and_a_second_time_is_no_plan() {
    let plan = quote::cancel(&in_state(State::Pending), None, noon("2025-12-01")).unwrap().unwrap();
    let lines: Vec<_> = plan.quote.lines.iter().map(|line| (line.quantity_before, line.quantity_after)).collect();
    assert_eq!(lines, [(Some(5), Some(0)), (Some(10), Some(0))]);
    assert_eq!((plan.quote.kind, plan.quote.total.amount), (OrderKind::Cancellation, 0));
    assert_eq!(quote::cancel(&plan.subscriptions[0], None, noon("2025-12-02")), Ok(None));
}

#[test]
fn what_the_state_does_not_allow_is_not_quoted() {
    let more =
        |subscription| quote::add_current_inventory(&subscription, &product(), &[(code("ov"), 1)], noon(IN_TERM));
    assert_eq!(more(in_state(suspended(false))), Err(Refusal::SubscriptionSuspended));
    let early = quote::renew(&in_state(suspended(false)), &product(), noon(IN_TERM));
    assert!(matches!(early, Err(Refusal::InvalidTransition { action: "renew", .. })));
    let late = quote::add_current_inventory(&subscription(), &product(), &[(code("ov"), 1)], noon(END));
    assert_eq!(late, Err(Refusal::TermEnded(day(END))));
}

#[test]
fn an_amount_beyond_the_limit_is_refused() {
    let dear = edited(&product(), |details| {
        details.prices.iter_mut().for_each(|price| price.unit_price = 999_999_999_999);
        details.certificate_types.iter_mut().for_each(|known| known.max_quantity = 1_000_000);
    });
    let products = [(dear.id, dear)].into();
    let inventory = vec![ItemLine { certificate_type: code("ov"), quantity: 9_008, renewal_quantity: Some(0) }];
    let opened =
        add_subscriptions::open(&customer(), &[Item { inventory, ..item() }], &products, noon(IN_TERM), || id(100));
    let refusal = quote::add_subscriptions(&customer(), opened.unwrap(), 0, day(IN_TERM)).unwrap_err();
    assert_eq!(refusal, Refusal::AmountOutOfRange);
}

/// Additions to the two types of the product.
fn any_additions() -> impl Strategy<Value = Vec<(Code, i32)>> {
    prop::sample::subsequence(vec!["ov", "ev"], 1..=2)
        .prop_flat_map(|names| (Just(names), [1..500, 1..500]))
        .prop_map(|(names, numbers)| names.into_iter().map(code).zip(numbers).collect())
}

proptest! {
    #[test]
    fn a_renewal_starts_with_at_most_the_limit_or_what_is_held_and_all_quotes_agree(
        current in 1..200, renewal in prop::option::of(1..200), used in 0..200, limit in 1..200, asked in 0..200,
    ) {
        let before = Subscription { lines: vec![line("ov", current, renewal, used)], ..subscription() };
        let product = limited(limit);
        let most = limit.max(current);
        let set = quote::set_renewal_inventory(&before, &product, &[(code("ov"), Some(asked))], noon(IN_TERM));
        prop_assert_eq!(set.is_ok(), asked <= most);
        let add = quote::add_current_inventory(&before, &product, &[(code("ov"), asked.max(1))], noon(IN_TERM));
        prop_assert_eq!(
            add.is_ok(),
            current + asked.max(1) <= limit,
            "the current quantity never rises above the limit"
        );

        let renewed = quote::end_term(&before, &product, noon(END)).unwrap();
        let expected = renewal.unwrap_or(current).min(most);
        prop_assert_eq!(renewed.subscriptions[0].lines[0].current, expected);
        prop_assert_eq!(renewed.quote.lines[0].quantity_after, Some(expected));
        prop_assert_eq!(renewed.subscriptions[0].lines[0].renewal, renewal, "an explicit renewal quantity stays");
        let lapsed = Subscription { state: suspended(true), ..before.clone() };
        let by_hand = quote::renew(&lapsed, &product, noon(END)).unwrap();
        prop_assert_eq!(&by_hand.subscriptions[0].lines, &renewed.subscriptions[0].lines);

        let Ok(foretold) = quote::set_renewal_inventory(&before, &product, &[(code("ev"), Some(0))], noon(IN_TERM)) else {
            panic!("other types are not affected");
        };
        prop_assert_eq!(foretold.quote.next_renewal_total, by_hand.quote.total);
        if let Ok(add) = add {
            prop_assert_eq!(add.quote.warnings.len(), usize::from(renewal.unwrap_or(current + asked.max(1)).min(limit) < used));
        }
    }

    #[test]
    fn the_total_is_the_sum_of_lines_that_anyone_can_recompute(additions in any_additions(), days in 0..365_u64) {
        let at = at(day("2026-01-01") + chrono::Days::new(days));
        let plan = quote::add_current_inventory(&subscription(), &product(), &additions, at).unwrap();
        let recomputed = plan.quote.lines.iter().map(|line| line.calculation.unwrap().amount().unwrap());
        prop_assert!(recomputed.eq(plan.quote.lines.iter().map(|line| line.amount.amount)));
        let sum: i64 = plan.quote.lines.iter().map(|line| line.amount.amount).sum();
        prop_assert_eq!(plan.quote.total.amount, sum);
    }

    #[test]
    fn the_lines_of_a_quote_are_the_movements_of_the_current_inventory(additions in any_additions()) {
        let plan = quote::add_current_inventory(&subscription(), &product(), &additions, noon(IN_TERM)).unwrap();
        let moved = inventory::movements(&subscription().lines, &plan.subscriptions[0].lines);
        let mut moved: Vec<_> = moved.into_iter().map(|of| (of.certificate_type, of.before, of.after)).collect();
        let quoted = plan.quote.lines.iter().map(|line| (line.certificate_type.clone(), line.quantity_before, line.quantity_after));
        let mut quoted: Vec<_> = quoted.collect();
        moved.sort();
        quoted.sort();
        prop_assert_eq!(moved, quoted);
    }

    #[test]
    fn the_next_renewal_costs_what_its_quote_said(lines in any_lines()) {
        let lines = lines.into_iter().filter(|line| product().details.certificate_type(&line.certificate_type).is_some());
        let before = Subscription { lines: lines.collect(), ..subscription() };
        let foretold = quote::set_renewal_inventory(&before, &product(), &[(code("ov"), Some(4))], noon(IN_TERM)).unwrap();
        let suspended = changed(foretold.subscriptions[0].apply(Command::Suspend { reason: None }, noon(IN_TERM)).unwrap());
        let lapsed = match suspended.apply(Command::EndTerm(Default::default()), noon(END)).unwrap() {
            Outcome::Changed(lapsed) => lapsed,
            Outcome::Unchanged => suspended,
        };
        let renewed = quote::renew(&lapsed, &product(), noon(END)).unwrap();
        prop_assert_eq!(foretold.quote.next_renewal_total, renewed.quote.total);
    }
}
