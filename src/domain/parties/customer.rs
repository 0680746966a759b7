//! Customers: the companies that subscriptions are sold to, directly or through a reseller.

use chrono::{DateTime, Utc};

use crate::domain::authorization::Right;
use crate::domain::id::{CustomerId, PriceListId, ResellerId, Version};
use crate::domain::label::label;
use crate::domain::machine::{Outcome, Possibility, Verdict};
use crate::domain::money::Currency;
use crate::domain::parties::company::Company;
use crate::domain::refusal::{self, Refusal, Violation, ViolationCode};
use crate::domain::text::{Country, Email, ExternalId, SearchText};

label! {
    /// State of a customer. `active`: can get new subscriptions; `archived`: can only be read and restored. More values
    /// may be added.
    CustomerStatus {
        Active = "active",
        Archived = "archived",
    }
}

label! {
    /// Who administers the products: `partner` (the provider or the reseller) or `customer`. Fixed at creation.
    AdministrationKind {
        /// The provider or the reseller.
        Partner = "partner",
        Customer = "customer",
    }
}

label! {
    /// An action on a customer.
    Action {
        Archive = "archive",
        Restore = "restore",
        AddSubscriptions = "add_subscriptions",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub id: CustomerId,
    pub company: Company,
    /// `None` if the provider manages the customer directly.
    pub partner_id: Option<ResellerId>,
    pub administration: Administration,
    /// Fixed after the first order.
    pub currency: Currency,
    /// The price list of the customer. It takes precedence over the reseller's list and the product's own prices.
    pub price_list_id: Option<PriceListId>,
    pub status: CustomerStatus,
    pub version: Version,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Who administers a customer's products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Administration {
    /// The provider or the reseller.
    Partner,
    Customer {
        admin_email: Email,
    },
}

impl Administration {
    /// Combines the two fields of a request.
    ///
    /// # Errors
    /// `admin_email` is required with `customer` and not allowed with `partner`.
    pub fn new(kind: AdministrationKind, admin_email: Option<Email>) -> Result<Self, Violation> {
        match (kind, admin_email) {
            (AdministrationKind::Partner, None) => Ok(Self::Partner),
            (AdministrationKind::Customer, Some(admin_email)) => Ok(Self::Customer { admin_email }),
            (AdministrationKind::Partner, Some(_)) => Err(Violation::new(
                "/admin_email",
                ViolationCode::NotAllowed,
                "An administrator's address is allowed only with the administration `customer`. Omit it.",
            )),
            (AdministrationKind::Customer, None) => Err(Violation::new(
                "/admin_email",
                ViolationCode::Required,
                "The administration `customer` requires the address of its administrator. Add it.",
            )),
        }
    }

    #[must_use]
    pub fn kind(&self) -> AdministrationKind {
        match self {
            Self::Partner => AdministrationKind::Partner,
            Self::Customer { .. } => AdministrationKind::Customer,
        }
    }

    #[must_use]
    pub fn admin_email(&self) -> Option<&Email> {
        match self {
            Self::Partner => None,
            Self::Customer { admin_email } => Some(admin_email),
        }
    }
}

/// The editable part of a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    pub company: Company,
    pub partner_id: Option<ResellerId>,
    pub admin_email: Option<Email>,
    pub currency: Currency,
    pub price_list_id: Option<PriceListId>,
}

/// Facts about a customer that are stored elsewhere and that the rules depend on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Subscriptions that are pending, active or suspended.
    pub open_subscriptions: i64,
    /// Whether the customer ever had an order.
    pub has_orders: bool,
}

impl Customer {
    /// Creates a customer.
    ///
    /// # Errors
    /// The currency is a fund code or was withdrawn.
    pub fn create(
        id: CustomerId,
        company: Company,
        partner_id: Option<ResellerId>,
        administration: Administration,
        currency: Currency,
        at: DateTime<Utc>,
    ) -> Result<Self, Refusal> {
        refusal::none_of(currency.refused("/currency").into_iter().collect())?;
        Ok(Self {
            id,
            company,
            partner_id,
            administration,
            currency,
            price_list_id: None,
            status: CustomerStatus::Active,
            version: Version::FIRST,
            created_at: at,
            updated_at: at,
        })
    }

