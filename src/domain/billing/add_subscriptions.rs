//! Checks a request for new subscriptions, and creates them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, Utc};

use crate::domain::catalog::product::{Product, ProductStatus};
use crate::domain::id::{ProductId, SubscriptionId};
use crate::domain::parties::customer::Customer;
use crate::domain::refusal::{Refusal, Violation, ViolationCode, none_of};
use crate::domain::subscription::inventory::Line;
use crate::domain::subscription::{Opening, Subscription};
use crate::domain::text::{Code, ExternalId};
use crate::domain::time::{MAX_START_AHEAD_DAYS, Schedule};

/// The maximum number of inventory lines of a request, over all its subscriptions. Keeps the order and the response
/// below 1 MiB.
pub const MOST_LINES: usize = 600;

/// One requested subscription.
#[derive(Debug, Clone)]
pub struct Item {
    pub product_id: ProductId,
    pub term_months: i32,
    /// The first day; today if `None`.
    pub start_date: Option<NaiveDate>,
    pub auto_renew: bool,
    pub external_id: Option<ExternalId>,
    pub inventory: Vec<ItemLine>,
}

#[derive(Debug, Clone)]
pub struct ItemLine {
    pub certificate_type: Code,
    pub quantity: i32,
    /// For the next term; `None` follows `quantity`.
    pub renewal_quantity: Option<i32>,
}

/// A new subscription with its product.
#[derive(Debug)]
pub struct Opened<'a> {
    pub subscription: Subscription,
    pub product: &'a Product,
}

/// Checks all items and creates the subscriptions, all or none.
///
/// # Errors
/// All problems of all items at once. [`Refusal::ProductRetired`] only if there are no other problems.
pub fn open<'a>(
    customer: &Customer,
    items: &[Item],
    products: &'a BTreeMap<ProductId, Product>,
    at: DateTime<Utc>,
    mut new_id: impl FnMut() -> SubscriptionId,
) -> Result<Vec<Opened<'a>>, Refusal> {
    let mut violations = Vec::new();
    let mut opened = Vec::new();
    if items.iter().map(|item| item.inventory.len()).sum::<usize>() > MOST_LINES {
        let detail =
            format!("A request has at most {MOST_LINES} inventory lines in all. Add fewer subscriptions at once.");
        return Err(Violation::new("/subscriptions", ViolationCode::TooLong, detail).into());
    }
    for (index, item) in items.iter().enumerate() {
        let at_item = format!("/subscriptions/{index}");
        let Some(product) = products.get(&item.product_id) else {
            let detail = "This product does not exist. List the products that are available to the customer.";
            let at = format!("{at_item}/product_id");
            violations.push(Violation::new(at, ViolationCode::UnknownReference, detail));
            continue;
        };
        match opening(customer, item, product, at.date_naive(), &at_item) {
            Ok(opening) => {
                let subscription = Subscription::open(new_id(), customer, opening, at);
                opened.push(Opened { subscription, product });
            }
            Err(found) => violations.extend(found),
        }
    }
    none_of(violations)?;
    match opened.iter().find(|opened| opened.product.details.status == ProductStatus::Retired) {
        Some(retired) => Err(Refusal::ProductRetired(retired.product.code.clone())),
        None => Ok(opened),
    }
}

