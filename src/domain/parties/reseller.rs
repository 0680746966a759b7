//! Resellers. Disabling a reseller does not affect its customers.

use chrono::{DateTime, Utc};

use crate::domain::authorization::Right;
use crate::domain::id::{PriceListId, ResellerId, Version};
use crate::domain::label::label;
use crate::domain::machine::{Outcome, Possibility, Verdict};
use crate::domain::parties::company::Company;
use crate::domain::refusal::Refusal;
use crate::domain::text::{ExternalId, Reason, SearchText};

label! {
    /// State of a reseller. `enabled`: can work; `disabled`: its keys are rejected and it cannot take new customers,
    /// but the services of its customers continue. More values may be added.
    ResellerStatus {
        Enabled = "enabled",
        Disabled = "disabled",
    }
}

label! {
    /// An action on a reseller.
    Action {
        Disable = "disable",
        Enable = "enable",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reseller {
    pub id: ResellerId,
    pub company: Company,
    /// The price list of its customers, unless they have their own.
    pub price_list_id: Option<PriceListId>,
    pub state: State,
    pub version: Version,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The editable part of a reseller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    pub company: Company,
    pub price_list_id: Option<PriceListId>,
}

/// The state of a reseller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Enabled,
    Disabled {
        at: DateTime<Utc>,
        /// Why, in the words of the person who disabled it.
        reason: Option<Reason>,
    },
}

/// A command to a reseller.
#[derive(Debug, Clone)]
pub enum Command {
    Disable { reason: Option<Reason> },
    Enable,
}

impl Command {
    fn action(&self) -> Action {
        match self {
            Self::Disable { .. } => Action::Disable,
            Self::Enable => Action::Enable,
        }
    }
}

impl Reseller {
    /// Creates a reseller that is enabled.
    #[must_use]
    pub fn create(id: ResellerId, company: Company, at: DateTime<Utc>) -> Self {
        Self {
            id,
            company,
            price_list_id: None,
            state: State::Enabled,
            version: Version::FIRST,
            created_at: at,
            updated_at: at,
        }
    }

    #[must_use]
    pub fn status(&self) -> ResellerStatus {
        match self.state {
            State::Enabled => ResellerStatus::Enabled,
            State::Disabled { .. } => ResellerStatus::Disabled,
        }
    }

    /// Checks whether an action changes something. Both actions are always allowed.
    #[must_use]
    pub fn guard(&self, action: Action) -> Verdict {
        match (action, &self.state) {
            (Action::Disable, State::Enabled) | (Action::Enable, State::Disabled { .. }) => Verdict::Proceed,
            (Action::Disable, State::Disabled { .. }) | (Action::Enable, State::Enabled) => Verdict::AlreadySo,
        }
    }

    /// Applies a command.
    #[must_use]
    pub fn apply(&self, command: Command, at: DateTime<Utc>) -> Outcome<Self> {
        if self.guard(command.action()) == Verdict::AlreadySo {
            return Outcome::Unchanged;
        }
        let state = match command {
            Command::Disable { reason } => State::Disabled { at, reason },
            Command::Enable => State::Enabled,
        };
        Outcome::Changed(Self { state, version: self.version.next(), updated_at: at, ..self.clone() })
    }

    #[must_use]
    pub fn details(&self) -> Details {
        Details { company: self.company.clone(), price_list_id: self.price_list_id }
    }

    /// Returns the reseller with other details.
    #[must_use]
    pub fn edit(&self, details: Details, at: DateTime<Utc>) -> Outcome<Self> {
        if details == self.details() {
            return Outcome::Unchanged;
        }
        let Details { company, price_list_id } = details;
        Outcome::Changed(Self { company, price_list_id, version: self.version.next(), updated_at: at, ..self.clone() })
    }

    /// Returns all actions with the right that each requires, and whether the state allows them.
    #[must_use]
    pub fn possibilities(&self) -> Vec<(Right, Possibility)> {
        Action::ALL
            .iter()
            .map(|&action| {
                let already_so = || self.already_so(action);
                (Right::WriteResellers, Possibility::of(action.as_str(), Ok(self.guard(action)), already_so))
            })
            .collect()
    }

    fn already_so(&self, action: Action) -> Refusal {
        let proceeds = |action: &&Action| self.guard(**action) == Verdict::Proceed;
        Refusal::InvalidTransition {
            resource: "reseller",
            state: self.status().as_str(),
            action: action.as_str(),
            allowed: Action::ALL.iter().filter(proceeds).map(|action| action.as_str()).collect(),
        }
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
