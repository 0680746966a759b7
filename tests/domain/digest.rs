//! The digest of a quote: equal for the same facts, and different after a change of any fact.

use chrono::Days;
use partner_platform::domain::billing::add_subscriptions::{self, Item, ItemLine};
use partner_platform::domain::billing::quote;
use partner_platform::domain::catalog::product::{Product, ProductStatus};
use partner_platform::domain::id::{SubscriptionId, Version};
use partner_platform::domain::parties::customer::Customer;
use partner_platform::domain::subscription::{State, Subscription};
use partner_platform::domain::text::Code;
use proptest::prelude::*;

use crate::samples::{
    IN_TERM, at, code, customer, day, edited, id, in_state, item, line, noon, product, subscription, suspended, text,
};

/// Everything that a quote for new subscriptions is computed from.
#[derive(Clone)]
struct Facts {
    customer: Customer,
    product: Product,
    items: Vec<Item>,
    orders_before: i64,
    days_later: u64,
}

impl Facts {
    fn sample() -> Self {
        Self { customer: customer(), product: product(), items: vec![item()], orders_before: 0, days_later: 0 }
    }

    /// The digest, with new ids of the subscriptions each time, as in preview and confirmation.
    fn digest(&self, first_id: u128) -> String {
        let today = day(IN_TERM) + Days::new(self.days_later);
        let products = [(self.product.id, self.product.clone())].into();
        let ids = &mut (first_id..).map(id::<SubscriptionId>);
        let opened =
            add_subscriptions::open(&self.customer, &self.items, &products, at(today), || ids.next().unwrap()).unwrap();
        quote::add_subscriptions(&self.customer, opened, self.orders_before, today).unwrap().quote.digest
    }

    fn with(change: impl FnOnce(&mut Self)) -> String {
        let mut facts = Self::sample();
        change(&mut facts);
        facts.digest(100)
    }
}

#[test]
fn a_digest_is_64_hexadecimal_digits() {
    let digest = Facts::sample().digest(100);
    assert!(digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{digest}");
}

#[test]
fn preview_and_confirmation_have_the_same_digest() {
    assert_eq!(Facts::sample().digest(100), Facts::sample().digest(200));
}

#[test]
fn every_fact_of_a_basket_makes_another_digest() {
    let fixed_start = Item { start_date: Some(day("2026-05-01")), ..item() };
    let dearer = edited(&product(), |details| details.prices.iter_mut().for_each(|price| price.unit_price += 1));
    let line = |quantity, renewal_quantity| vec![ItemLine { certificate_type: code("ov"), quantity, renewal_quantity }];
    let mut digests = vec![
        Facts::sample().digest(100),
        Facts::with(|facts| facts.customer.version = Version(2)),
        Facts::with(|facts| facts.customer.id = id(8)),
        Facts::with(|facts| facts.product = dearer),
        Facts::with(|facts| facts.product.version = Version(2)),
        Facts::with(|facts| facts.orders_before = 1),
        Facts::with(|facts| facts.days_later = 1),
        Facts::with(|facts| facts.items[0].term_months = 24),
        Facts::with(|facts| facts.items[0].auto_renew = false),
        Facts::with(|facts| facts.items[0].external_id = Some(text("crm-1"))),
        Facts::with(|facts| facts.items[0].inventory = line(4, None)),
        Facts::with(|facts| facts.items[0].inventory = line(3, Some(3))),
        Facts::with(|facts| facts.items[0] = fixed_start),
        Facts::with(|facts| facts.items.push(item())),
    ];
    let all = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), all);
}

#[test]
fn every_fact_of_a_subscription_makes_another_digest() {
    let digest = |subscription: &Subscription, product: &Product, add: &[(Code, i32)], date| {
        quote::add_current_inventory(subscription, product, add, noon(date)).unwrap().quote.digest
    };
    let [one, two] = [1, 2].map(|add| vec![(code("ov"), add)]);
    let first = digest(&subscription(), &product(), &one, IN_TERM);
    assert_eq!(first, digest(&subscription(), &product(), &one, IN_TERM));
    let newer = Subscription { version: Version(2), ..subscription() };
    let other = Subscription { id: id(5), ..subscription() };
    let retired = edited(&product(), |details| details.status = ProductStatus::Retired);
    assert_ne!(first, digest(&newer, &product(), &one, IN_TERM), "version");
    assert_ne!(first, digest(&other, &product(), &one, IN_TERM), "subscription");
    assert_ne!(first, digest(&subscription(), &retired, &one, IN_TERM), "product");
    assert_ne!(first, digest(&subscription(), &product(), &two, IN_TERM), "quantity");
    assert_ne!(first, digest(&subscription(), &product(), &one, "2026-04-02"), "day");
}

#[test]
fn the_digest_of_a_renewal_quantity_depends_on_it_and_on_the_warning() {
    let digest = |subscription: &Subscription, quantity| {
        let quantities = [(code("ev"), quantity)];
        quote::set_renewal_inventory(subscription, &product(), &quantities, noon(IN_TERM)).unwrap().quote.digest
    };
    let all_in_use = Subscription { lines: vec![line("ev", 5, None, 5), line("ov", 10, Some(8), 0)], ..subscription() };
    assert_ne!(digest(&subscription(), Some(3)), digest(&all_in_use, Some(3)), "allocations do not change the version");
    assert_ne!(
        digest(&subscription(), Some(5)),
        digest(&subscription(), None),
        "an explicit 5 differs from following the current quantity"
    );
}

#[test]
fn the_digest_of_a_renewal_or_cancellation_depends_on_the_version() {
    let renew = |version| {
        let lapsed = Subscription { version, ..in_state(suspended(true)) };
        quote::renew(&lapsed, &product(), noon("2027-02-10")).unwrap().quote.digest
    };
    assert_ne!(renew(Version(1)), renew(Version(2)));
    let cancel = |version| {
        let pending = Subscription { version, ..in_state(State::Pending) };
        quote::cancel(&pending, None, noon("2025-12-01")).unwrap().unwrap().quote.digest
    };
    assert_ne!(cancel(Version(1)), cancel(Version(2)));
}

proptest! {
    #[test]
    fn two_baskets_have_the_same_digest_only_if_they_are_the_same(
        a in (1..4_i32, prop::option::of(0..3), any::<bool>()), b in (1..4_i32, prop::option::of(0..3), any::<bool>()),
    ) {
        let digest = |(quantity, renewal_quantity, auto_renew)| Facts::with(|facts| {
            let inventory = vec![ItemLine { certificate_type: code("ov"), quantity, renewal_quantity }];
            facts.items = vec![Item { inventory, auto_renew, ..item() }];
        });
        prop_assert_eq!(digest(a) == digest(b), a == b);
    }
}
