//! Upcoming charges: charges that are not on an invoice yet, and expected charges of renewals.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};

use crate::domain::billing::order::Charge;
use crate::domain::billing::proration::Calculation;
use crate::domain::billing::quote;
use crate::domain::catalog::product::Product;
use crate::domain::id::{ChargeId, CustomerId, PriceListId, ResellerId, SubscriptionId};
use crate::domain::label::label;
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::machine::Outcome;
use crate::domain::money::{Currency, Money, in_range};
use crate::domain::refusal::Refusal;
use crate::domain::subscription::{Command, Milestone, Subscription};
use crate::domain::text::Code;
use crate::domain::time::start_of;

label! {
    /// The kind of an upcoming charge. `pending`: ordered, but not on an invoice yet; `renewal`: expected with the next
    /// term, according to the current state. More values may be added.
    UpcomingKind {
        Pending = "pending",
        Renewal = "renewal",
    }
}

/// A charge that is expected or not on an invoice yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpcomingCharge {
    pub kind: UpcomingKind,
    /// The charge, if it already exists.
    pub charge_id: Option<ChargeId>,
    pub customer_id: CustomerId,
    pub subscription_id: SubscriptionId,
    pub certificate_type: Code,
    /// The calculation of the amount.
    pub calculation: Calculation,
    /// The source of the unit price of a renewal.
    pub price_list_id: Option<PriceListId>,
    pub amount: Money,
    pub due_date: NaiveDate,
}

impl From<Charge> for UpcomingCharge {
    fn from(charge: Charge) -> Self {
        Self {
            kind: UpcomingKind::Pending,
            charge_id: Some(charge.id),
            customer_id: charge.customer_id,
            subscription_id: charge.subscription_id,
            certificate_type: charge.certificate_type,
            calculation: charge.calculation,
            price_list_id: None,
            amount: charge.amount,
            due_date: charge.due_date,
        }
    }
}

impl UpcomingCharge {
    /// The sort key: by day, then by customer, subscription and certificate type.
    fn key(&self) -> String {
        let charge = self.charge_id.map(|id| id.to_string()).unwrap_or_default();
        let Self { due_date, customer_id, subscription_id, certificate_type, .. } = self;
        format!("{due_date} {customer_id} {subscription_id} {certificate_type} {charge}")
    }
}

/// Returns the expected charges of a subscription's renewals before a day, according to its current state. Uses the
/// same transitions and quotes as the real renewals. `product` has the prices for the customer.
///
/// # Errors
/// A renewal would cost more than can be billed.
pub fn renewals(
    subscription: &Subscription,
    product: &Product,
    before: NaiveDate,
) -> Result<Vec<UpcomingCharge>, Refusal> {
    let mut found = Vec::new();
    let mut current = subscription.clone();
    while let Some(due) = current.due(before - Days::new(1)) {
        let at = start_of(due.on);
        current = match due.milestone {
            Milestone::Activation => match current.apply(Command::Activate, at)? {
                Outcome::Changed(next) => next,
                Outcome::Unchanged => break,
            },
            Milestone::TermEnd => {
                let mut plan = quote::end_term(&current, product, at)?;
                let charged = plan.quote.lines.into_iter().filter(|line| line.amount.amount != 0);
                found.extend(charged.filter_map(|line| {
                    Some(UpcomingCharge {
                        kind: UpcomingKind::Renewal,
                        charge_id: None,
                        customer_id: current.customer_id,
                        subscription_id: current.id,
                        certificate_type: line.certificate_type,
                        calculation: line.calculation?,
                        price_list_id: line.price_list_id,
                        amount: line.amount,
                        due_date: line.due_date,
                    })
                }));
                let Some(next) = plan.subscriptions.pop() else { break };
                next
            }
            Milestone::LapseEnd => break,
        };
    }
    Ok(found)
}

/// Collects a page of upcoming charges, sorted by day, and the totals of all charges. Stores only the rows of the page.
pub struct Forecast<'a> {
    window: &'a Window,
    rows: BTreeMap<String, UpcomingCharge>,
    totals: BTreeMap<Currency, i128>,
}

impl<'a> Forecast<'a> {
    #[must_use]
    pub fn new(window: &'a Window) -> Self {
        Self { window, rows: BTreeMap::new(), totals: BTreeMap::new() }
    }

    pub fn add(&mut self, charge: UpcomingCharge) {
        *self.totals.entry(charge.amount.currency).or_default() += i128::from(charge.amount.amount);
        let key = charge.key();
        if let Some(SortValue::Text(after)) = self.window.after.as_ref().map(|after| &after.value)
            && key <= *after
        {
            return;
        }
        self.rows.insert(key, charge);
        // Keep one row more than the page, to know whether there is a next page.
        if i64::try_from(self.rows.len()).is_ok_and(|rows| rows > self.window.limit + 1) {
            self.rows.pop_last();
        }
    }

    /// Returns the page, and the total of all charges in each currency.
    ///
    /// # Errors
    /// A total is out of range.
    pub fn finish(self) -> Result<(Page<UpcomingCharge>, Vec<Money>), Refusal> {
        let total = |(currency, sum)| Ok(Money { amount: in_range(sum)?, currency });
        let totals = self.totals.into_iter().map(total).collect::<Result<_, Refusal>>()?;
        let rows = self.rows.into_iter().collect();
        let page = Page::cut(rows, self.window.limit, |(key, charge): &(String, UpcomingCharge)| Position {
            value: SortValue::Text(key.clone()),
            id: charge.subscription_id.0,
        });
        Ok((page.map(|(_, charge)| charge), totals))
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub struct UpcomingFilter {
    pub customer_id: Option<CustomerId>,
    /// The reseller that manages the customers.
    pub partner_id: Option<ResellerId>,
    /// Inclusive.
    pub from: Option<NaiveDate>,
    /// Exclusive.
    pub to: Option<NaiveDate>,
}
