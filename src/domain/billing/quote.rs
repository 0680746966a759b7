//! The effects and the cost of a change. Preview and confirm call the same function here. No other module computes an
//! amount.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::billing::add_subscriptions::{Opened, check_type};
use crate::domain::billing::order::{Bucket, OrderKind, OrderLine};
use crate::domain::billing::proration::Calculation;
use crate::domain::catalog::product::{Product, UnitPrice, UnitPrices};
use crate::domain::label::label;
use crate::domain::machine::Outcome;
use crate::domain::money::{self, Currency, Money};
use crate::domain::parties::customer::Customer;
use crate::domain::refusal::{Refusal, Violation, ViolationCode, none_of};
use crate::domain::subscription::inventory::{self, Line};
use crate::domain::subscription::{Action, Command, Subscription};
use crate::domain::text::{Code, Reason};

label! {
    /// A warning to review before confirming. `renewal_below_used`: the next term would start with fewer certificates
    /// than are in use. More values may be added.
    WarningCode {
        /// The next term would start with fewer certificates than are in use.
        RenewalBelowUsed = "renewal_below_used",
    }
}

/// The effects and the cost of a change, as of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    pub kind: OrderKind,
    /// A hash of all data that the quote was computed from; 64 hexadecimal digits.
    pub digest: String,
    /// The day that the quote was computed for.
    pub as_of: NaiveDate,
    /// Each change, with its calculation.
    pub lines: Vec<OrderLine>,
    pub total: Money,
    /// The cost of the next renewal of these subscriptions at today's prices. Subscriptions without automatic renewal
    /// count as 0.
    pub next_renewal_total: Money,
    pub warnings: Vec<Warning>,
}

/// Something to review before confirming.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    pub code: WarningCode,
    pub detail: String,
    /// JSON pointer to the value in the request.
    pub pointer: Option<String>,
}

/// A quote, with the subscriptions as they will be after it is confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub quote: Quote,
    pub subscriptions: Vec<Subscription>,
}

/// Quotes new subscriptions. `orders_before` is the number of orders of this kind that the customer has. It makes the
/// digest valid for only one confirmation.
///
/// # Errors
/// An amount is out of range.
pub fn add_subscriptions(
    customer: &Customer,
    opened: Vec<Opened<'_>>,
    orders_before: i64,
    today: NaiveDate,
) -> Result<Plan, Refusal> {
    let mut draft = Draft::new(OrderKind::AddSubscriptions, customer.currency, today);
    draft.depends_on(&(customer.id, customer.version, orders_before));
    let mut subscriptions = Vec::new();
    for (index, Opened { subscription, product }) in opened.into_iter().enumerate() {
        draft.depends_on(&(&subscription.external_id, subscription.auto_renew, subscription.schedule));
        draft.depends_on(&(product.id, product.version));
        let place = Place { index: i32::try_from(index).ok(), subscription: &subscription };
        for line in &subscription.lines {
            draft.charge(&place, &line.certificate_type, 0, line.current)?;
            if line.renewal.is_some() {
                draft.set_renewal(&place, &line.certificate_type, None, line.renewal);
            }
        }
        draft.add_next_renewal(&subscription, product);
        subscriptions.push(subscription);
    }
    Ok(Plan { quote: draft.finish()?, subscriptions })
}

/// Quotes additional certificates, charged for the rest of the term. A type that was added to the product after the
/// start of the term has today's price.
///
/// # Errors
/// The state does not allow it, or the quantities do not fit the product.
pub fn add_current_inventory(
    subscription: &Subscription,
    product: &Product,
    additions: &[(Code, i32)],
    at: DateTime<Utc>,
) -> Result<Plan, Refusal> {
    subscription.guard(Action::AddCurrentInventory, at.date_naive())?;
    let today_prices = product.unit_prices(subscription.schedule.months, subscription.currency).unwrap_or_default();
    let term_prices = &subscription.term.unit_prices;
    let asked: Vec<_> = additions
        .iter()
        .map(|(code, add)| {
            let held = inventory::find(&subscription.lines, code).map_or(0, |line| line.current);
            let price = term_prices.get(code).or_else(|| today_prices.get(code)).copied();
            Asked { code, field: "add", by: Some(*add), kept: 0, after: Some(held.saturating_add(*add)), price }
        })
        .collect();
    check_lines(subscription, product, &asked)?;

    let mut next = changed(subscription, Command::AddCurrentInventory(additions.to_vec()), at)?;
    for Asked { code, price, .. } in asked {
        if let Some(price) = price {
            next.term.unit_prices.entry(code.clone()).or_insert(price);
        }
    }
    let mut draft = Draft::of(OrderKind::CurrentInventory, subscription, product, at.date_naive());
    let place = Place { index: None, subscription: &next };
    for (index, (code, add)) in additions.iter().enumerate() {
        let before = inventory::find(&subscription.lines, code).map_or(0, |line| line.current);
        draft.charge(&place, code, before, before + add)?;
        draft.warn_of_renewal(product, &next, code, format!("/lines/{index}/add"));
    }
    draft.add_next_renewal(&next, product);
    Ok(Plan { quote: draft.finish()?, subscriptions: vec![next] })
}

