//! Who may do what: roles, rights and tenants, in one table.

use super::id::{ApiKeyId, ResellerId};
use super::label::label;
use super::machine::Possibility;
use super::refusal::Refusal;

label! {
    /// What a key may do. Everyone reads within the tenant, but webhooks, which `admin` and `technician` see, and
    /// API keys and the audit trail, which `admin` sees. `admin`: everything; `technician`: customers, suspend and
    /// enable, allocations, webhooks; `sales`: customers, subscriptions and inventory, resellers and products;
    /// `billing`: reads, and invoices.
    Role {
        /// Everything.
        Admin = "admin",
        /// Customers, suspend and enable, allocations, webhooks.
        Technician = "technician",
        /// Customers, subscriptions, inventory, resellers, products.
        Sales = "sales",
        /// Reads, and invoices.
        Billing = "billing",
    }
}

label! {
    /// What is needed for an operation.
    Right {
        /// See what is in the tenant; previews too, as they write nothing.
        Read = "read",
        /// Create, edit, archive and restore customers.
        WriteCustomers = "write_customers",
        /// Add, edit, cancel and renew subscriptions; set inventory quantities.
        WriteSubscriptions = "write_subscriptions",
        /// Suspend and enable subscriptions.
        SuspendSubscriptions = "suspend_subscriptions",
        /// Allocate and release certificates.
        Allocate = "allocate",
        /// Create, edit, disable and enable resellers. The partner's only.
        WriteResellers = "write_resellers",
        /// Create and edit products and price lists, and assign these. The partner's only.
        WriteProducts = "write_products",
        /// Run, send, settle and void invoices. The partner's only.
        WriteInvoices = "write_invoices",
        /// Move the clock of a sandbox. The partner's only.
        MoveClock = "move_clock",
        /// See, create, edit, rotate and revoke API keys.
        ManageApiKeys = "manage_api_keys",
        /// See, create, edit and delete webhook endpoints, and their deliveries.
        ManageWebhooks = "manage_webhooks",
        /// See who wrote what, and who tried.
        ReadAudit = "read_audit",
    }
}

impl Right {
    /// The rights table.
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

    /// Whether only the partner's own keys can have the right, no reseller's.
    #[must_use]
    pub fn is_partner_only(self) -> bool {
        matches!(self, Self::WriteResellers | Self::WriteProducts | Self::WriteInvoices | Self::MoveClock)
    }
}

/// What part of the data is visible. Only `api/auth.rs`, the command line and the jobs make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The whole partner.
    Partner,
    /// One reseller and its customers.
    Reseller(ResellerId),
}

impl Scope {
    /// The reseller to which the view is limited.
    #[must_use]
    pub fn reseller(self) -> Option<ResellerId> {
        match self {
            Self::Partner => None,
            Self::Reseller(id) => Some(id),
        }
    }

    /// The name of the tenant in counters and logs: `tenant:provider` or `tenant:<id of the reseller>`.
    #[must_use]
    pub fn label(self) -> String {
        self.reseller().map_or("tenant:provider".to_owned(), |id| format!("tenant:{id}"))
    }

    /// Whether everything that is visible to another is visible here.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self == Self::Partner || self == other
    }

    /// Whether a reseller is visible.
    #[must_use]
    pub fn sees(self, reseller: ResellerId) -> bool {
        self.reseller().is_none_or(|own| own == reseller)
    }
}

/// Whether a role has a right with what is visible to it.
fn has(role: Role, scope: Scope, right: Right) -> bool {
    right.roles().contains(&role) && !(right.is_partner_only() && scope != Scope::Partner)
}

/// Who somebody is, whatever they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The service itself.
    System,
    /// Who has an API key.
    ApiKey(ApiKeyId),
    /// Who has a token of the OpenID provider: the token's subject.
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

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who it is.
    pub identity: Identity,
    /// What it may do.
    pub role: Role,
    /// What it sees.
    pub scope: Scope,
}

impl Actor {
    /// The service itself: what time does, and what the command line does.
    #[must_use]
    pub fn system() -> Self {
        Self { identity: Identity::System, role: Role::Admin, scope: Scope::Partner }
    }

    /// Whether the actor has a right.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        has(self.role, self.scope, right)
    }

    /// Succeeds when whatever a key with a role can do, the partner's or a reseller's, the actor can do itself:
    /// nobody gives more than they have.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn check_grant(&self, role: Role, partner_id: Option<ResellerId>) -> Result<(), Refusal> {
        let scope = partner_id.map_or(Scope::Partner, Scope::Reseller);
        if !self.scope.covers(scope) {
            return Err(Refusal::BeyondScope);
        }
        let missing = Right::ALL.iter().copied().find(|&right| has(role, scope, right) && !self.may(right));
        missing.map_or(Ok(()), |right| Err(Refusal::Forbidden(right)))
    }

    /// What the actor may do next, and why not the rest.
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

    /// How the actor is named in orders, in the ledger and in events: `api_key:<id>`, `subject:<subject>` or
    /// `system`.
    #[must_use]
    pub fn label(&self) -> String {
        self.identity.to_string()
    }

    /// Whose a request is that is sent again: one person may have tokens for several resellers, and what was
    /// answered to the one is nothing to the other.
    #[must_use]
    pub fn caller(&self) -> String {
        match (&self.identity, self.scope) {
            (Identity::Subject(_), Scope::Reseller(id)) => format!("{}@{id}", self.identity),
            _ => self.label(),
        }
    }
}

/// An action, and whether it is open to an actor now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The action.
    pub action: &'static str,
    /// What stands in the way, if anything.
    pub obstacle: Option<Obstacle>,
}

/// What stands in the way of an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The actor lacks a right.
    #[error("{}", needs(*.0))]
    Forbidden(Right),
    /// The state does not allow it.
    #[error(transparent)]
    Refused(Refusal),
}

/// What a caller without a right reads.
#[must_use]
pub fn needs(right: Right) -> String {
    let roles: Vec<_> = right.roles().iter().map(|role| role.as_str()).collect();
    let whose = if right.is_partner_only() { "a key of the provider" } else { "a key" };
    format!("This requires the right `{right}`. Use {whose} with the role {}.", roles.join(" or "))
}