    #[must_use]
    pub fn details(&self) -> Details {
        Details {
            company: self.company.clone(),
            partner_id: self.partner_id,
            admin_email: self.administration.admin_email().cloned(),
            currency: self.currency,
            price_list_id: self.price_list_id,
        }
    }

    /// Checks whether an action is allowed.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn guard(&self, action: Action, holdings: Holdings) -> Result<Verdict, Refusal> {
        use CustomerStatus::{Active, Archived};
        match (action, self.status) {
            (Action::Archive, Active) if holdings.open_subscriptions > 0 => {
                Err(Refusal::HasOpenSubscriptions(holdings.open_subscriptions))
            }
            (Action::Archive | Action::AddSubscriptions, Active) | (Action::Restore, Archived) => Ok(Verdict::Proceed),
            (Action::Archive, Archived) | (Action::Restore, Active) => Ok(Verdict::AlreadySo),
            (Action::AddSubscriptions, Archived) => Err(Refusal::CustomerArchived),
        }
    }

    /// Archives or restores the customer. [`Action::AddSubscriptions`] changes nothing here.
    ///
    /// # Errors
    /// The reason why the action is denied.
    pub fn apply(&self, action: Action, holdings: Holdings, at: DateTime<Utc>) -> Result<Outcome<Self>, Refusal> {
        let status = match (self.guard(action, holdings)?, action) {
            (Verdict::AlreadySo, _) | (Verdict::Proceed, Action::AddSubscriptions) => return Ok(Outcome::Unchanged),
            (Verdict::Proceed, Action::Archive) => CustomerStatus::Archived,
            (Verdict::Proceed, Action::Restore) => CustomerStatus::Active,
        };
        Ok(Outcome::Changed(Self { status, version: self.version.next(), updated_at: at, ..self.clone() }))
    }

    /// Returns the customer with other details.
    ///
    /// # Errors
    /// The customer is archived, its currency is fixed by an order, the new currency is not in circulation, or the
    /// administrator's address does not fit the administration.
    pub fn edit(&self, details: Details, holdings: Holdings, at: DateTime<Utc>) -> Result<Outcome<Self>, Refusal> {
        if details == self.details() {
            return Ok(Outcome::Unchanged);
        }
        if self.status == CustomerStatus::Archived {
            return Err(Refusal::CustomerArchived);
        }
        if holdings.has_orders && details.currency != self.currency {
            return Err(Refusal::CurrencyFixed);
        }
        if details.currency != self.currency {
            refusal::none_of(details.currency.refused("/currency").into_iter().collect())?;
        }
        Ok(Outcome::Changed(Self {
            company: details.company,
            partner_id: details.partner_id,
            administration: Administration::new(self.administration.kind(), details.admin_email)?,
            currency: details.currency,
            price_list_id: details.price_list_id,
            version: self.version.next(),
            updated_at: at,
            ..self.clone()
        }))
    }

    /// Returns all actions with the right that each requires, and whether the state allows them.
    #[must_use]
    pub fn possibilities(&self, holdings: Holdings) -> Vec<(Right, Possibility)> {
        Action::ALL
            .iter()
            .map(|&action| {
                let already_so = || self.already_so(action, holdings);
                (action.right(), Possibility::of(action.as_str(), self.guard(action, holdings), already_so))
            })
            .collect()
    }

    fn already_so(&self, action: Action, holdings: Holdings) -> Refusal {
        let proceeds = |action: &&Action| self.guard(**action, holdings) == Ok(Verdict::Proceed);
        Refusal::InvalidTransition {
            resource: "customer",
            state: self.status.as_str(),
            action: action.as_str(),
            allowed: Action::ALL.iter().filter(proceeds).map(|action| action.as_str()).collect(),
        }
    }
}

impl Action {
    fn right(self) -> Right {
        match self {
            Self::Archive | Self::Restore => Right::WriteCustomers,
            Self::AddSubscriptions => Right::WriteSubscriptions,
        }
    }
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