/// Quotes other quantities for the next term. Nothing is charged now.
///
/// # Errors
/// The state does not allow it, or the quantities do not fit the product.
pub fn set_renewal_inventory(
    subscription: &Subscription,
    product: &Product,
    quantities: &[(Code, Option<i32>)],
    at: DateTime<Utc>,
) -> Result<Plan, Refusal> {
    subscription.guard(Action::SetRenewalInventory, at.date_naive())?;
    let prices = renewal_prices(subscription, product);
    let asked: Vec<_> = quantities
        .iter()
        .map(|(code, quantity)| Asked {
            code,
            field: "quantity",
            by: None,
            kept: inventory::find(&subscription.lines, code).map_or(0, |line| line.current),
            after: *quantity,
            price: prices.get(code).copied(),
        })
        .collect();
    check_lines(subscription, product, &asked)?;

    let next = changed(subscription, Command::SetRenewalInventory(quantities.to_vec()), at)?;
    let mut draft = Draft::of(OrderKind::RenewalInventory, subscription, product, at.date_naive());
    let place = Place { index: None, subscription };
    for (index, (code, quantity)) in quantities.iter().enumerate() {
        let before = inventory::find(&subscription.lines, code).and_then(|line| line.renewal);
        draft.set_renewal(&place, code, before, *quantity);
        draft.warn_of_renewal(product, &next, code, format!("/lines/{index}/quantity"));
    }
    draft.add_next_renewal(&next, product);
    Ok(Plan { quote: draft.finish()?, subscriptions: vec![next] })
}

/// Quotes a new term from today for a lapsed subscription, charged in full at today's prices.
///
/// # Errors
/// The state does not allow it.
pub fn renew(subscription: &Subscription, product: &Product, at: DateTime<Utc>) -> Result<Plan, Refusal> {
    next_term(subscription, product, Command::Renew(renewal_prices(subscription, product)), at)
}

/// Quotes the scheduled end of a term. If the subscription renews, this is the next term, charged in full at the prices
/// of that day. Otherwise the subscription expires or lapses, and the quote has no lines.
///
/// # Errors
/// The state does not allow it.
pub fn end_term(subscription: &Subscription, product: &Product, at: DateTime<Utc>) -> Result<Plan, Refusal> {
    next_term(subscription, product, Command::EndTerm(renewal_prices(subscription, product)), at)
}

fn next_term(
    subscription: &Subscription,
    product: &Product,
    command: Command,
    at: DateTime<Utc>,
) -> Result<Plan, Refusal> {
    let mut next = changed(subscription, command, at)?;
    let mut draft = Draft::of(OrderKind::Renewal, subscription, product, at.date_naive());
    if next.term.number != subscription.term.number {
        for (before, after) in subscription.lines.iter().zip(&mut next.lines) {
            after.current = renewed_quantity(product, before);
        }
        let place = Place { index: None, subscription: &next };
        for (before, after) in subscription.lines.iter().zip(&next.lines) {
            let line = draft.line(&place, &after.certificate_type, Bucket::Current);
            let line = OrderLine { quantity_before: Some(before.current), quantity_after: Some(after.current), ..line };
            draft.charge_line(&place, line, after.current)?;
            if after.overage() > 0 {
                draft.warn_renewal_below_used(after, after.current, None);
            }
        }
        draft.add_next_renewal(&next, product);
    }
    Ok(Plan { quote: draft.finish()?, subscriptions: vec![next] })
}

