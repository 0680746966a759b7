//! Price lists: how they change the prices of a product, in which order they are looked up, which prices a list can
//! have, and who keeps the old price.

use std::collections::BTreeMap;

use partner_platform::domain::billing::order::OrderLine;
use partner_platform::domain::billing::quote;
use partner_platform::domain::catalog::price_list::{Details, ListPrice, Overrides, PriceList, offered};
use partner_platform::domain::catalog::product::{Price, Product, UnitPrice};
use partner_platform::domain::id::{PriceListId, Version};
use partner_platform::domain::machine::Outcome;
use partner_platform::domain::money::Currency;
use partner_platform::domain::refusal::{Refusal, ViolationCode};
use partner_platform::domain::subscription::{Command, Subscription};
use proptest::prelude::*;

use crate::samples::{
    END, IN_TERM, changed, code, edited, id, line, noon, overrides, problems, product, products, subscription, text,
    usd,
};

fn euros() -> Currency {
    text("EUR")
}

/// The sample product, with prices in euros too.
fn in_both_currencies() -> Product {
    edited(&product(), |details| {
        let in_euros = details.prices.iter().map(|price| Price { currency: euros(), ..price.clone() });
        let in_euros: Vec<_> = in_euros.collect();
        details.prices.extend(in_euros);
    })
}

/// Any list: prices of this and other products, for existing and unknown types and terms.
fn any_list(number: u128) -> impl Strategy<Value = Overrides> {
    let key = (3..5_u128, prop::sample::select(vec!["dv", "ev", "ov"]), prop::sample::select(vec![1, 12, 13, 36]));
    let prices = prop::collection::btree_map(key, 0..100_000_i64, 0..12);
    (any::<bool>(), prices).prop_map(move |(in_euros, prices)| Overrides {
        price_list_id: id(number),
        currency: if in_euros { euros() } else { usd() },
        unit_prices: prices.into_iter().map(|((of, name, months), to)| ((id(of), code(name), months), to)).collect(),
    })
}

/// A price for one certificate type and one term, in dollars.
fn price(name: &str, term_months: i32, unit_price: i64) -> ListPrice {
    ListPrice { product_id: product().id, certificate_type: code(name), term_months, currency: usd(), unit_price }
}

fn details(prices: Vec<ListPrice>) -> Details {
    Details { name: text("Gold"), prices }
}

fn create(currency: Currency, prices: Vec<ListPrice>) -> Result<PriceList, Refusal> {
    PriceList::create(id(50), currency, details(prices), &products(), noon(IN_TERM))
}

fn list() -> PriceList {
    create(usd(), vec![price("ov", 12, 7_900), price("ev", 12, 20_000)]).unwrap()
}

/// The problems of a list with these prices. An edit to these prices must have the same problems.
fn wrong(prices: &[ListPrice]) -> Vec<(String, ViolationCode)> {
    let of_new = problems(create(usd(), prices.to_vec()).unwrap_err());
    let of_edit = problems(list().edit(details(prices.to_vec()), &products(), noon(END)).unwrap_err());
    assert_eq!(of_new, of_edit);
    of_new
}

fn expected<const N: usize>(problems: [(&str, ViolationCode); N]) -> Vec<(String, ViolationCode)> {
    problems.map(|(pointer, code)| (pointer.to_owned(), code)).into()
}