fn opening(
    customer: &Customer,
    item: &Item,
    product: &Product,
    today: NaiveDate,
    at_item: &str,
) -> Result<Opening, Vec<Violation>> {
    let mut found = Vec::new();
    let start_date = item.start_date.unwrap_or(today);
    found.extend(check_start(start_date, item.term_months, today, at_item));
    let unit_prices = product.unit_prices(item.term_months, customer.currency);
    if !product.details.terms.contains(&item.term_months) {
        let detail =
            format!("The product is offered for {:?} months. Choose one of these terms.", product.details.terms);
        found.push(Violation::new(format!("{at_item}/term_months"), ViolationCode::TermNotOffered, detail));
    } else if unit_prices.is_none() {
        let detail = format!(
            "The product has no prices in {}, the customer's currency. Choose another product.",
            customer.currency
        );
        found.push(Violation::new(format!("{at_item}/product_id"), ViolationCode::NotAllowed, detail));
    }
    let mut seen = BTreeSet::new();
    for (index, line) in item.inventory.iter().enumerate() {
        let at = |field: &str| format!("{at_item}/inventory/{index}/{field}");
        if !seen.insert(&line.certificate_type) {
            let detail = "This certificate type is listed twice. Combine the two lines into one.";
            found.push(Violation::new(at("certificate_type"), ViolationCode::Duplicate, detail));
        }
        let code = &line.certificate_type;
        found.extend(check_type(product, code, 0, Some(line.quantity), &at("certificate_type"), &at("quantity")));
        if product.details.certificate_type(code).is_some() {
            let renewal = at("renewal_quantity");
            found.extend(check_type(product, code, 0, line.renewal_quantity, &renewal, &renewal));
        }
    }
    if item.inventory.iter().all(|line| line.quantity == 0) {
        let detail = "A subscription starts with at least one certificate. Increase a quantity.";
        found.push(Violation::new(format!("{at_item}/inventory"), ViolationCode::OutOfRange, detail));
    }
    if !found.is_empty() {
        return Err(found);
    }
    let mut lines: Vec<_> = item
        .inventory
        .iter()
        .map(|line| Line {
            current: line.quantity,
            renewal: line.renewal_quantity,
            ..Line::empty(line.certificate_type.clone())
        })
        .collect();
    lines.sort_by(|a, b| a.certificate_type.cmp(&b.certificate_type));
    Ok(Opening {
        product_id: product.id,
        product_code: product.code.clone(),
        external_id: item.external_id.clone(),
        auto_renew: item.auto_renew,
        term_months: item.term_months,
        start_date,
        lines,
        unit_prices: unit_prices.unwrap_or_default(),
    })
}

fn check_start(start: NaiveDate, term_months: i32, today: NaiveDate, at_item: &str) -> Option<Violation> {
    let at = format!("{at_item}/start_date");
    let latest = today + Days::new(MAX_START_AHEAD_DAYS.unsigned_abs());
    let schedule = Schedule { anchor: start, first: 1, months: term_months };
    if start > latest {
        let detail = format!(
            "The latest possible start is {latest}, {MAX_START_AHEAD_DAYS} days from today. Choose an earlier date."
        );
        Some(Violation::new(at, ViolationCode::StartDateTooLate, detail))
    } else if schedule.end(1) <= today {
        let detail =
            format!("The term would end on {}. It must end after {today}: choose a later start date.", schedule.end(1));
        Some(Violation::new(at, ViolationCode::StartDateTooEarly, detail))
    } else {
        None
    }
}

/// Returns the violation for a certificate type or its quantity, if there is one. `kept` is a quantity that stays
/// allowed when the limit of the product is lower.
pub(super) fn check_type(
    product: &Product,
    code: &Code,
    kept: i32,
    quantity: Option<i32>,
    at_type: &str,
    at_quantity: &str,
) -> Option<Violation> {
    let Some(certificate_type) = product.details.certificate_type(code) else {
        let known: Vec<_> = product.details.certificate_types.iter().map(|known| known.code.as_str()).collect();
        let detail = format!("The product has no such certificate type. {} has {}.", product.code, known.join(", "));
        return Some(Violation::new(at_type, ViolationCode::CertificateTypeNotInProduct, detail));
    };
    let max = certificate_type.max_quantity.max(kept);
    quantity.filter(|quantity| !(0..=max).contains(quantity)).map(|quantity| {
        let detail = format!(
            "A subscription can hold 0 to {max} of {code}, and this request makes it {quantity}. Change the quantity."
        );
        Violation::new(at_quantity, ViolationCode::OutOfRange, detail)
    })
}
