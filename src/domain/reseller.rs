//! Resellers. Disabling one cuts off the reseller, not its customers: nothing is written to them.

use chrono::{DateTime, Utc};

use super::access::Right;
use super::company::Company;
use super::id::{PriceListId, ResellerId, Version};
use super::label::label;
use super::machine::{Outcome, Possibility, Verdict};
use super::refusal::Refusal;
use super::text::Reason;

label! {
    /// State of a reseller. `enabled`: works; `disabled`: its own keys are refused and it takes no
    /// customers, while its customers' services go on. Expect more values.
    ResellerStatus {
        /// Works.
        Enabled = "enabled",
        /// Cut off.
        Disabled = "disabled",
    }
}

label! {
    /// What can be done with a reseller.
    Action {
        /// Cut it off.
        Disable = "disable",
        /// Let it work again.
        Enable = "enable",
    }
}

/// A reseller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reseller {
    /// Its id.
    pub id: ResellerId,
    /// The company.
    pub company: Company,
    /// What its customers pay by, unless they have a list of their own.
    pub price_list_id: Option<PriceListId>,
    /// Whether it works.
    pub state: State,
    /// How often it has changed.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What can be edited of a reseller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// The company.
    pub company: Company,
    /// What its customers pay by.
    pub price_list_id: Option<PriceListId>,
}

/// Whether a reseller works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It works.
    Enabled,
    /// It is cut off.
    Disabled {
        /// Since when.
        at: DateTime<Utc>,
        /// Why, in the words of who did it.
        reason: Option<Reason>,
    },
}

/// What is to be done with a reseller.
#[derive(Debug, Clone)]
pub enum Command {
    /// Cut it off.
    Disable {
        /// Why.
        reason: Option<Reason>,
    },
    /// Let it work again.
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
    /// A new reseller; it works at once.
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

    /// Its status.
    #[must_use]
    pub fn status(&self) -> ResellerStatus {
        match self.state {
            State::Enabled => ResellerStatus::Enabled,
            State::Disabled { .. } => ResellerStatus::Disabled,
        }
    }

    /// Whether an action is possible.
    #[must_use]
    pub fn guard(&self, action: Action) -> Verdict {
        match (action, &self.state) {
            (Action::Disable, State::Enabled) | (Action::Enable, State::Disabled { .. }) => Verdict::Proceed,
            (Action::Disable, State::Disabled { .. }) | (Action::Enable, State::Enabled) => Verdict::AlreadySo,
        }
    }

    /// Carries a command out.
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

    /// What can be edited, as it is.
    #[must_use]
    pub fn details(&self) -> Details {
        Details { company: self.company.clone(), price_list_id: self.price_list_id }
    }

    /// The reseller with other details.
    #[must_use]
    pub fn edit(&self, details: Details, at: DateTime<Utc>) -> Outcome<Self> {
        if details == self.details() {
            return Outcome::Unchanged;
        }
        let Details { company, price_list_id } = details;
        Outcome::Changed(Self { company, price_list_id, version: self.version.next(), updated_at: at, ..self.clone() })
    }

    /// What may be done next, with the right that it needs.
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
