//! Orders and charges: the record of what was confirmed, and what of it costs money.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::id::{ChargeId, CustomerId, InvoiceId, OrderId, PriceListId, ProductId, SubscriptionId};
use super::label::label;
use super::money::Money;
use super::proration::Calculation;
use super::quote::Quote;
use super::subscription::Subscription;
use super::text::Code;

label! {
    /// What an order changed: `add_subscriptions`, `current_inventory`, `renewal_inventory`, `renewal`
    /// of a term, or `cancellation` of a pending subscription. Expect more values.
    OrderKind {
        /// New subscriptions.
        AddSubscriptions = "add_subscriptions",
        /// More certificates now.
        CurrentInventory = "current_inventory",
        /// Other quantities for the next term.
        RenewalInventory = "renewal_inventory",
        /// A new term.
        Renewal = "renewal",
        /// A subscription that never started.
        Cancellation = "cancellation",
    }
}

label! {
    /// Which inventory a line changes: `current` or `renewal`. Expect more values.
    Bucket {
        /// Usable now.
        Current = "current",
        /// Usable after the next renewal.
        Renewal = "renewal",
    }
}

label! {
    /// State of a charge: `pending` until an invoice takes it, then `invoiced`; `voided` when its
    /// subscription was cancelled. Expect more values.
    ChargeStatus {
        /// Not yet on an invoice.
        Pending = "pending",
        /// On an invoice.
        Invoiced = "invoiced",
        /// Never to be paid.
        Voided = "voided",
    }
}

/// One change of one quantity, with what it costs. A quote and an order have the same lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderLine {
    /// The subscription; `None` in a quote for a new one.
    pub subscription_id: Option<SubscriptionId>,
    /// Which of the request's new subscriptions.
    pub subscription_index: Option<i32>,
    /// The product.
    pub product_id: ProductId,
    /// The certificate type.
    pub certificate_type: Code,
    /// Which inventory.
    pub bucket: Bucket,
    /// What it was; `None` when the renewal quantity followed the current one.
    pub quantity_before: Option<i32>,
    /// What it will be; `None` when the renewal quantity follows the current one.
    pub quantity_after: Option<i32>,
    /// How the amount comes about; `None` when nothing is charged.
    pub calculation: Option<Calculation>,
    /// The price list that the unit price comes from; `None` when it is the product's own.
    pub price_list_id: Option<PriceListId>,
    /// What it costs; may be 0.
    pub amount: Money,
    /// When the charge is due: the first day that is paid for.
    pub due_date: NaiveDate,
}

impl OrderLine {
    /// How many certificates it is about: those that are paid for or, where nothing is, by how many the
    /// quantity changes; `None` where the renewal quantity begins or stops to follow the current one.
    #[must_use]
    pub fn certificates(&self) -> Option<i32> {
        match &self.calculation {
            Some(calculation) => Some(calculation.quantity),
            None => Some(self.quantity_after? - self.quantity_before?),
        }
    }
}

/// The record of a confirmed change; never edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// What it changed.
    pub kind: OrderKind,
    /// For whom.
    pub customer_id: CustomerId,
    /// What exactly.
    pub lines: Vec<OrderLine>,
    /// The sum of the lines.
    pub total: Money,
    /// Who confirmed it: `api_key:<id>`, `subject:<subject>` or `system`.
    pub confirmed_by: String,
    /// When.
    pub confirmed_at: DateTime<Utc>,
}

/// What is to be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Its id.
    pub id: ChargeId,
    /// The order that it comes from.
    pub order_id: OrderId,
    /// Who pays.
    pub customer_id: CustomerId,
    /// For which subscription.
    pub subscription_id: SubscriptionId,
    /// For which certificate type.
    pub certificate_type: Code,
    /// How the amount comes about.
    pub calculation: Calculation,
    /// What is to be paid.
    pub amount: Money,
    /// When.
    pub due_date: NaiveDate,
    /// Its state.
    pub status: ChargeStatus,
    /// The invoice that took it.
    pub invoice_id: Option<InvoiceId>,
}

impl Order {
    /// The record that a quote was confirmed for these subscriptions.
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

    /// The charges of the order: its lines with an amount other than 0.
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
