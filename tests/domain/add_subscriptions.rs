//! Adding subscriptions: what can be sold, and all problems of a request together.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use partner_platform::domain::billing::add_subscriptions::{self, Item, ItemLine};
use partner_platform::domain::catalog::product::{Product, ProductStatus};
use partner_platform::domain::parties::customer::Customer;
use partner_platform::domain::refusal::{Refusal, ViolationCode as Code};
use partner_platform::domain::subscription::inventory::Line;
use partner_platform::domain::subscription::{Subscription, SubscriptionStatus};
use proptest::prelude::*;

use crate::samples::{
    IN_TERM, any_day, at, code, customer, day, edited, id, item, line, noon, problems, product, products, text,
    unit_prices,
};

fn open_on(today: NaiveDate, items: &[Item], product: Product) -> Result<Vec<Subscription>, Refusal> {
    let products = BTreeMap::from([(product.id, product)]);
    let opened = add_subscriptions::open(&customer(), items, &products, at(today), || id(100))?;
    Ok(opened.into_iter().map(|opened| opened.subscription).collect())
}

fn open(items: &[Item]) -> Result<Vec<Subscription>, Refusal> {
    open_on(day(IN_TERM), items, product())
}

/// The problems of the sample item after a change.
fn wrong(change: impl FnOnce(&mut Item)) -> Vec<(String, Code)> {
    let mut item = item();
    change(&mut item);
    problems(open(&[item]).unwrap_err())
}

fn at_item(pointer: &str, code: Code) -> Vec<(String, Code)> {
    vec![(format!("/subscriptions/0/{pointer}"), code)]
}

fn wanted(name: &str, quantity: i32, renewal_quantity: Option<i32>) -> ItemLine {
    ItemLine { certificate_type: code(name), quantity, renewal_quantity }
}

fn starting(date: &str) -> Item {
    Item { start_date: Some(day(date)), ..item() }
}

#[test]
fn an_item_without_a_start_date_starts_today() {
    let opened = open(&[item()]).unwrap().remove(0);
    assert_eq!((opened.status(), opened.term.start_date), (SubscriptionStatus::Active, day(IN_TERM)));
    assert_eq!((opened.term.end_date, opened.term.number), (day("2027-04-01"), 1));
    assert_eq!((opened.lines, opened.term.unit_prices), (vec![line("ov", 3, None, 0)], unit_prices()));
}

#[test]
fn an_item_that_starts_in_the_future_is_pending() {
    assert_eq!(open(&[starting("2026-04-02")]).unwrap()[0].status(), SubscriptionStatus::Pending);
}

#[test]
fn the_lines_stand_in_order_of_certificate_type() {
    let inventory = vec![wanted("ov", 1, Some(2)), wanted("ev", 0, None)];
    let opened = open(&[Item { inventory, ..item() }]).unwrap().remove(0);
    assert_eq!(opened.lines, [line("ev", 0, None, 0), line("ov", 1, Some(2), 0)]);
}

#[test]
fn a_start_is_at_most_365_days_ahead() {
    assert!(open(&[starting("2027-04-01")]).is_ok());
    let late = wrong(|item| item.start_date = Some(day("2027-04-02")));
    assert_eq!(late, at_item("start_date", Code::StartDateTooLate));
}

#[test]
fn a_start_in_the_past_leaves_at_least_a_day_of_the_term() {
    let opened = open(&[starting("2025-04-02")]).unwrap().remove(0);
    assert_eq!((opened.status(), opened.term.end_date), (SubscriptionStatus::Active, day("2026-04-02")));
    let early = wrong(|item| item.start_date = Some(day("2025-04-01")));
    assert_eq!(early, at_item("start_date", Code::StartDateTooEarly));
}

#[test]
fn the_first_and_the_last_day_of_the_calendar_are_no_start() {
    assert_eq!(wrong(|item| item.start_date = Some(NaiveDate::MAX))[0].1, Code::StartDateTooLate);
    assert_eq!(wrong(|item| item.start_date = Some(NaiveDate::MIN))[0].1, Code::StartDateTooEarly);
}

#[test]
fn an_unknown_product_is_an_unknown_reference() {
    assert_eq!(wrong(|item| item.product_id = id(9)), at_item("product_id", Code::UnknownReference));
}

