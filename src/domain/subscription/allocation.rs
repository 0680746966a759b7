//! Allocations: certificates in use, each under a reference of the caller.

use chrono::{DateTime, Utc};

use crate::domain::id::{AllocationId, SubscriptionId};
use crate::domain::label::label;
use crate::domain::text::{Code, Reference};

label! {
    /// State of an allocation. `open`: its certificates are in use; `released`: its certificates were returned to the
    /// inventory. More values may be added.
    AllocationStatus {
        Open = "open",
        Released = "released",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    pub id: AllocationId,
    pub subscription_id: SubscriptionId,
    pub certificate_type: Code,
    pub quantity: i32,
    /// Unique among the open allocations of the subscription.
    pub reference: Reference,
    pub created_at: DateTime<Utc>,
    pub released_at: Option<DateTime<Utc>>,
}

impl Allocation {
    #[must_use]
    pub fn status(&self) -> AllocationStatus {
        if self.released_at.is_some() { AllocationStatus::Released } else { AllocationStatus::Open }
    }

    /// Whether a request repeats this allocation with the same type and quantity.
    #[must_use]
    pub fn is_same_as(&self, certificate_type: &Code, quantity: i32) -> bool {
        self.certificate_type == *certificate_type && self.quantity == quantity
    }
}
