//! Reports: flat rows of subscriptions, transactions and usage, with their filters.

use chrono::{DateTime, NaiveDate, Utc};

use crate::domain::billing::order::{OrderKind, OrderLine};
use crate::domain::id::{CustomerId, OrderId, ProductId, ResellerId, SubscriptionId};
use crate::domain::money::Money;
use crate::domain::subscription::SubscriptionStatus;
use crate::domain::subscription::inventory;
use crate::domain::text::{Code, CompanyName, Line};

/// The customer, and the reseller that manages it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub customer_id: CustomerId,
    pub customer_name: CompanyName,
    /// `None` if the provider manages the customer directly.
    pub reseller_id: Option<ResellerId>,
    pub reseller_name: Option<CompanyName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sold {
    pub id: ProductId,
    pub code: Code,
    pub name: Line,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRow {
    pub id: SubscriptionId,
    pub holder: Holder,
    pub product: Sold,
    pub status: SubscriptionStatus,
    /// The length of a term, in months.
    pub term_months: i32,
    pub start_date: NaiveDate,
    /// The day after the last day of the term.
    pub end_date: NaiveDate,
    /// The cost of the term so far: its charges, except the voided ones.
    pub cost: Money,
    /// When the subscription was ordered.
    pub created_at: DateTime<Utc>,
    /// Who made the last change: `api_key:<id>`, `subject:<subject>` or `system`.
    pub updated_by: String,
    pub updated_at: DateTime<Utc>,
    pub lines: Vec<inventory::Line>,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRow {
    pub order_id: OrderId,
    /// The index of the line, from 0.
    pub position: i32,
    pub holder: Holder,
    pub product: Sold,
    pub subscription_id: SubscriptionId,
    pub kind: OrderKind,
    pub line: OrderLine,
    pub confirmed_by: String,
    pub confirmed_at: DateTime<Utc>,
}

/// The usage of one certificate type of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    pub subscription_id: SubscriptionId,
    pub holder: Holder,
    pub product: Sold,
    pub status: SubscriptionStatus,
    /// The day after the last day of the term.
    pub end_date: NaiveDate,
    pub line: inventory::Line,
}

impl SubscriptionRow {
    /// Certificates of all types that are usable now.
    #[must_use]
    pub fn current_quantity(&self) -> i64 {
        self.lines.iter().map(|line| i64::from(line.current)).sum()
    }

    /// Certificates of all types at the start of the next term.
    #[must_use]
    pub fn renewal_quantity(&self) -> i64 {
        self.lines.iter().map(|line| i64::from(line.effective_renewal())).sum()
    }

    /// Certificates of all types in use.
    #[must_use]
    pub fn used_quantity(&self) -> i64 {
        self.lines.iter().map(|line| i64::from(line.used)).sum()
    }
}

/// Filters that all reports have.
#[derive(Debug, Clone, Copy, Default)]
pub struct About {
    /// The reseller that manages the customers.
    pub partner_id: Option<ResellerId>,
    pub customer_id: Option<CustomerId>,
    pub product_id: Option<ProductId>,
}

#[derive(Debug, Clone, Default)]
pub struct SubscriptionReportFilter {
    pub about: About,
    /// An empty list means all states.
    pub status: Vec<SubscriptionStatus>,
    /// Inclusive end of the term.
    pub ends_after: Option<NaiveDate>,
    /// Exclusive end of the term.
    pub ends_before: Option<NaiveDate>,
    /// Inclusive.
    pub ordered_after: Option<DateTime<Utc>>,
    /// Exclusive.
    pub ordered_before: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default)]
pub struct TransactionReportFilter {
    pub about: About,
    /// An empty list means all kinds.
    pub kind: Vec<OrderKind>,
    /// Inclusive.
    pub confirmed_after: Option<DateTime<Utc>>,
    /// Exclusive.
    pub confirmed_before: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default)]
pub struct UsageReportFilter {
    pub about: About,
    /// An empty list means all states.
    pub status: Vec<SubscriptionStatus>,
    /// Inclusive end of the term.
    pub ends_after: Option<NaiveDate>,
    /// Exclusive end of the term.
    pub ends_before: Option<NaiveDate>,
}
