//! Lists: filters, sort orders and pages.

use std::io::{self, Write};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::authorization::Role;
use crate::domain::billing::invoice::InvoiceStatus;
use crate::domain::billing::order::{ChargeStatus, OrderKind};
use crate::domain::catalog::product::ProductStatus;
use crate::domain::credentials::api_key::ApiKeyStatus;
use crate::domain::events::EventType;
use crate::domain::events::audit::Outcome;
use crate::domain::id::{CustomerId, InvoiceNumber, ProductId, ResellerId, SubscriptionId};
use crate::domain::label::label;
use crate::domain::money::Currency;
use crate::domain::parties::customer::CustomerStatus;
use crate::domain::parties::reseller::ResellerStatus;
use crate::domain::subscription::SubscriptionStatus;
use crate::domain::text::{Country, ExternalId, SearchText};
use crate::domain::webhooks::WebhookEndpointStatus;
use crate::domain::webhooks::delivery::DeliveryStatus;

label! {
    /// Sort order of companies: by name or by creation, descending with `-`. Rows with the same value are sorted by id.
    CompanySort {
        NameAscending = "company_name",
        NameDescending = "-company_name",
        CreatedAscending = "created_at",
        CreatedDescending = "-created_at",
    }
}

label! {
    /// Sort order of subscriptions: by the end of the term or by creation, descending with `-`. Rows with the same
    /// value are sorted by id.
    SubscriptionSort {
        EndAscending = "end_date",
        EndDescending = "-end_date",
        CreatedAscending = "created_at",
        CreatedDescending = "-created_at",
    }
}

/// The position of a row in a list: its sort value and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// [`SortValue::Id`] for lists that are sorted by id.
    pub value: SortValue,
    pub id: Uuid,
}

/// A value that a list is sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortValue {
    /// A name or a code.
    Text(String),
    Instant(DateTime<Utc>),
    Date(NaiveDate),
    Number(i32),
    /// The list is sorted by the id itself.
    Id,
}

/// The requested part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The maximum number of rows.
    pub limit: i64,
    /// Start after this row.
    pub after: Option<Position>,
}

/// The maximum size of the rows of a page, in bytes. With the rest of the page, a response stays below 1 MiB.
pub const PAGE_BYTES: usize = (1 << 20) - (8 << 10);

/// The size of a value as JSON, in bytes.
#[must_use]
pub fn json_size(value: &impl Serialize) -> usize {
    let mut size = Size(0);
    // Counting cannot fail. A value that cannot be serialized fails when the response is written.
    let _ = serde_json::to_writer(&mut size, value);
    size.0
}

/// Returns how many of the first rows fit into a page, given their sizes. One row always fits.
pub fn fitting(sizes: impl IntoIterator<Item = usize>) -> usize {
    let mut all = 0;
    let fits = |size: &usize| {
        all += size;
        all <= PAGE_BYTES
    };
    sizes.into_iter().take_while(fits).count().max(1)
}

/// Counts written bytes.
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

/// Reads a page whose rows can be large: first a few rows, then as many as fit according to their average size. So
/// hardly more rows are read than the page contains.
#[derive(Debug)]
pub struct Reading {
    limit: i64,
    rows: i64,
    bytes: usize,
}

impl Reading {
    /// The number of rows to read first.
    const FIRST: i64 = 20;

    /// A page of at most `limit` rows.
    #[must_use]
    pub fn new(limit: i64) -> Self {
        Self { limit, rows: 0, bytes: 0 }
    }

