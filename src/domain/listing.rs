//! What lists can be asked for: filters, orders, and where the last page ended.

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

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where it ended, when there is more.
    pub next: Option<Position>,
}

impl<T> Page<T> {
    /// Cuts the page from rows of which one more than wanted was asked for.
    pub fn cut(mut rows: Vec<T>, limit: i64, position: impl Fn(&T) -> Position) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(position);
        Self { rows, next }
    }

    /// The page with other rows in the same places.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(change).collect(), next: self.next }
    }

    /// The page with other rows in the same places, if all can be made.
    ///
    /// # Errors
    /// The first that `change` answers.
    pub fn try_map<U, E>(self, change: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        Ok(Page { rows: self.rows.into_iter().map(change).collect::<Result<_, E>>()?, next: self.next })
    }
}

/// Which resellers.
#[derive(Debug, Clone, Default)]
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
#[derive(Debug, Clone, Default)]
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
#[derive(Debug, Clone, Default)]
pub struct ProductFilter {
    /// Name contains.
    pub q: Option<SearchText>,
    /// One of these states; all when empty.
    pub status: Vec<ProductStatus>,
}

/// Which price lists.
#[derive(Debug, Clone, Default)]
pub struct PriceListFilter {
    /// Name contains.
    pub q: Option<SearchText>,
    /// In this currency.
    pub currency: Option<Currency>,
}

/// Which subscriptions.
#[derive(Debug, Clone, Default)]
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
