//! Products: types, terms and prices that fit together.

use std::collections::BTreeSet;

use partner_platform::domain::catalog::product::{Details, Product};
use partner_platform::domain::machine::Outcome;
use partner_platform::domain::refusal::{Refusal, ViolationCode};
use partner_platform::domain::text::Code;

use crate::samples::{IN_TERM, changed, code, noon, problems, product, product_details, text, usd};

/// The problems of the sample product after an edit.
fn wrong(edit: impl FnOnce(&mut Details)) -> Vec<(String, ViolationCode)> {
    let mut details = product_details();
    edit(&mut details);
    problems(Product::create(product().id, code("other"), details, noon(IN_TERM)).unwrap_err())
}

fn one(pointer: &str, code: ViolationCode) -> Vec<(String, ViolationCode)> {
    vec![(pointer.to_owned(), code)]
}

#[test]
fn a_type_or_term_listed_twice_is_a_duplicate() {
    let twice = wrong(|details| details.certificate_types.push(details.certificate_types[0].clone()));
    assert_eq!(twice, one("/certificate_types/2/code", ViolationCode::Duplicate));
    assert_eq!(wrong(|details| details.terms.push(12)), one("/terms/4", ViolationCode::Duplicate));
}

#[test]
fn a_price_given_twice_is_a_duplicate() {
    let twice = wrong(|details| details.prices.push(details.prices[0].clone()));
    assert_eq!(twice, one("/prices/8", ViolationCode::Duplicate));
}

#[test]
fn a_price_is_for_a_type_and_a_term_of_the_product() {
    let dropped = wrong(|details| details.certificate_types.retain(|known| known.code == code("ev")));
    assert!(dropped.iter().all(|(_, code)| *code == ViolationCode::CertificateTypeNotInProduct));
    assert_eq!(dropped.len(), 4);
    let dropped = wrong(|details| details.terms.retain(|months| *months != 36));
    let at = |index| (format!("/prices/{index}/term_months"), ViolationCode::TermNotOffered);
    assert_eq!(dropped, [at(6), at(7)]);
}

#[test]
fn each_currency_has_a_price_for_every_type_and_term() {
    let gap = wrong(|details| drop(details.prices.remove(2)));
    assert_eq!(gap, one("/prices", ViolationCode::Required));
    let half = wrong(|details| details.prices[0].currency = text("EUR"));
    assert_eq!(half.len(), 8, "one price is missing in USD, seven in EUR");
}

#[test]
fn a_type_that_subscriptions_hold_stays() {
    let mut details = product_details();
    details.certificate_types.retain(|known| known.code == code("ev"));
    details.prices.retain(|price| price.certificate_type == code("ev"));
    let held = BTreeSet::from([code("ev"), code("ov")]);
    assert_eq!(
        product().edit(details.clone(), &held, noon(IN_TERM)),
        Err(Refusal::CertificateTypeInUse(vec![code("ov")]))
    );
    let done = changed(product().edit(details.clone(), &BTreeSet::from([code("ev")]), noon(IN_TERM)).unwrap());
    let expected = Product { details, version: product().version.next(), updated_at: noon(IN_TERM), ..product() };
    assert_eq!(done, expected);
}

#[test]
fn an_edit_to_the_same_changes_nothing() {
    assert_eq!(product().edit(product_details(), &BTreeSet::new(), noon(IN_TERM)), Ok(Outcome::Unchanged));
}

#[test]
fn prices_are_those_of_the_term_and_the_currency() {
    let prices = product().unit_prices(24, usd()).unwrap();
    let prices: Vec<(Code, i64)> = prices.into_iter().map(|(code, price)| (code, price.amount)).collect();
    assert_eq!(prices, [(code("ev"), 50_000), (code("ov"), 19_800)]);
    assert_eq!(product().unit_prices(13, usd()), None);
    assert_eq!(product().unit_prices(12, text("EUR")), None);
    let is_priced_in = |currency| product().unit_prices(12, currency).is_some();
    assert_eq!([is_priced_in(usd()), is_priced_in(text("EUR"))], [true, false]);
}
