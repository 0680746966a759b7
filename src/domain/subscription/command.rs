//! What can happen to a subscription: by request, or with time.

use crate::domain::access::Right;
use crate::domain::label::label;
use crate::domain::product::UnitPrices;
use crate::domain::text::{Code, Reason};

label! {
    /// What can happen to a subscription. The last three come with time, not by request.
    Action {
        /// Switch it off.
        Suspend = "suspend",
        /// Switch it on again.
        Enable = "enable",
        /// End it before it starts.
        Cancel = "cancel",
        /// Start a new term after a lapse.
        Renew = "renew",
        /// Switch automatic renewal.
        SetAutoRenew = "set_auto_renew",
        /// Raise the current inventory.
        AddCurrentInventory = "add_current_inventory",
        /// Set the renewal inventory.
        SetRenewalInventory = "set_renewal_inventory",
        /// Say from how few available certificates on a type is low.
        SetThresholds = "set_thresholds",
        /// Put certificates to use.
        Allocate = "allocate",
        /// Give certificates back.
        Release = "release",
        /// The first term starts.
        Activate = "activate",
        /// A term ends.
        EndTerm = "end_term",
        /// A lapse ends.
        Expire = "expire",
    }
}

/// What the `actions` of a subscription list: everything by request that has an operation of its own
/// or a field, but giving back, which is always possible.
pub const LISTED_ACTIONS: &[Action] = &[
    Action::Suspend,
    Action::Enable,
    Action::Cancel,
    Action::Renew,
    Action::SetAutoRenew,
    Action::AddCurrentInventory,
    Action::SetRenewalInventory,
    Action::SetThresholds,
    Action::Allocate,
];

/// What is to happen to a subscription.
#[derive(Debug, Clone)]
pub enum Command {
    /// Switch it off.
    Suspend {
        /// Why.
        reason: Option<Reason>,
    },
    /// Switch it on again.
    Enable,
    /// End it before it starts; it then holds nothing.
    Cancel {
        /// Why.
        reason: Option<Reason>,
    },
    /// Start a new term today, at these prices.
    Renew(UnitPrices),
    /// Raise the current inventory by so many of each type.
    AddCurrentInventory(Vec<(Code, i32)>),
    /// Set the renewal quantity of each type; `None` follows the current one.
    SetRenewalInventory(Vec<(Code, Option<i32>)>),
    /// Set the threshold of each type, of which there must be a line; `None`: never low.
    SetThresholds(Vec<(Code, Option<i32>)>),
    /// Put so many of a type to use.
    Allocate(Code, i32),
    /// Give so many of a type back.
    Release(Code, i32),
    /// The first day has come.
    Activate,
    /// The last day is over; the next term, if there is one, has these prices.
    EndTerm(UnitPrices),
    /// The lapse has lasted long enough.
    Expire,
}

impl Command {
    /// The kind of command.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Suspend { .. } => Action::Suspend,
            Self::Enable => Action::Enable,
            Self::Cancel { .. } => Action::Cancel,
            Self::Renew(_) => Action::Renew,
            Self::AddCurrentInventory(_) => Action::AddCurrentInventory,
            Self::SetRenewalInventory(_) => Action::SetRenewalInventory,
            Self::SetThresholds(_) => Action::SetThresholds,
            Self::Allocate(..) => Action::Allocate,
            Self::Release(..) => Action::Release,
            Self::Activate => Action::Activate,
            Self::EndTerm(_) => Action::EndTerm,
            Self::Expire => Action::Expire,
        }
    }
}

impl Action {
    /// The right that the action needs.
    #[must_use]
    pub fn right(self) -> Right {
        match self {
            Self::Suspend | Self::Enable => Right::SuspendSubscriptions,
            Self::Allocate | Self::Release => Right::Allocate,
            _ => Right::WriteSubscriptions,
        }
    }
}
