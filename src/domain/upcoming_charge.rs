//! What is to be paid soon: charges that wait for an invoice, and renewals before they happen.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};

use super::id::{ChargeId, CustomerId, PriceListId, SubscriptionId};
use super::label::label;
use super::listing::{Page, Position, SortValue, Window};
use super::machine::Outcome;
use super::money::{Currency, Money, in_range};
use super::order::Charge;
use super::product::Product;
use super::proration::Calculation;
use super::quote;
use super::refusal::Refusal;
use super::subscription::{Command, Milestone, Subscription};
use super::text::Code;
use super::time::start_of;

label! {
    /// What an upcoming charge is: `pending`, it was ordered and waits for an invoice; `renewal`, it comes
    /// with the next term, as things stand. Expect more values.
    UpcomingKind {
        /// Ordered, and not on an invoice yet.
        Pending = "pending",
        /// Comes with the next term.
        Renewal = "renewal",
    }
}

/// What is to be paid soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpcomingCharge {
    /// What it is.
    pub kind: UpcomingKind,
    /// The charge, if there is one already.
    pub charge_id: Option<ChargeId>,
    /// Who pays.
    pub customer_id: CustomerId,
    /// For which subscription.
    pub subscription_id: SubscriptionId,
    /// For which certificate type.
    pub certificate_type: Code,
    /// How the amount comes about.
    pub calculation: Calculation,
    /// The price list that the unit price of a renewal comes from.
    pub price_list_id: Option<PriceListId>,
    /// What is to be paid.
    pub amount: Money,
    /// When.
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
    /// Sorts by day, then by customer, subscription and type.
    fn key(&self) -> String {
        let charge = self.charge_id.map(|id| id.to_string()).unwrap_or_default();
        let Self { due_date, customer_id, subscription_id, certificate_type, .. } = self;
        format!("{due_date} {customer_id} {subscription_id} {certificate_type} {charge}")
    }
}

/// What the renewals of a subscription before a day will cost, as things stand: the same steps that time will
/// take, by the same quote. `product` is as the customer is offered it.
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

/// Collects a page of upcoming charges in order of day, and the totals of all; keeps no more than the page.
pub struct Forecast<'a> {
    window: &'a Window,
    rows: BTreeMap<String, UpcomingCharge>,
    totals: BTreeMap<Currency, i128>,
}

impl<'a> Forecast<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new(window: &'a Window) -> Self {
        Self { window, rows: BTreeMap::new(), totals: BTreeMap::new() }
    }

    /// Takes one more in.
    pub fn add(&mut self, charge: UpcomingCharge) {
        *self.totals.entry(charge.amount.currency).or_default() += i128::from(charge.amount.amount);
        let key = charge.key();
        if let Some(SortValue::Text(after)) = self.window.after.as_ref().map(|after| &after.value)
            && key <= *after
        {
            return;
        }
        self.rows.insert(key, charge);
        // One more than the page has tells that there is a next one.
        if i64::try_from(self.rows.len()).is_ok_and(|rows| rows > self.window.limit + 1) {
            self.rows.pop_last();
        }
    }

    /// The page, and the total of everything in each currency.
    ///
    /// # Errors
    /// A total cannot be billed.
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
