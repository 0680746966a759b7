//! Authorization: roles, rights and tenants, in one table.

use crate::domain::id::{ApiKeyId, ResellerId};
use crate::domain::label::label;
use crate::domain::machine::Possibility;
use crate::domain::refusal::Refusal;

label! {
    /// What a key or token may do. All roles can read in their tenant, with exceptions: only `admin` and `technician`
    /// see webhooks, and only `admin` sees API keys and the audit trail. `admin`: everything; `technician`: customers,
    /// suspending and enabling subscriptions, allocations, webhooks; `sales`: customers, subscriptions and inventory,
    /// resellers and products; `billing`: invoices.
    Role {
        Admin = "admin",
        Technician = "technician",
        Sales = "sales",
        Billing = "billing",
    }
}

label! {
    /// The right that an operation requires.
    Right {
        /// Read in the tenant. Previews require only this right, because they write nothing.
        Read = "read",
        WriteCustomers = "write_customers",
        WriteSubscriptions = "write_subscriptions",
        SuspendSubscriptions = "suspend_subscriptions",
        Allocate = "allocate",
        /// Create, edit, disable and enable resellers. Only for the provider.
        WriteResellers = "write_resellers",
        /// Create and edit products and price lists, and assign price lists. Only for the provider.
        WriteProducts = "write_products",
        /// Run billing, and mark invoices as emailed, paid or void. Only for the provider.
        WriteInvoices = "write_invoices",
        /// Move the clock of a sandbox. Only for the provider.
        MoveClock = "move_clock",
        ManageApiKeys = "manage_api_keys",
        /// Manage webhook endpoints and their deliveries, and read them.
        ManageWebhooks = "manage_webhooks",
        /// Read the audit trail.
        ReadAudit = "read_audit",
    }
}

impl Right {
    /// Returns the roles that have the right.
    #[must_use]
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Read => Role::ALL,
            Self::WriteCustomers | Self::SuspendSubscriptions => &[Role::Admin, Role::Technician, Role::Sales],
            Self::WriteSubscriptions | Self::WriteResellers | Self::WriteProducts => &[Role::Admin, Role::Sales],
            Self::Allocate | Self::ManageWebhooks => &[Role::Admin, Role::Technician],
            Self::WriteInvoices => &[Role::Admin, Role::Billing],
            Self::MoveClock | Self::ManageApiKeys | Self::ReadAudit => &[Role::Admin],
        }
    }

    /// Whether only the provider's keys can have the right. Keys of resellers never have it.
    #[must_use]
    pub fn is_partner_only(self) -> bool {
        matches!(self, Self::WriteResellers | Self::WriteProducts | Self::WriteInvoices | Self::MoveClock)
    }
}

/// The part of the data that an actor can see. Only authentication, the command line and the jobs create one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All data of the provider.
    Partner,
    /// One reseller and its customers.
    Reseller(ResellerId),
}

impl Scope {
    /// Returns the reseller to which the scope is limited.
    #[must_use]
    pub fn reseller(self) -> Option<ResellerId> {
        match self {
            Self::Partner => None,
            Self::Reseller(id) => Some(id),
        }
    }

    /// Returns the name of the tenant in counters and logs: `tenant:provider` or `tenant:<reseller id>`.
    #[must_use]
    pub fn label(self) -> String {
        self.reseller().map_or("tenant:provider".to_owned(), |id| format!("tenant:{id}"))
    }

    /// Whether this scope includes everything in the other scope.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self == Self::Partner || self == other
    }

    /// Whether the reseller is in the scope.
    #[must_use]
    pub fn sees(self, reseller: ResellerId) -> bool {
        self.reseller().is_none_or(|own| own == reseller)
    }
}

fn has(role: Role, scope: Scope, right: Right) -> bool {
    right.roles().contains(&role) && !(right.is_partner_only() && scope != Scope::Partner)
}

/// The identity of an actor, independent of its role and scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    System,
    ApiKey(ApiKeyId),
    /// The subject of a token from the OpenID Connect issuer.
    Subject(String),
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::ApiKey(id) => write!(f, "api_key:{id}"),
            Self::Subject(subject) => write!(f, "subject:{subject}"),
        }
    }
}

/// The identity, role and scope on whose behalf a use case runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub identity: Identity,
    pub role: Role,
    pub scope: Scope,
}

impl Actor {
    /// The service itself: background jobs and the command line.
    #[must_use]
    pub fn system() -> Self {
        Self { identity: Identity::System, role: Role::Admin, scope: Scope::Partner }
    }

    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        has(self.role, self.scope, right)
    }

    /// Checks that the actor may grant a role, for the provider or for a reseller. An actor can grant only rights that
    /// it has itself.
    ///
    /// # Errors
    /// [`Refusal::BeyondScope`], or [`Refusal::Forbidden`] with the first missing right.
    pub fn check_grant(&self, role: Role, partner_id: Option<ResellerId>) -> Result<(), Refusal> {
        let scope = partner_id.map_or(Scope::Partner, Scope::Reseller);
        if !self.scope.covers(scope) {
            return Err(Refusal::BeyondScope);
        }
        let missing = Right::ALL.iter().copied().find(|&right| has(role, scope, right) && !self.may(right));
        missing.map_or(Ok(()), |right| Err(Refusal::Forbidden(right)))
    }

    /// Returns which actions the actor may take now, and why the others are denied. A missing right takes precedence
    /// over the state.
    #[must_use]
    pub fn offers(&self, possibilities: Vec<(Right, Possibility)>) -> Vec<Offer> {
        possibilities
            .into_iter()
            .map(|(right, Possibility { action, refusal })| {
                let obstacle = match refusal {
                    _ if !self.may(right) => Some(Obstacle::Forbidden(right)),
                    refusal => refusal.map(Obstacle::Refused),
                };
                Offer { action, obstacle }
            })
            .collect()
    }

    /// Returns the name of the actor in orders, in the ledger and in events: `api_key:<id>`, `subject:<subject>` or
    /// `system`.
    #[must_use]
    pub fn label(&self) -> String {
        self.identity.to_string()
    }

    /// Returns the caller for whom idempotent responses are stored. One subject can have tokens for several resellers,
    /// and must not receive a response that was stored for another reseller.
    #[must_use]
    pub fn caller(&self) -> String {
        match (&self.identity, self.scope) {
            (Identity::Subject(_), Scope::Reseller(id)) => format!("{}@{id}", self.identity),
            _ => self.label(),
        }
    }
}

/// An action, and whether an actor may take it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub action: &'static str,
    /// Why the action is denied; `None` if it is allowed.
    pub obstacle: Option<Obstacle>,
}

/// Why an action is denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error("{}", needs(*.0))]
    Forbidden(Right),
    #[error(transparent)]
    Refused(Refusal),
}

/// Returns the error detail for a missing right.
#[must_use]
pub fn needs(right: Right) -> String {
    let roles: Vec<_> = right.roles().iter().map(|role| role.as_str()).collect();
    let whose = if right.is_partner_only() { "a key of the provider" } else { "a key" };
    format!("This requires the right `{right}`. Use {whose} with the role {}.", roles.join(" or "))
}