#[test]
fn a_term_that_is_not_offered_is_refused() {
    assert_eq!(wrong(|item| item.term_months = 13), at_item("term_months", Code::TermNotOffered));
}

#[test]
fn a_product_without_prices_in_the_customer_s_currency_is_not_sold() {
    let customer = Customer { currency: text("EUR"), ..customer() };
    let refusal = add_subscriptions::open(&customer, &[item()], &products(), noon(IN_TERM), || id(100)).unwrap_err();
    assert_eq!(problems(refusal), at_item("product_id", Code::NotAllowed));
}

#[test]
fn a_certificate_type_twice_is_a_duplicate() {
    let twice = wrong(|item| item.inventory.push(wanted("ov", 1, None)));
    assert_eq!(twice, at_item("inventory/1/certificate_type", Code::Duplicate));
}

#[test]
fn a_certificate_type_of_another_product_is_refused() {
    let unknown = wrong(|item| item.inventory.push(wanted("dv", 1, Some(2))));
    assert_eq!(unknown, at_item("inventory/1/certificate_type", Code::CertificateTypeNotInProduct));
}

#[test]
fn quantities_are_at_most_what_the_product_allows() {
    assert!(open(&[Item { inventory: vec![wanted("ov", 1_000, Some(1_000))], ..item() }]).is_ok());
    let much = wrong(|item| item.inventory = vec![wanted("ov", 1_001, Some(1_001))]);
    let pointers = ["inventory/0/quantity", "inventory/0/renewal_quantity"];
    assert_eq!(much, pointers.map(|pointer| at_item(pointer, Code::OutOfRange)).concat());
}

#[test]
fn a_subscription_starts_with_at_least_one_certificate() {
    let none = at_item("inventory", Code::OutOfRange);
    assert_eq!(wrong(|item| item.inventory.clear()), none);
    assert_eq!(wrong(|item| item.inventory = vec![wanted("ov", 0, Some(5)), wanted("ev", 0, None)]), none);
}

#[test]
fn all_problems_of_all_items_come_at_once() {
    let bad = Item { term_months: 13, start_date: Some(day("2030-01-01")), inventory: vec![], ..item() };
    let found = problems(open(&[bad, item(), Item { product_id: id(9), ..item() }]).unwrap_err());
    let expected = [
        ("/subscriptions/0/start_date", Code::StartDateTooLate),
        ("/subscriptions/0/term_months", Code::TermNotOffered),
        ("/subscriptions/0/inventory", Code::OutOfRange),
        ("/subscriptions/2/product_id", Code::UnknownReference),
    ];
    assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
}

#[test]
fn a_retired_product_is_not_newly_subscribed() {
    let retired = edited(&product(), |details| details.status = ProductStatus::Retired);
    let refusal = open_on(day(IN_TERM), &[item()], retired.clone()).unwrap_err();
    assert_eq!(refusal, Refusal::ProductRetired(code("certificates")));
    // Problems of the request itself come first.
    let refusal = open_on(day(IN_TERM), &[Item { term_months: 13, ..item() }], retired).unwrap_err();
    assert_eq!(problems(refusal), at_item("term_months", Code::TermNotOffered));
}

proptest! {
    #[test]
    fn a_subscription_is_opened_just_when_its_start_is_allowed(
        today in any_day(), days in 0..3_000_u64, term_months in prop::sample::select(vec![1, 12, 24, 36]),
    ) {
        let start = today - Days::new(1_500) + Days::new(days);
        let item = Item { start_date: Some(start), term_months, ..item() };
        match open_on(today, &[item], product()) {
            Ok(opened) => {
                let term = &opened[0].term;
                prop_assert!(term.end_date > today && start <= today + Days::new(365));
                prop_assert_eq!(opened[0].status() == SubscriptionStatus::Pending, start > today);
                prop_assert!(opened[0].lines.iter().all(|line| line.used == 0 && *line != Line::empty(line.certificate_type.clone())));
            }
            Err(refusal) => {
                let end = partner_platform::domain::time::add_months(start, term_months);
                prop_assert!(end <= today || start > today + Days::new(365), "{refusal}");
            }
        }
    }
}
