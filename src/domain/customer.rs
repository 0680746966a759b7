//! Customers: whom subscriptions are sold to, directly or by a reseller.

use chrono::{DateTime, Utc};

use super::access::Right;
use super::company::Company;
use super::id::{CustomerId, PriceListId, ResellerId, Version};
use super::label::label;
use super::machine::{Outcome, Possibility, Verdict};
use super::money::Currency;
use super::refusal::{self, Refusal, Violation, ViolationCode};
use super::text::Email;

label! {
    /// State of a customer. `active`: can be sold to; `archived`: can be read and restored, nothing
    /// else. Expect more values.
    CustomerStatus {
        /// Can be sold to.
        Active = "active",
        /// Can only be read and restored.
        Archived = "archived",
    }
}

label! {
    /// Who administers the products: `partner` or `customer`. Fixed at creation.
    AdministrationKind {
        /// The partner or the reseller.
        Partner = "partner",
        /// The customer itself.
        Customer = "customer",
    }
}

label! {
    /// What can be done with a customer.
    Action {
        /// Put it away.
        Archive = "archive",
        /// Bring it back.
        Restore = "restore",
        /// Sell it subscriptions.
        AddSubscriptions = "add_subscriptions",
    }
}

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// The company.
    pub company: Company,
    /// The reseller that manages it; the partner does when there is none.
    pub partner_id: Option<ResellerId>,
    /// Who administers the products.
    pub administration: Administration,
    /// What it pays in; fixed once it has an order.
    pub currency: Currency,
    /// What it pays by, before its reseller's list and the products' own prices.
    pub price_list_id: Option<PriceListId>,
    /// Whether it can be sold to.
    pub status: CustomerStatus,
    /// How often it has changed.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Who administers a customer's products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Administration {
    /// The partner or the reseller.
    Partner,
    /// The customer itself.
    Customer {
        /// Its administrator.
        admin_email: Email,
    },
}

impl Administration {
    /// Puts the two fields of a request together.
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

    /// Which of the two it is.
    #[must_use]
    pub fn kind(&self) -> AdministrationKind {
        match self {
            Self::Partner => AdministrationKind::Partner,
            Self::Customer { .. } => AdministrationKind::Customer,
        }
    }

    /// The administrator's address.
    #[must_use]
    pub fn admin_email(&self) -> Option<&Email> {
        match self {
            Self::Partner => None,
            Self::Customer { admin_email } => Some(admin_email),
        }
    }
}

/// What can be edited of a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// The company.
    pub company: Company,
    /// The reseller that manages it.
    pub partner_id: Option<ResellerId>,
    /// The administrator's address.
    pub admin_email: Option<Email>,
    /// What it pays in.
    pub currency: Currency,
    /// What it pays by.
    pub price_list_id: Option<PriceListId>,
}

/// What the rules need to know of a customer's surroundings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Subscriptions that are pending, active or suspended.
    pub open_subscriptions: i64,
    /// Whether anything was ever ordered.
    pub has_orders: bool,
}

impl Customer {
    /// A new customer.
    ///
    /// # Errors
    /// The currency is withdrawn or a fund code.
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

    /// What can be edited, as it is.
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

    /// Whether an action is possible.
    ///
    /// # Errors
    /// Says why it is not.
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

    /// Archives or restores; [`Action::AddSubscriptions`] changes nothing here.
    ///
    /// # Errors
    /// Says why it cannot be done.
    pub fn apply(&self, action: Action, holdings: Holdings, at: DateTime<Utc>) -> Result<Outcome<Self>, Refusal> {
        let status = match (self.guard(action, holdings)?, action) {
            (Verdict::AlreadySo, _) | (Verdict::Proceed, Action::AddSubscriptions) => return Ok(Outcome::Unchanged),
            (Verdict::Proceed, Action::Archive) => CustomerStatus::Archived,
            (Verdict::Proceed, Action::Restore) => CustomerStatus::Active,
        };
        Ok(Outcome::Changed(Self { status, version: self.version.next(), updated_at: at, ..self.clone() }))
    }

    /// The customer with other details.
    ///
    /// # Errors
    /// An archived customer is not edited, the currency not after the first order, another currency must be in use,
    /// and the administrator's address must fit the administration.
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

    /// What may be done next, with the right that it needs.
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
