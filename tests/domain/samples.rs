//! Sample customers, products and subscriptions, and strategies for arbitrary ones.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use partner_platform::domain::authorization::Role;
use partner_platform::domain::billing::add_subscriptions::{Item, ItemLine};
use partner_platform::domain::billing::invoice::{BillTo, Invoice, InvoiceLine};
use partner_platform::domain::billing::invoice_run::split;
use partner_platform::domain::billing::order::{Charge, ChargeStatus};
use partner_platform::domain::billing::proration::Calculation;
use partner_platform::domain::catalog::price_list::Overrides;
use partner_platform::domain::catalog::product::{CertificateType, Details, Price, Product, ProductStatus, UnitPrices};
use partner_platform::domain::credentials::api_key::{self, ApiKey, Fingerprint};
use partner_platform::domain::credentials::secret::Secret;
use partner_platform::domain::id::{
    ApiKeyId, ChargeId, CustomerId, InvoiceId, InvoiceNumber, OrderId, ProductId, ResellerId, SubscriptionId,
};
use partner_platform::domain::machine::Outcome;
use partner_platform::domain::money::{Currency, Money};
use partner_platform::domain::parties::company::{Address, Company};
use partner_platform::domain::parties::customer::{Administration, Customer};
use partner_platform::domain::parties::reseller::Reseller;
use partner_platform::domain::refusal::{Refusal, ViolationCode};
use partner_platform::domain::subscription::inventory::Line;
use partner_platform::domain::subscription::{Cancellation, Opening, State, Subscription, Suspension};
use partner_platform::domain::text::{Code, Country};
use proptest::prelude::*;
use uuid::Uuid;

/// The days around the sample subscription's first term, `[2026-01-01, 2027-01-01)`.
pub const START: &str = "2026-01-01";
pub const IN_TERM: &str = "2026-04-01";
pub const END: &str = "2027-01-01";

pub fn day(date: &str) -> NaiveDate {
    date.parse().unwrap()
}

pub fn noon(date: &str) -> DateTime<Utc> {
    at(day(date))
}

pub fn at(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::from_hms_opt(12, 0, 0).unwrap()).and_utc()
}

/// Any text type from its text.
pub fn text<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub fn code(name: &str) -> Code {
    text(name)
}

pub fn usd() -> Currency {
    text("USD")
}

pub fn id<T: From<Uuid>>(number: u128) -> T {
    Uuid::from_u128(number).into()
}

pub fn company() -> Company {
    let address = Address {
        line1: text("12 Harbour Street"),
        line2: None,
        line3: None,
        city: text("Brussels"),
        postal_code: None,
        state: None,
        country: Country::try_from("BE".to_owned()).unwrap(),
    };
    Company { name: text("Northwind Traders"), address, contact: None, external_id: None }
}

pub fn customer() -> Customer {
    Customer::create(id::<CustomerId>(1), company(), None, Administration::Partner, usd(), noon("2025-06-01")).unwrap()
}

pub fn reseller() -> Reseller {
    Reseller::create(id::<ResellerId>(2), company(), noon("2025-06-01"))
}

/// Two certificate types, `ev` and `ov`, for 1, 12, 24 and 36 months in USD. For 12 months one `ev` costs 250.00 and
/// one `ov` 99.00.
pub fn product_details() -> Details {
    let certificate_type = |name: &str| CertificateType { code: code(name), name: text(name), max_quantity: 1_000 };
    let terms = vec![1, 12, 24, 36];
    let price = |name: &str, months: i32, year: i64| Price {
        certificate_type: code(name),
        term_months: months,
        currency: usd(),
        unit_price: year * i64::from(months) / 12,
        price_list_id: None,
    };
    Details {
        name: text("Certificates"),
        description: None,
        status: ProductStatus::Active,
        certificate_types: vec![certificate_type("ev"), certificate_type("ov")],
        prices: terms.iter().flat_map(|&m| [price("ev", m, 25_000), price("ov", m, 9_900)]).collect(),
        terms,
    }
}

pub fn product() -> Product {
    Product::create(id::<ProductId>(3), code("certificates"), product_details(), noon("2025-06-01")).unwrap()
}

pub fn products() -> BTreeMap<ProductId, Product> {
    BTreeMap::from([(product().id, product())])
}

/// The prices of the product in a list in USD: type, term and unit price.
pub fn overrides(list: u128, prices: &[(&str, i32, i64)]) -> Overrides {
    let price = |&(name, months, unit_price): &(&str, i32, i64)| ((product().id, code(name), months), unit_price);
    Overrides { price_list_id: id(list), currency: usd(), unit_prices: prices.iter().map(price).collect() }
}

/// The product after an edit.
pub fn edited(product: &Product, edit: impl FnOnce(&mut Details)) -> Product {
    let mut details = product.details.clone();
    edit(&mut details);
    changed(product.edit(details, &Default::default(), noon(IN_TERM)).unwrap())
}