/// Quotes the cancellation of a pending subscription. Its quantities become 0, and its charges are voided rather than
/// credited.
///
/// # Errors
/// The state does not allow it.
pub fn cancel(subscription: &Subscription, reason: Option<Reason>, at: DateTime<Utc>) -> Result<Option<Plan>, Refusal> {
    let Outcome::Changed(next) = subscription.apply(Command::Cancel { reason }, at)? else { return Ok(None) };
    let mut draft = Draft::new(OrderKind::Cancellation, subscription.currency, at.date_naive());
    draft.depends_on(&(subscription.id, subscription.version));
    let place = Place { index: None, subscription };
    for line in &subscription.lines {
        let cancelled = draft.line(&place, &line.certificate_type, Bucket::Current);
        draft.lines.push(OrderLine { quantity_before: Some(line.current), quantity_after: Some(0), ..cancelled });
    }
    Ok(Some(Plan { quote: draft.finish()?, subscriptions: vec![next] }))
}

fn changed(subscription: &Subscription, command: Command, at: DateTime<Utc>) -> Result<Subscription, Refusal> {
    Ok(match subscription.apply(command, at)? {
        Outcome::Changed(next) => next,
        Outcome::Unchanged => subscription.clone(),
    })
}

/// A line of a request that changes quantities.
struct Asked<'a> {
    code: &'a Code,
    /// The name of the field with the number.
    field: &'a str,
    /// The requested increase; `None` if the request sets the quantity itself.
    by: Option<i32>,
    /// A quantity that is allowed even if the limit of the product is lower.
    kept: i32,
    /// The quantity after the change.
    after: Option<i32>,
    /// The price of one certificate, if there is one.
    price: Option<UnitPrice>,
}

/// Checks the lines of a request: duplicate types, types that are not in the product or have no price, and quantities
/// out of range.
fn check_lines(subscription: &Subscription, product: &Product, lines: &[Asked<'_>]) -> Result<(), Refusal> {
    let mut violations = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let at = |field: &str| format!("/lines/{index}/{field}");
        if lines[..index].iter().any(|earlier| earlier.code == line.code) {
            let detail = "This certificate type is listed twice. Combine the two lines into one.";
            violations.push(Violation::new(at("certificate_type"), ViolationCode::Duplicate, detail));
        }
        if line.by.is_some_and(|by| by < 1) {
            let detail = "The current inventory can only be raised. Add at least 1.";
            violations.push(Violation::new(at(line.field), ViolationCode::OutOfRange, detail));
        }
        let wrong = check_type(product, line.code, line.kept, line.after, &at("certificate_type"), &at(line.field));
        if wrong.is_none() && line.price.is_none() {
            let (months, currency) = (subscription.schedule.months, subscription.currency);
            let detail =
                format!("{} has no price for {months} months in {currency}. Add one to the product first.", line.code);
            violations.push(Violation::new(at("certificate_type"), ViolationCode::NotAllowed, detail));
        }
        violations.extend(wrong);
    }
    none_of(violations)
}

/// Returns the prices of a renewal: today's prices, or the prices of the running term if the product no longer has any
/// in the currency.
fn renewal_prices(subscription: &Subscription, product: &Product) -> UnitPrices {
    let today = product.unit_prices(subscription.schedule.months, subscription.currency).unwrap_or_default();
    let mut prices = subscription.term.unit_prices.clone();
    prices.extend(today);
    prices
}

/// Returns the current quantity at the start of the next term: the renewal quantity, but not more than the limit of the
/// product. If the limit is now below the current quantity, the current quantity is the limit, so that all held
/// certificates can be renewed.
fn renewed_quantity(product: &Product, line: &Line) -> i32 {
    let limit = product.details.certificate_type(&line.certificate_type).map(|known| known.max_quantity);
    limit.map_or(i32::MAX, |limit| limit.max(line.current)).min(line.effective_renewal())
}

/// The subscription that a line is about.
struct Place<'a> {
    index: Option<i32>,
    subscription: &'a Subscription,
}

/// A quote that is being built.
struct Draft {
    kind: OrderKind,
    currency: Currency,
    as_of: NaiveDate,
    lines: Vec<OrderLine>,
    renewal_amounts: Vec<i64>,
    warnings: Vec<Warning>,
    facts: Sha256,
}

impl Draft {
    fn new(kind: OrderKind, currency: Currency, as_of: NaiveDate) -> Self {
        let (lines, renewal_amounts, warnings) = Default::default();
        Self { kind, currency, as_of, lines, renewal_amounts, warnings, facts: Sha256::new() }
    }

