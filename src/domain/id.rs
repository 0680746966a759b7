//! Identifiers (UUID v7) and versions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[derive(ToSchema, diesel_derive_newtype::DieselNewType)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

id! {
    /// Identifies a reseller.
    ResellerId,
    /// Identifies a customer.
    CustomerId,
    /// Identifies a product.
    ProductId,
    /// Identifies a price list.
    PriceListId,
    /// Identifies a subscription.
    SubscriptionId,
    /// Identifies an order.
    OrderId,
    /// Identifies a charge.
    ChargeId,
    /// Identifies an invoice.
    InvoiceId,
    /// Identifies an allocation.
    AllocationId,
    /// Identifies an entry of the inventory ledger.
    LedgerEntryId,
    /// Identifies an event.
    EventId,
    /// Identifies an entry of the audit trail.
    AuditEntryId,
    /// Identifies an API key. This is not the secret.
    ApiKeyId,
    /// Identifies a webhook endpoint.
    WebhookEndpointId,
    /// Identifies a delivery to a webhook endpoint.
    WebhookDeliveryId,
}

/// The smallest id that can be created at an instant. Ids that are created later are greater.
#[must_use]
pub fn first_at(at: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0).to_be_bytes();
    let mut id = [0; 16];
    id[..6].copy_from_slice(&millis[2..]);
    Uuid::from_bytes(id)
}

/// The version of a resource: 1 at creation, and one more with each change. It is the resource's `ETag`.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
    diesel_derive_newtype::DieselNewType,
)]
#[serde(transparent)]
#[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64, example = 1)]
pub struct Version(pub i64);

impl Version {
    pub const FIRST: Self = Self(1);

    /// The version after the next change.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The number of an invoice, for example `INV-2027-000001`: starts at 1 in each year, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InvoiceNumber {
    /// The year in which the invoice was issued.
    pub year: i32,
    /// The position in the year, 1 to 999,999,999.
    pub sequence: i32,
}

/// The text is not an invoice number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an invoice number such as INV-2027-000001")]
pub struct NotAnInvoiceNumber(String);

impl std::fmt::Display for InvoiceNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "INV-{:04}-{:06}", self.year, self.sequence)
    }
}

impl From<InvoiceNumber> for String {
    fn from(number: InvoiceNumber) -> Self {
        number.to_string()
    }
}

impl std::str::FromStr for InvoiceNumber {
    type Err = NotAnInvoiceNumber;

    fn from_str(text: &str) -> Result<Self, NotAnInvoiceNumber> {
        let parts = text.strip_prefix("INV-").and_then(|rest| rest.split_once('-'));
        let number = parts
            .and_then(|(year, sequence)| Some(Self { year: year.parse().ok()?, sequence: sequence.parse().ok()? }));
        // Accept only the canonical form: no sign, no extra zeros.
        let is_sane = |number: &Self| (0..=999_999_999).contains(&number.sequence) && number.to_string() == text;
        number.filter(is_sane).ok_or_else(|| NotAnInvoiceNumber(text.to_owned()))
    }
}

impl TryFrom<String> for InvoiceNumber {
    type Error = NotAnInvoiceNumber;

    fn try_from(text: String) -> Result<Self, NotAnInvoiceNumber> {
        text.parse()
    }
}

impl PartialSchema for InvoiceNumber {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(15))
            .max_length(Some(18))
            .pattern(Some("^INV-[0-9]{4}-([0-9]{6}|[1-9][0-9]{6,8})$"))
            .examples(["INV-2027-000001"])
            .into()
    }
}

impl ToSchema for InvoiceNumber {}