    /// Returns how many rows to read next; `None` when the page is full.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        let room = PAGE_BYTES.saturating_sub(self.bytes);
        let average = self.bytes / usize::try_from(self.rows.max(1)).unwrap_or(1);
        let fit =
            if self.rows == 0 { Self::FIRST } else { i64::try_from(room / average.max(1)).unwrap_or(i64::MAX).max(1) };
        Some(fit.min(self.limit - self.rows)).filter(|rows| *rows > 0 && room > 0)
    }

    /// Records the sizes of the rows that were read.
    pub fn note(&mut self, sizes: impl IntoIterator<Item = usize>) {
        for size in sizes {
            self.rows += 1;
            self.bytes += size;
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// The position of the last row, if there are more rows.
    pub next: Option<Position>,
    /// The position of each row.
    positions: Vec<Position>,
}

impl<T> Page<T> {
    /// An empty page, with no next page.
    #[must_use]
    pub fn empty() -> Self {
        Self { rows: Vec::new(), next: None, positions: Vec::new() }
    }

    /// Creates a page from up to `limit + 1` rows. The extra row only shows that there is a next page.
    pub fn cut(mut rows: Vec<T>, limit: i64, position: impl Fn(&T) -> Position) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let positions: Vec<_> = rows.iter().map(position).collect();
        let next = positions.last().filter(|_| more).cloned();
        Self { rows, next, positions }
    }

    /// Keeps the first `rows` rows. The removed rows are on the next page.
    #[must_use]
    pub fn first(mut self, rows: usize) -> Self {
        if rows < self.rows.len() {
            self.rows.truncate(rows);
            self.positions.truncate(rows);
            self.next = self.positions.last().cloned();
        }
        self
    }

    /// Appends the next page.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.rows.extend(next.rows);
        self.positions.extend(next.positions);
        Self { next: next.next, ..self }
    }

    /// Replaces the rows by as many other rows at the same positions.
    pub fn with_rows<U>(self, rows: Vec<U>) -> Page<U> {
        Page { rows, next: self.next, positions: self.positions }
    }

    /// Converts each row. The positions stay the same.
    pub fn map<U>(mut self, change: impl FnMut(T) -> U) -> Page<U> {
        let rows = std::mem::take(&mut self.rows).into_iter().map(change).collect();
        self.with_rows(rows)
    }

    /// Converts each row. The positions stay the same.
    ///
    /// # Errors
    /// The first error of `change`.
    pub fn try_map<U, E>(mut self, change: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let rows = std::mem::take(&mut self.rows).into_iter().map(change).collect::<Result<_, E>>()?;
        Ok(self.with_rows(rows))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResellerFilter {
    /// The name contains this text.
    pub q: Option<SearchText>,
    /// An empty list means all states.
    pub status: Vec<ResellerStatus>,
    pub external_id: Option<ExternalId>,
}

#[derive(Debug, Clone, Default)]
pub struct ApiKeyFilter {
    /// An empty list means all states.
    pub status: Vec<ApiKeyStatus>,
    /// An empty list means all roles.
    pub role: Vec<Role>,
    pub partner_id: Option<ResellerId>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomerFilter {
    /// The name contains this text.
    pub q: Option<SearchText>,
    pub partner_id: Option<ResellerId>,
    /// An empty list means all states.
    pub status: Vec<CustomerStatus>,
    pub country: Option<Country>,
    pub external_id: Option<ExternalId>,
    /// Inclusive.
    pub created_after: Option<DateTime<Utc>>,
    /// Exclusive.
    pub created_before: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductFilter {
    /// The name contains this text.
    pub q: Option<SearchText>,
    /// An empty list means all states.
    pub status: Vec<ProductStatus>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceListFilter {
    /// The name contains this text.
    pub q: Option<SearchText>,
    pub currency: Option<Currency>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriptionFilter {
    pub customer_id: Option<CustomerId>,
    /// The reseller that manages the customers.
    pub partner_id: Option<ResellerId>,
    pub product_id: Option<ProductId>,
    /// An empty list means all states.
    pub status: Vec<SubscriptionStatus>,
    pub auto_renew: Option<bool>,
    /// Inclusive end of the term.
    pub ends_after: Option<NaiveDate>,
    /// Exclusive end of the term.
    pub ends_before: Option<NaiveDate>,
}

/// Which subscriptions to include.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// One subscription.
    Its(SubscriptionId),
    /// The subscriptions of a customer.
    OfCustomer(CustomerId),
    /// All visible subscriptions.
    Everyones,
}

impl From<Option<CustomerId>> for Whose {
    fn from(customer_id: Option<CustomerId>) -> Self {
        customer_id.map_or(Self::Everyones, Self::OfCustomer)
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

#[derive(Debug, Clone, Default)]
pub struct InvoiceFilter {
    pub customer_id: Option<CustomerId>,
    /// An empty list means all states.
    pub status: Vec<InvoiceStatus>,
    pub number: Option<InvoiceNumber>,
    /// Inclusive.
    pub created_after: Option<DateTime<Utc>>,
    /// Exclusive.
    pub created_before: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// The tenant of the actor.
    pub partner_id: Option<ResellerId>,
    /// `api_key:<id>` or `subject:<subject>`.
    pub actor: Option<String>,
    /// The `operationId`.
    pub operation: Option<String>,
    /// The resource in the path of the request, or a resource that it changed.
    pub resource_id: Option<Uuid>,
    pub request_id: Option<String>,
    /// An empty list means all outcomes.
    pub outcome: Vec<Outcome>,
    /// Inclusive.
    pub occurred_after: Option<DateTime<Utc>>,
    /// Exclusive.
    pub occurred_before: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default)]
pub struct WebhookEndpointFilter {
    pub partner_id: Option<ResellerId>,
    /// An empty list means all states.
    pub status: Vec<WebhookEndpointStatus>,
}

#[derive(Debug, Clone, Default)]
pub struct WebhookDeliveryFilter {
    /// An empty list means all states.
    pub status: Vec<DeliveryStatus>,
    /// An empty list means all event types.
    pub event_type: Vec<EventType>,
}
