//! What lists can be asked for: filters, orders, and where the last page ended.

use std::io::{self, Write};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::access::Role;
use super::api_key::ApiKeyStatus;
use super::audit::Outcome;
use super::customer::CustomerStatus;
use super::event::EventType;
use super::id::{CustomerId, InvoiceNumber, ProductId, ResellerId, SubscriptionId};
use super::invoice::InvoiceStatus;
use super::label::label;
use super::money::Currency;
use super::order::{ChargeStatus, OrderKind};
use super::product::ProductStatus;
use super::reseller::ResellerStatus;
use super::subscription::SubscriptionStatus;
use super::text::{Country, ExternalId, SearchText};
use super::webhook::WebhookEndpointStatus;
use super::webhook::delivery::DeliveryStatus;

label! {
    /// Order of companies: by name or by creation, descending with `-`. Ties are broken by id.
    CompanySort {
        /// A to Z.
        NameAscending = "company_name",
        /// Z to A.
        NameDescending = "-company_name",
        /// Oldest first.
        CreatedAscending = "created_at",
        /// Newest first.
        CreatedDescending = "-created_at",
    }
}

label! {
    /// Order of subscriptions: by the end of the term or by creation, descending with `-`. Ties are
    /// broken by id.
    SubscriptionSort {
        /// Ends soonest first.
        EndAscending = "end_date",
        /// Ends last first.
        EndDescending = "-end_date",
        /// Oldest first.
        CreatedAscending = "created_at",
        /// Newest first.
        CreatedDescending = "-created_at",
    }
}

/// Where a page ended: the sort value of its last row, and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The sort value; [`SortValue::Id`] where a list is in order of id.
    pub value: SortValue,
    /// The id.
    pub id: Uuid,
}

/// A value that lists are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortValue {
    /// A name or code.
    Text(String),
    /// An instant.
    Instant(DateTime<Utc>),
    /// A date.
    Date(NaiveDate),
    /// A number.
    Number(i32),
    /// The id itself.
    Id,
}

/// How much of a list is wanted, from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The most rows.
    pub limit: i64,
    /// Behind which row.
    pub after: Option<Position>,
}

/// The most bytes of the rows of a page: with the rest of it, a response stays below 1 MiB.
pub const PAGE_BYTES: usize = (1 << 20) - (8 << 10);

/// Bytes of a value as JSON.
#[must_use]
pub fn json_size(value: &impl Serialize) -> usize {
    let mut size = Size(0);
    // Counting cannot fail; what cannot be written fails where it is written.
    let _ = serde_json::to_writer(&mut size, value);
    size.0
}

/// How many of the first rows, by their sizes, fit into a page; one always does.
pub fn fitting(sizes: impl IntoIterator<Item = usize>) -> usize {
    let mut all = 0;
    let fits = |size: &usize| {
        all += size;
        all <= PAGE_BYTES
    };
    sizes.into_iter().take_while(fits).count().max(1)
}

/// Counts what is written.
struct Size(usize);

impl Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a page of rows that may be large is read: a few at first, then as many as fit by what those were, so that hardly
/// more is read than a page has.
#[derive(Debug)]
pub struct Reading {
    limit: i64,
    rows: i64,
    bytes: usize,
}

impl Reading {
    /// The rows that are read first.
    const FIRST: i64 = 20;

    /// A page of at most so many rows.
    #[must_use]
    pub fn new(limit: i64) -> Self {
        Self { limit, rows: 0, bytes: 0 }
    }

    /// How many rows are to be read next; none when the page is full.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        let room = PAGE_BYTES.saturating_sub(self.bytes);
        let average = self.bytes / usize::try_from(self.rows.max(1)).unwrap_or(1);
        let fit =
            if self.rows == 0 { Self::FIRST } else { i64::try_from(room / average.max(1)).unwrap_or(i64::MAX).max(1) };
        Some(fit.min(self.limit - self.rows)).filter(|rows| *rows > 0 && room > 0)
    }

    /// Notes rows that were read, by their sizes.
    pub fn note(&mut self, sizes: impl IntoIterator<Item = usize>) {
        for size in sizes {
            self.rows += 1;
            self.bytes += size;
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where it ended, when there is more.
    pub next: Option<Position>,
    /// Where each row stands.
    positions: Vec<Position>,
}

impl<T> Page<T> {
    /// A page without rows, and none behind it.
    #[must_use]
    pub fn empty() -> Self {
        Self { rows: Vec::new(), next: None, positions: Vec::new() }
    }

    /// Cuts the page from rows of which one more than wanted was asked for.
    pub fn cut(mut rows: Vec<T>, limit: i64, position: impl Fn(&T) -> Position) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let positions: Vec<_> = rows.iter().map(position).collect();
        let next = positions.last().filter(|_| more).cloned();
        Self { rows, next, positions }
    }

    /// The first rows of the page. The rows behind them are on the next page.
    #[must_use]
    pub fn first(mut self, rows: usize) -> Self {
        if rows < self.rows.len() {
            self.rows.truncate(rows);
            self.positions.truncate(rows);
            self.next = self.positions.last().cloned();
        }
        self
    }

    /// The page with those of the next one behind it.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.rows.extend(next.rows);
        self.positions.extend(next.positions);
        Self { next: next.next, ..self }
    }

    /// The page with other rows in the same places, as many as there are.
    pub fn with_rows<U>(self, rows: Vec<U>) -> Page<U> {
        Page { rows, next: self.next, positions: self.positions }
    }

    /// The page with other rows in the same places.
    pub fn map<U>(mut self, change: impl FnMut(T) -> U) -> Page<U> {
        let rows = std::mem::take(&mut self.rows).into_iter().map(change).collect();
        self.with_rows(rows)
    }

    /// The page with other rows in the same places, if all can be made.
    ///
    /// # Errors
    /// The first that `change` answers.
    pub fn try_map<U, E>(mut self, change: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let rows = std::mem::take(&mut self.rows).into_iter().map(change).collect::<Result<_, E>>()?;
        Ok(self.with_rows(rows))
    }
}