    fn of(kind: OrderKind, subscription: &Subscription, product: &Product, as_of: NaiveDate) -> Self {
        let mut draft = Self::new(kind, subscription.currency, as_of);
        draft.depends_on(&(subscription.id, subscription.version, product.id, product.version));
        draft
    }

    /// Makes the digest depend on a fact. Serializing plain facts cannot fail. If it did, the digest would cover less,
    /// and would still be checked.
    fn depends_on(&mut self, fact: &impl Serialize) {
        self.facts.update(serde_json::to_vec(fact).unwrap_or_default());
        self.facts.update([0]);
    }

    fn line(&self, place: &Place<'_>, certificate_type: &Code, bucket: Bucket) -> OrderLine {
        OrderLine {
            subscription_id: place.index.is_none().then_some(place.subscription.id),
            subscription_index: place.index,
            product_id: place.subscription.product_id,
            certificate_type: certificate_type.clone(),
            bucket,
            quantity_before: None,
            quantity_after: None,
            calculation: None,
            price_list_id: None,
            amount: Money { amount: 0, currency: self.currency },
            due_date: self.as_of.max(place.subscription.term.start_date),
        }
    }

    /// Adds a line for an increase of the current quantity, charged for the rest of the term.
    fn charge(&mut self, place: &Place<'_>, code: &Code, before: i32, after: i32) -> Result<(), Refusal> {
        let line = self.line(place, code, Bucket::Current);
        let line = OrderLine { quantity_before: Some(before), quantity_after: Some(after), ..line };
        self.charge_line(place, line, after - before)
    }

    fn charge_line(&mut self, place: &Place<'_>, line: OrderLine, quantity: i32) -> Result<(), Refusal> {
        let term = &place.subscription.term;
        let price = term.unit_prices.get(&line.certificate_type);
        let unit_price = price.map_or(0, |price| price.amount);
        let calculation = Calculation::new(unit_price, quantity, term.start_date, term.end_date, self.as_of);
        let amount = Money { amount: calculation.amount()?, currency: self.currency };
        let calculation = (quantity > 0).then_some(calculation);
        let price_list_id = price.and_then(|price| price.price_list_id).filter(|_| quantity > 0);
        self.lines.push(OrderLine { calculation, price_list_id, amount, ..line });
        Ok(())
    }

    fn set_renewal(&mut self, place: &Place<'_>, code: &Code, before: Option<i32>, after: Option<i32>) {
        let line = self.line(place, code, Bucket::Renewal);
        self.lines.push(OrderLine { quantity_before: before, quantity_after: after, ..line });
    }

    fn add_next_renewal(&mut self, subscription: &Subscription, product: &Product) {
        if !subscription.auto_renew {
            return;
        }
        let prices = renewal_prices(subscription, product);
        for line in &subscription.lines {
            let unit_price = prices.get(&line.certificate_type).map_or(0, |price| price.amount);
            self.renewal_amounts.push(unit_price.saturating_mul(i64::from(renewed_quantity(product, line))));
        }
    }

    /// Adds a warning if the next term would start with fewer certificates of the type than are in use.
    fn warn_of_renewal(&mut self, product: &Product, next: &Subscription, code: &Code, pointer: String) {
        if let Some(line) = inventory::find(&next.lines, code) {
            let quantity = renewed_quantity(product, line);
            if quantity < line.used {
                self.warn_renewal_below_used(line, quantity, Some(pointer));
            }
        }
    }

    fn warn_renewal_below_used(&mut self, line: &Line, quantity: i32, pointer: Option<String>) {
        let detail = format!(
            "{} certificates of {} are in use. The next term would start with {} and an overage of {}.",
            line.used,
            line.certificate_type,
            quantity,
            line.used - quantity,
        );
        self.warnings.push(Warning { code: WarningCode::RenewalBelowUsed, detail, pointer });
    }

    fn finish(mut self) -> Result<Quote, Refusal> {
        let total = money::total(self.lines.iter().map(|line| line.amount.amount))?;
        let next_renewal_total = money::total(self.renewal_amounts.iter().copied())?;
        let facts = (self.kind, self.as_of, self.lines.clone(), total, next_renewal_total, self.warnings.clone());
        self.depends_on(&facts);
        let digest = self.facts.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let money = |amount| Money { amount, currency: self.currency };
        Ok(Quote {
            kind: self.kind,
            digest,
            as_of: self.as_of,
            lines: self.lines,
            total: money(total),
            next_renewal_total: money(next_renewal_total),
            warnings: self.warnings,
        })
    }
}
