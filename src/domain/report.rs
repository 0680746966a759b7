//! Reports: the rows in which subscriptions, transactions and usage are looked at from outside, and what
//! they can be limited to.

use chrono::{DateTime, NaiveDate, Utc};

use super::id::{CustomerId, OrderId, ProductId, ResellerId, SubscriptionId};
use super::inventory;
use super::money::Money;
use super::order::{OrderKind, OrderLine};
use super::subscription::SubscriptionStatus;
use super::text::{Code, CompanyName, Line};

/// Whose something is: the customer's, and the reseller's that manages it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The customer.
    pub customer_id: CustomerId,
    /// Its name.
    pub customer_name: CompanyName,
    /// The reseller; `None` when the partner manages the customer.
    pub reseller_id: Option<ResellerId>,
    /// Its name.
    pub reseller_name: Option<CompanyName>,
}

/// What something is about: the product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sold {
    /// The product.
    pub id: ProductId,
    /// Its stable name.
    pub code: Code,
    /// Its name.
    pub name: Line,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// The subscription.
    pub id: SubscriptionId,
    /// Whose it is.
    pub holder: Holder,
    /// To what.
    pub product: Sold,
    /// Its state.
    pub status: SubscriptionStatus,
    /// The length of a term.
    pub term_months: i32,
    /// The first day of the term.
    pub start_date: NaiveDate,
    /// The day after its last.
    pub end_date: NaiveDate,
    /// What the term costs so far: its charges, without the voided ones.
    pub cost: Money,
    /// When it was confirmed.
    pub created_at: DateTime<Utc>,
    /// Who changed it last: `api_key:<id>`, `subject:<subject>` or `system`.
    pub updated_by: String,
    /// When.
    pub updated_at: DateTime<Utc>,
    /// Its inventory.
    pub lines: Vec<inventory::Line>,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRow {
    /// The order.
    pub order_id: OrderId,
    /// Which of its lines, from 0.
    pub position: i32,
    /// Whose it is.
    pub holder: Holder,
    /// What was ordered.
    pub product: Sold,
    /// For which subscription.
    pub subscription_id: SubscriptionId,
    /// What the order changed.
    pub kind: OrderKind,
    /// What the line did.
    pub line: OrderLine,
    /// Who confirmed the order.
    pub confirmed_by: String,
    /// When.
    pub confirmed_at: DateTime<Utc>,
}

/// The certificates of one type in a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The subscription.
    pub subscription_id: SubscriptionId,
    /// Whose it is.
    pub holder: Holder,
    /// To what.
    pub product: Sold,
    /// Its state.
    pub status: SubscriptionStatus,
    /// The day after the last of its term.
    pub end_date: NaiveDate,
    /// How many there are.
    pub line: inventory::Line,
}

impl SubscriptionRow {
    /// Certificates usable now, of all types.
    #[must_use]
    pub fn current_quantity(&self) -> i64 {
        self.lines.iter().map(|line| i64::from(line.current)).sum()
    }

    /// Certificates that the next term starts with, of all types.
    #[must_use]
    pub fn renewal_quantity(&self) -> i64 {
        self.lines.iter().map(|line| i64::from(line.effective_renewal())).sum()
    }

    /// Certificates in use, of all types.
    #[must_use]
    pub fn used_quantity(&self) -> i64 {
        self.lines.iter().map(|line| i64::from(line.used)).sum()
    }
}

/// What every report can be limited to.
#[derive(Debug, Clone, Copy, Default)]
pub struct About {
    /// The customers of a reseller.
    pub partner_id: Option<ResellerId>,
    /// A customer.
    pub customer_id: Option<CustomerId>,
    /// A product.
    pub product_id: Option<ProductId>,
}

/// Which subscriptions.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionReportFilter {
    /// Whose, and to what.
    pub about: About,
    /// In one of these states; all when empty.
    pub status: Vec<SubscriptionStatus>,
    /// The term ends on or after.
    pub ends_after: Option<NaiveDate>,
    /// The term ends before.
    pub ends_before: Option<NaiveDate>,
    /// Confirmed at or after.
    pub ordered_after: Option<DateTime<Utc>>,
    /// Confirmed before.
    pub ordered_before: Option<DateTime<Utc>>,
}

/// Which transactions.
#[derive(Debug, Clone, Default)]
pub struct TransactionReportFilter {
    /// Whose, and of what.
    pub about: About,
    /// One of these kinds; all when empty.
    pub kind: Vec<OrderKind>,
    /// At or after.
    pub confirmed_after: Option<DateTime<Utc>>,
    /// Before.
    pub confirmed_before: Option<DateTime<Utc>>,
}

/// The usage of which subscriptions.
#[derive(Debug, Clone, Default)]
pub struct UsageReportFilter {
    /// Whose, and to what.
    pub about: About,
    /// In one of these states; all when empty.
    pub status: Vec<SubscriptionStatus>,
    /// The term ends on or after.
    pub ends_after: Option<NaiveDate>,
    /// The term ends before.
    pub ends_before: Option<NaiveDate>,
}
