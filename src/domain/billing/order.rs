//! Orders and charges: the record of confirmed changes, and their cost.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::domain::billing::proration::Calculation;
use crate::domain::billing::quote::Quote;
use crate::domain::id::{ChargeId, CustomerId, InvoiceId, OrderId, PriceListId, ProductId, ResellerId, SubscriptionId};
use crate::domain::label::label;
use crate::domain::money::Money;
use crate::domain::subscription::Subscription;
use crate::domain::text::Code;

label! {
    /// What an order changed: `add_subscriptions`, `current_inventory`, `renewal_inventory`, `renewal` of a term, or
    /// `cancellation` of a pending subscription. More values may be added.
    OrderKind {
        AddSubscriptions = "add_subscriptions",
        CurrentInventory = "current_inventory",
        RenewalInventory = "renewal_inventory",
        Renewal = "renewal",
        Cancellation = "cancellation",
    }
}

label! {
    /// The inventory that a line changes: `current` or `renewal`. More values may be added.
    Bucket {
        Current = "current",
        Renewal = "renewal",
    }
}

label! {
    /// State of a charge. `pending`: not on an invoice yet; `invoiced`: on an invoice; `voided`: its subscription was
    /// cancelled. More values may be added.
    ChargeStatus {
        Pending = "pending",
        Invoiced = "invoiced",
        Voided = "voided",
    }
}

/// One change of one quantity, with its cost. Quotes and orders have the same lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderLine {
    /// `None` in a quote for a new subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// The index of the new subscription in the request.
    pub subscription_index: Option<i32>,
    pub product_id: ProductId,
    pub certificate_type: Code,
    pub bucket: Bucket,
    /// `None` if the renewal quantity followed the current quantity.
    pub quantity_before: Option<i32>,
    /// `None` if the renewal quantity follows the current quantity.
    pub quantity_after: Option<i32>,
    /// The calculation of the amount; `None` if nothing is charged.
    pub calculation: Option<Calculation>,
    /// The source of the unit price; `None` for the product's own price.
    pub price_list_id: Option<PriceListId>,
    /// The cost; may be 0.
    pub amount: Money,
    /// The first day that is paid for.
    pub due_date: NaiveDate,
}

impl OrderLine {
    /// The number of certificates of the line: the paid certificates or, if nothing is charged, the change of the
    /// quantity. `None` if the renewal quantity starts or stops following the current quantity.
    #[must_use]
    pub fn certificates(&self) -> Option<i32> {
        match &self.calculation {
            Some(calculation) => Some(calculation.quantity),
            None => Some(self.quantity_after? - self.quantity_before?),
        }
    }
}

/// The record of a confirmed change. It is never edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: OrderId,
    pub kind: OrderKind,
    pub customer_id: CustomerId,
    pub lines: Vec<OrderLine>,
    /// The sum of the lines.
    pub total: Money,
    /// `api_key:<id>`, `subject:<subject>` or `system`.
    pub confirmed_by: String,
    pub confirmed_at: DateTime<Utc>,
}

/// An amount that a customer has to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub id: ChargeId,
    pub order_id: OrderId,
    pub customer_id: CustomerId,
    pub subscription_id: SubscriptionId,
    pub certificate_type: Code,
    /// The calculation of the amount.
    pub calculation: Calculation,
    pub amount: Money,
    pub due_date: NaiveDate,
    pub status: ChargeStatus,
    /// The invoice that contains the charge.
    pub invoice_id: Option<InvoiceId>,
}

impl Order {
    /// Creates the order for a confirmed quote.
    #[must_use]
    pub fn confirm(
        id: OrderId,
        customer_id: CustomerId,
        quote: Quote,
        subscriptions: &[Subscription],
        confirmed_by: String,
        at: DateTime<Utc>,
    ) -> Self {
        let lines = quote.lines.into_iter().map(|line| {
            let index = line.subscription_index.and_then(|index| usize::try_from(index).ok()).unwrap_or(0);
            let opened = subscriptions.get(index).map(|subscription| subscription.id);
            OrderLine { subscription_id: line.subscription_id.or(opened), ..line }
        });
        Self {
            id,
            kind: quote.kind,
            customer_id,
            lines: lines.collect(),
            total: quote.total,
            confirmed_by,
            confirmed_at: at,
        }
    }

    /// Creates the charges of the order: one for each line with an amount other than 0.
    pub fn charges(&self, mut new_id: impl FnMut() -> ChargeId) -> Vec<Charge> {
        let charged = self.lines.iter().filter(|line| line.amount.amount != 0);
        charged
            .filter_map(|line| {
                Some(Charge {
                    id: new_id(),
                    order_id: self.id,
                    customer_id: self.customer_id,
                    subscription_id: line.subscription_id?,
                    certificate_type: line.certificate_type.clone(),
                    calculation: line.calculation?,
                    amount: line.amount,
                    due_date: line.due_date,
                    status: ChargeStatus::Pending,
                    invoice_id: None,
                })
            })
            .collect()
    }
}

#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    pub customer_id: Option<CustomerId>,
    /// At least one line concerns this subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// An empty list means all kinds.
    pub kind: Vec<OrderKind>,
    /// Inclusive.
    pub confirmed_after: Option<DateTime<Utc>>,
    /// Exclusive.
    pub confirmed_before: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default)]
pub struct ChargeFilter {
    pub customer_id: Option<CustomerId>,
    /// The reseller that manages the customers.
    pub partner_id: Option<ResellerId>,
    /// An empty list means all states.
    pub status: Vec<ChargeStatus>,
    /// Inclusive.
    pub due_after: Option<NaiveDate>,
    /// Exclusive.
    pub due_before: Option<NaiveDate>,
}
