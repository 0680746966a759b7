//! Actions and commands of a subscription: by request, or scheduled.

use crate::domain::authorization::Right;
use crate::domain::catalog::product::UnitPrices;
use crate::domain::label::label;
use crate::domain::text::{Code, Reason};

label! {
    /// An action on a subscription. The last three are scheduled transitions, not requests.
    Action {
        Suspend = "suspend",
        Enable = "enable",
        /// Cancel it before it starts.
        Cancel = "cancel",
        /// Start a new term after the subscription lapsed.
        Renew = "renew",
        /// Switch automatic renewal on or off.
        SetAutoRenew = "set_auto_renew",
        AddCurrentInventory = "add_current_inventory",
        SetRenewalInventory = "set_renewal_inventory",
        /// Set how many available certificates count as low.
        SetThresholds = "set_thresholds",
        Allocate = "allocate",
        Release = "release",
        /// Start the first term.
        Activate = "activate",
        /// End a term.
        EndTerm = "end_term",
        /// Expire a subscription that lapsed for too long.
        Expire = "expire",
    }
}

/// The entries of `actions` of a subscription: all actions with an operation or a field of their own. Releasing is not
/// listed, because it is always allowed.
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

/// A command to a subscription.
#[derive(Debug, Clone)]
pub enum Command {
    Suspend {
        reason: Option<Reason>,
    },
    Enable,
    /// Cancels the subscription before it starts. All its quantities become 0.
    Cancel {
        reason: Option<Reason>,
    },
    /// Starts a new term today, at these prices.
    Renew(UnitPrices),
    /// Adds to the current quantity of each type.
    AddCurrentInventory(Vec<(Code, i32)>),
    /// Sets the renewal quantity of each type; `None` follows the current quantity.
    SetRenewalInventory(Vec<(Code, Option<i32>)>),
    /// Sets the threshold of each type, which must have a line; `None` disables it.
    SetThresholds(Vec<(Code, Option<i32>)>),
    Allocate(Code, i32),
    Release(Code, i32),
    Activate,
    /// Ends the term. If there is a next term, it has these prices.
    EndTerm(UnitPrices),
    Expire,
}

impl Command {
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
    /// The right that the action requires.
    #[must_use]
    pub fn right(self) -> Right {
        match self {
            Self::Suspend | Self::Enable => Right::SuspendSubscriptions,
            Self::Allocate | Self::Release => Right::Allocate,
            _ => Right::WriteSubscriptions,
        }
    }
}