pub fn unit_prices() -> UnitPrices {
    product().unit_prices(12, usd()).unwrap()
}

pub fn line(name: &str, current: i32, renewal: Option<i32>, used: i32) -> Line {
    Line { current, renewal, used, ..Line::empty(code(name)) }
}

/// Active since its first day, with automatic renewal: 5 `ev` of which 2 are in use, and 10 `ov`, 8 in the next term.
pub fn subscription() -> Subscription {
    let opening = Opening {
        product_id: product().id,
        product_code: product().code,
        external_id: None,
        auto_renew: true,
        term_months: 12,
        start_date: day(START),
        lines: vec![line("ev", 5, None, 2), line("ov", 10, Some(8), 0)],
        unit_prices: unit_prices(),
    };
    Subscription::open(id::<SubscriptionId>(4), &customer(), opening, noon(START))
}

pub fn in_state(state: State) -> Subscription {
    Subscription { state, ..subscription() }
}

pub fn suspended(lapsed: bool) -> State {
    State::Suspended(Suspension { at: noon("2026-02-01"), reason: Some(text("Invoice overdue")), lapsed })
}

pub fn cancelled() -> State {
    State::Cancelled(Cancellation { at: noon("2025-12-01"), reason: None })
}

/// A pending charge of a customer, as a line of an invoice.
pub fn invoice_line(number: u128, customer: u128, amount: i64, currency: &str, due: &str) -> InvoiceLine {
    let charge = Charge {
        id: id::<ChargeId>(number),
        order_id: id::<OrderId>(50),
        customer_id: id::<CustomerId>(customer),
        subscription_id: subscription().id,
        certificate_type: code("ov"),
        calculation: Calculation { unit_price: amount, quantity: 1, remaining_days: 365, term_days: 365 },
        amount: Money { amount, currency: text(currency) },
        due_date: day(due),
        status: ChargeStatus::Pending,
        invoice_id: None,
    };
    InvoiceLine { charge, product_id: product().id, product_name: text("Certificates") }
}

/// An invoice with one line of USD 99.00.
pub fn invoice() -> Invoice {
    let number = InvoiceNumber { year: 2026, sequence: 7 };
    let company = company();
    let bill_to = BillTo { company_name: company.name, address: company.address, contact: company.contact };
    let draft = &split(vec![invoice_line(200, 1, 9_900, "USD", START)])[0];
    Invoice::issue(id::<InvoiceId>(60), number, bill_to, draft, day(START), noon(START))
}

/// A key of the provider for sales, without expiry.
pub fn api_key() -> ApiKey {
    let details = api_key::Details { name: text("Shop"), expires_at: None };
    let secret = Fingerprint::from(&Secret::new([1; 32]));
    let created_by = "system".to_owned();
    ApiKey::create(id::<ApiKeyId>(70), details, Role::Sales, None, secret, created_by, noon("2025-06-01")).unwrap()
}

/// One new subscription: 12 months of 3 `ov` from today.
pub fn item() -> Item {
    Item {
        product_id: product().id,
        term_months: 12,
        start_date: None,
        auto_renew: true,
        external_id: None,
        inventory: vec![ItemLine { certificate_type: code("ov"), quantity: 3, renewal_quantity: None }],
    }
}

pub fn changed<T: std::fmt::Debug>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Changed(next) => next,
        Outcome::Unchanged => panic!("nothing changed"),
    }
}

/// The pointers and codes of a [`Refusal::Invalid`].
pub fn problems(refusal: Refusal) -> Vec<(String, ViolationCode)> {
    match refusal {
        Refusal::Invalid(found) => found.into_iter().map(|violation| (violation.pointer, violation.code)).collect(),
        other => panic!("rejected for another reason: {other:?}"),
    }
}

pub fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Pending),
        Just(State::Active),
        Just(suspended(false)),
        Just(suspended(true)),
        Just(State::Expired),
        Just(cancelled()),
    ]
}

pub fn any_lines() -> impl Strategy<Value = Vec<Line>> {
    let numbers = (0..20, prop::option::of(0..20), 0..20);
    prop::collection::btree_map(prop::sample::select(vec!["dv", "ev", "ov", "wildcard"]), numbers, 0..4).prop_map(
        |lines| lines.into_iter().map(|(name, (current, renewal, used))| line(name, current, renewal, used)).collect(),
    )
}

/// A subscription in any state, and a day before, in or after its term.
pub fn any_subscription() -> impl Strategy<Value = (Subscription, NaiveDate)> {
    (any_state(), any_lines(), any::<bool>(), 0..600_u64).prop_map(|(state, lines, auto_renew, days)| {
        let mut subscription = Subscription { lines, auto_renew, ..in_state(state) };
        subscription.auto_renew &= !subscription.has_ended();
        (subscription, day("2025-12-01") + Days::new(days))
    })
}

/// Any day of two centuries.
pub fn any_day() -> impl Strategy<Value = NaiveDate> {
    (0..73_000_u64).prop_map(|days| day("1990-01-01") + Days::new(days))
}