proptest! {
    #[test]
    fn an_offer_differs_from_the_product_in_prices_and_where_they_come_from_only(
        lists in (any_list(20), any_list(21), any_list(22)),
    ) {
        let mut offer = offered(in_both_currencies(), &[&lists.0, &lists.1, &lists.2]);
        for (price, own) in offer.details.prices.iter_mut().zip(in_both_currencies().details.prices) {
            prop_assert!(price.price_list_id.is_some() || price.unit_price == own.unit_price);
            (price.unit_price, price.price_list_id) = (own.unit_price, None);
        }
        prop_assert_eq!(offer, in_both_currencies());
    }

    #[test]
    fn each_price_is_the_first_list_s_that_has_one_in_its_currency_or_the_product_s(
        lists in (any_list(20), any_list(21), any_list(22)),
    ) {
        let lists = [&lists.0, &lists.1, &lists.2];
        let own = in_both_currencies();
        for (price, own) in offered(own.clone(), &lists).details.prices.into_iter().zip(own.details.prices) {
            let mut found = (own.unit_price, None);
            // From the last list to the first: each takes precedence over the lists after it.
            for list in lists.into_iter().rev().filter(|list| list.currency == own.currency) {
                let key = (product().id, own.certificate_type.clone(), own.term_months);
                if let Some(unit_price) = list.unit_prices.get(&key) {
                    found = (*unit_price, Some(list.price_list_id));
                }
            }
            prop_assert_eq!((price.unit_price, price.price_list_id), found);
        }
    }

    #[test]
    fn a_list_in_another_currency_changes_nothing(list in any_list(20)) {
        let list = Overrides { currency: euros(), ..list };
        prop_assert_eq!(offered(product(), &[&list]), product());
    }

    #[test]
    fn the_order_of_the_prices_in_a_request_means_nothing(prices in Just(vec![
        price("ov", 12, 1), price("ev", 36, 2), price("ov", 1, 3), price("ev", 12, 4), price("ov", 36, 5),
    ]).prop_shuffle()) {
        let made = create(usd(), prices.clone()).unwrap();
        let listed = made.details.prices.iter().map(|price| (price.certificate_type.as_str(), price.term_months));
        prop_assert!(listed.eq([("ev", 12), ("ev", 36), ("ov", 1), ("ov", 12), ("ov", 36)]));
        prop_assert_eq!(made.edit(details(prices), &products(), noon(END)), Ok(Outcome::Unchanged));
    }
}

#[test]
fn the_first_list_wins_then_the_next_then_the_product() {
    let own = overrides(20, &[("ov", 12, 4_000)]);
    let resellers = overrides(21, &[("ov", 12, 5_000), ("ev", 12, 0)]);
    let prices = |lists: &[&Overrides]| {
        let prices = offered(product(), lists).unit_prices(12, usd()).unwrap();
        prices.into_values().map(|price| (price.amount, price.price_list_id)).collect::<Vec<_>>()
    };
    let [first, second] = [20, 21].map(|number| Some(id::<PriceListId>(number)));
    assert_eq!(prices(&[&own, &resellers]), [(0, second), (4_000, first)], "a price of 0 is a price");
    assert_eq!(prices(&[&resellers, &own]), [(0, second), (5_000, second)]);
    assert_eq!(prices(&[&own]), [(25_000, None), (4_000, first)]);
    assert_eq!(offered(product(), &[]), product());
    let one_month = offered(product(), &[&own, &resellers]).unit_prices(1, usd());
    assert_eq!(one_month, product().unit_prices(1, usd()), "another term has another price");
}

#[test]
fn everything_that_is_wrong_is_told_by_its_place_in_the_request() {
    let elsewhere = ListPrice { product_id: id(99), ..price("ov", 12, 1) };
    let in_euros = ListPrice { currency: euros(), ..price("ev", 36, 1) };
    // None of these are ordered by product, type and term.
    let prices = [
        price("ov", 24, 1),
        elsewhere,
        price("dv", 12, 1),
        price("ov", 13, 1),
        in_euros,
        price("dv", 13, 1),
        price("ev", 12, 1),
        price("ov", 24, 2),
    ];
    let found = expected([
        ("/prices/1/product_id", ViolationCode::UnknownReference),
        ("/prices/2/certificate_type", ViolationCode::CertificateTypeNotInProduct),
        ("/prices/3/term_months", ViolationCode::TermNotOffered),
        ("/prices/4/unit_price/currency", ViolationCode::NotAllowed),
        ("/prices/5/certificate_type", ViolationCode::CertificateTypeNotInProduct),
        ("/prices/5/term_months", ViolationCode::TermNotOffered),
        ("/prices/7", ViolationCode::Duplicate),
    ]);
    assert_eq!(wrong(&prices), found);
}

#[test]
fn a_product_that_is_not_sold_in_the_list_s_currency_is_not_on_it() {
    let in_euros = ListPrice { currency: euros(), ..price("ov", 12, 1) };
    let refusal = create(euros(), vec![in_euros]).unwrap_err();
    assert_eq!(problems(refusal), expected([("/prices/0/product_id", ViolationCode::NotAllowed)]));
}

