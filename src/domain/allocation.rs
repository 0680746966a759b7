//! Allocations: certificates in use, under a reference of the caller's.

use chrono::{DateTime, Utc};

use super::id::{AllocationId, SubscriptionId};
use super::label::label;
use super::text::{Code, Reference};

label! {
    /// State of an allocation. `open`: its certificates are in use; `released`: they were given back.
    /// Expect more values.
    AllocationStatus {
        /// In use.
        Open = "open",
        /// Given back.
        Released = "released",
    }
}

/// Certificates in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Its id.
    pub id: AllocationId,
    /// Of which subscription.
    pub subscription_id: SubscriptionId,
    /// Of which type.
    pub certificate_type: Code,
    /// How many.
    pub quantity: i32,
    /// The caller's own reference; unique in the subscription while open.
    pub reference: Reference,
    /// When they were put to use.
    pub created_at: DateTime<Utc>,
    /// When they were given back.
    pub released_at: Option<DateTime<Utc>>,
}

impl Allocation {
    /// Its state.
    #[must_use]
    pub fn status(&self) -> AllocationStatus {
        if self.released_at.is_some() { AllocationStatus::Released } else { AllocationStatus::Open }
    }

    /// Whether a request asks for just this allocation again.
    #[must_use]
    pub fn is_same_as(&self, certificate_type: &Code, quantity: i32) -> bool {
        self.certificate_type == *certificate_type && self.quantity == quantity
    }
}
