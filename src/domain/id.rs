//! Identifiers (UUID v7) and versions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
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
    /// Identifies an allocation.
    AllocationId,
    /// Identifies an entry of the inventory ledger.
    LedgerEntryId,
    /// Identifies an API key; it is not the secret.
    ApiKeyId,
}

/// How often a resource has changed, from 1. It is the resource's `ETag`.
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
    /// The version of a resource that was just created.
    pub const FIRST: Self = Self(1);

    /// The version after one more change.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