#[test]
fn a_list_starts_at_its_first_version_and_each_change_is_the_next() {
    assert_eq!((list().version, list().created_at, list().updated_at), (Version::FIRST, noon(IN_TERM), noon(IN_TERM)));
    let renamed = Details { name: text("Silver"), ..list().details };
    let next = changed(list().edit(renamed.clone(), &products(), noon(END)).unwrap());
    let expected = PriceList { details: renamed, version: Version(2), updated_at: noon(END), ..list() };
    assert_eq!(next, expected);
    let emptied = changed(next.edit(details(Vec::new()), &products(), noon(END)).unwrap());
    assert_eq!((emptied.details, emptied.version), (details(Vec::new()), Version(3)));
}

#[test]
fn a_list_can_be_renamed_when_its_products_have_changed_since() {
    let fewer = edited(&product(), |details| {
        details.terms.retain(|months| *months != 12);
        details.prices.retain(|price| price.term_months != 12);
    });
    let products = BTreeMap::from([(fewer.id, fewer)]);
    let renamed = Details { name: text("Silver"), ..list().details };
    assert_eq!(changed(list().edit(renamed.clone(), &products, noon(END)).unwrap()).details, renamed);
    let dearer = details(vec![price("ov", 12, 8_000)]);
    let refusal = list().edit(dearer, &products, noon(END)).unwrap_err();
    assert_eq!(problems(refusal), expected([("/prices/0/term_months", ViolationCode::TermNotOffered)]));
}

/// The unit price and the price list of a line.
fn source(line: &OrderLine) -> (Option<i64>, Option<PriceListId>) {
    (line.calculation.map(|calculation| calculation.unit_price), line.price_list_id)
}

#[test]
fn a_term_keeps_the_price_and_the_list_that_it_started_with() {
    let before = offered(product(), &[&overrides(20, &[("ov", 12, 4_000)])]);
    let mut bought = Subscription { lines: vec![line("ov", 10, None, 0)], ..subscription() };
    bought.term.unit_prices = before.unit_prices(12, usd()).unwrap();
    let now = offered(product(), &[&overrides(21, &[("ov", 12, 4_500), ("ev", 12, 1_000)])]);

    let additions = [(code("ov"), 1), (code("ev"), 1)];
    let plan = quote::add_current_inventory(&bought, &now, &additions, noon(IN_TERM)).unwrap();
    let sources: Vec<_> = plan.quote.lines.iter().map(source).collect();
    assert_eq!(sources, [(Some(4_000), Some(id(20))), (Some(25_000), None)]);
    assert_eq!(plan.subscriptions[0].term, bought.term);
    assert_eq!(plan.quote.next_renewal_total.amount, 11 * 4_500 + 1_000, "the next term has the new prices");

    let renewed = quote::end_term(&plan.subscriptions[0], &now, noon(END)).unwrap();
    let sources: Vec<_> = renewed.quote.lines.iter().map(source).collect();
    assert_eq!(sources, [(Some(1_000), Some(id(21))), (Some(4_500), Some(id(21)))]);
    let of_list = |amount| UnitPrice { amount, price_list_id: Some(id(21)) };
    let prices = [(code("ev"), of_list(1_000)), (code("ov"), of_list(4_500))];
    assert_eq!(renewed.subscriptions[0].term.unit_prices, prices.into());
}

#[test]
fn a_lapsed_subscription_is_renewed_at_the_list_s_price_of_the_day() {
    let suspended = changed(subscription().apply(Command::Suspend { reason: None }, noon(IN_TERM)).unwrap());
    let lapsed = changed(suspended.apply(Command::EndTerm(Default::default()), noon(END)).unwrap());
    let offer = offered(product(), &[&overrides(20, &[("ov", 12, 4_000)])]);
    let plan = quote::renew(&lapsed, &offer, noon(END)).unwrap();
    let sources: Vec<_> = plan.quote.lines.iter().map(source).collect();
    assert_eq!(sources, [(Some(25_000), None), (Some(4_000), Some(id(20)))]);
}

#[test]
fn nothing_is_named_where_nothing_is_charged() {
    let offer = offered(product(), &[&overrides(20, &[("ov", 12, 4_000)])]);
    let none = Subscription { lines: vec![line("ev", 1, None, 0), line("ov", 5, Some(0), 0)], ..subscription() };
    let plan = quote::end_term(&none, &offer, noon(END)).unwrap();
    assert_eq!(plan.quote.lines.iter().map(source).collect::<Vec<_>>(), [(Some(25_000), None), (None, None)]);
}