/// Which resellers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResellerFilter {
    /// Name contains.
    pub q: Option<SearchText>,
    /// One of these states; all when empty.
    pub status: Vec<ResellerStatus>,
    /// The caller's own reference.
    pub external_id: Option<ExternalId>,
}

/// Which API keys.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyFilter {
    /// In one of these states; all when empty.
    pub status: Vec<ApiKeyStatus>,
    /// With one of these roles; all when empty.
    pub role: Vec<Role>,
    /// Of a reseller.
    pub partner_id: Option<ResellerId>,
}

/// Which customers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomerFilter {
    /// Name contains.
    pub q: Option<SearchText>,
    /// Managed by.
    pub partner_id: Option<ResellerId>,
    /// One of these states; all when empty.
    pub status: Vec<CustomerStatus>,
    /// Country of the address.
    pub country: Option<Country>,
    /// The caller's own reference.
    pub external_id: Option<ExternalId>,
    /// At or after.
    pub created_after: Option<DateTime<Utc>>,
    /// Before.
    pub created_before: Option<DateTime<Utc>>,
}

/// Which products.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductFilter {
    /// Name contains.
    pub q: Option<SearchText>,
    /// One of these states; all when empty.
    pub status: Vec<ProductStatus>,
}

/// Which price lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceListFilter {
    /// Name contains.
    pub q: Option<SearchText>,
    /// In this currency.
    pub currency: Option<Currency>,
}

/// Which subscriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriptionFilter {
    /// Of a customer.
    pub customer_id: Option<CustomerId>,
    /// Of the customers of a reseller.
    pub partner_id: Option<ResellerId>,
    /// To a product.
    pub product_id: Option<ProductId>,
    /// In one of these states; all when empty.
    pub status: Vec<SubscriptionStatus>,
    /// Whether it renews by itself.
    pub auto_renew: Option<bool>,
    /// The term ends on or after.
    pub ends_after: Option<NaiveDate>,
    /// The term ends before.
    pub ends_before: Option<NaiveDate>,
}

/// Whose subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// This one.
    Its(SubscriptionId),
    /// Those of a customer.
    OfCustomer(CustomerId),
    /// All that are visible.
    Everyones,
}

impl From<Option<CustomerId>> for Whose {
    fn from(customer_id: Option<CustomerId>) -> Self {
        customer_id.map_or(Self::Everyones, Self::OfCustomer)
    }
}

/// Which orders.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    /// Of a customer.
    pub customer_id: Option<CustomerId>,
    /// With a line about a subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// One of these kinds; all when empty.
    pub kind: Vec<OrderKind>,
    /// At or after.
    pub confirmed_after: Option<DateTime<Utc>>,
    /// Before.
    pub confirmed_before: Option<DateTime<Utc>>,
}

/// Which upcoming charges.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpcomingFilter {
    /// Of a customer.
    pub customer_id: Option<CustomerId>,
    /// Of the customers of a reseller.
    pub partner_id: Option<ResellerId>,
    /// On or after.
    pub from: Option<NaiveDate>,
    /// Before.
    pub to: Option<NaiveDate>,
}

/// Which charges.
#[derive(Debug, Clone, Default)]
pub struct ChargeFilter {
    /// Of a customer.
    pub customer_id: Option<CustomerId>,
    /// Of the customers of a reseller.
    pub partner_id: Option<ResellerId>,
    /// In one of these states; all when empty.
    pub status: Vec<ChargeStatus>,
    /// On or after.
    pub due_after: Option<NaiveDate>,
    /// Before.
    pub due_before: Option<NaiveDate>,
}

/// Which invoices.
#[derive(Debug, Clone, Default)]
pub struct InvoiceFilter {
    /// Of a customer.
    pub customer_id: Option<CustomerId>,
    /// In one of these states; all when empty.
    pub status: Vec<InvoiceStatus>,
    /// With this number.
    pub number: Option<InvoiceNumber>,
    /// At or after.
    pub created_after: Option<DateTime<Utc>>,
    /// Before.
    pub created_before: Option<DateTime<Utc>>,
}

/// Which entries of the audit trail.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// By those of a reseller.
    pub partner_id: Option<ResellerId>,
    /// By one: `api_key:<id>` or `subject:<subject>`.
    pub actor: Option<String>,
    /// Of one operation.
    pub operation: Option<String>,
    /// About a resource: what the request was for, or what it changed.
    pub resource_id: Option<Uuid>,
    /// Of one request.
    pub request_id: Option<String>,
    /// With one of these ends; all when empty.
    pub outcome: Vec<Outcome>,
    /// At or after.
    pub occurred_after: Option<DateTime<Utc>>,
    /// Before.
    pub occurred_before: Option<DateTime<Utc>>,
}

/// Which webhook endpoints.
#[derive(Debug, Clone, Default)]
pub struct WebhookEndpointFilter {
    /// Of a reseller.
    pub partner_id: Option<ResellerId>,
    /// In one of these states; all when empty.
    pub status: Vec<WebhookEndpointStatus>,
}

/// Which deliveries to a webhook endpoint.
#[derive(Debug, Clone, Default)]
pub struct WebhookDeliveryFilter {
    /// In one of these states; all when empty.
    pub status: Vec<DeliveryStatus>,
    /// Of events of one of these types; all when empty.
    pub event_type: Vec<EventType>,
}
