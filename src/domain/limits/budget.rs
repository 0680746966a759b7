//! Concurrency budgets: how much a caller, a tenant and all callers together may use at the same time. A request
//! takes what it needs before the work starts, and gives it back at the end.

use std::collections::HashMap;

use crate::domain::authorization::{Actor, Scope};
use crate::domain::label::label;

label! {
    /// A resource with a budget.
    Resource {
        Requests = "requests",
        Waits = "waits",
        /// Bytes of request bodies that have arrived or are announced.
        BodyBytes = "body_bytes",
        WebhookTests = "webhook_tests",
    }
}

label! {
    /// Who has the budget.
    Holder {
        /// One API key, or one subject of the OpenID Connect issuer.
        Caller = "caller",
        /// All callers of one reseller, or all callers of the provider.
        Tenant = "tenant",
        /// All callers of this instance.
        Instance = "instance",
    }
}

/// The maximum use of a resource at the same time, for each holder. Each instance counts for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub caller: u64,
    pub tenant: u64,
    pub instance: u64,
}

impl Limit {
    pub const NONE: Self = Self { caller: u64::MAX, tenant: u64::MAX, instance: u64::MAX };

    fn of(self, holder: Holder) -> u64 {
        match holder {
            Holder::Caller => self.caller,
            Holder::Tenant => self.tenant,
            Holder::Instance => self.instance,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub requests: Limit,
    pub waits: Limit,
    pub body_bytes: Limit,
    pub webhook_tests: Limit,
}

impl Limits {
    pub const NONE: Self =
        Self { requests: Limit::NONE, waits: Limit::NONE, body_bytes: Limit::NONE, webhook_tests: Limit::NONE };

    /// The limits for an instance with the usual resources, about 200 MB of memory.
    pub const USUAL: Self = Self {
        requests: Limit { caller: 32, tenant: 64, instance: u64::MAX },
        waits: Limit { caller: 8, tenant: 32, instance: u64::MAX },
        body_bytes: Limit { caller: 4 << 20, tenant: 8 << 20, instance: 32 << 20 },
        webhook_tests: Limit { caller: 4, tenant: 4, instance: 100 },
    };

    #[must_use]
    pub fn of(self, resource: Resource) -> Limit {
        match resource {
            Resource::Requests => self.requests,
            Resource::Waits => self.waits,
            Resource::BodyBytes => self.body_bytes,
            Resource::WebhookTests => self.webhook_tests,
        }
    }
}

/// A budget is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.advice())]
pub struct Exhausted {
    pub resource: Resource,
    pub holder: Holder,
    pub limit: u64,
}

impl Exhausted {
    fn advice(&self) -> String {
        let Self { resource, holder, limit } = self;
        let whose = match holder {
            Holder::Caller => "This key or user",
            Holder::Tenant => "This tenant",
            Holder::Instance => "The service",
        };
        match resource {
            Resource::Requests => {
                format!("{whose} already has {limit} requests in progress. Wait until some of them finish, then retry.")
            }
            Resource::Waits => {
                format!("{whose} already has {limit} requests that wait for events. Use fewer waiting requests.")
            }
            Resource::BodyBytes => {
                format!(
                    "{whose} is already sending {limit} bytes of request bodies. Send fewer requests at the same time."
                )
            }
            Resource::WebhookTests => {
                format!("{whose} already has {limit} webhook tests in progress. Wait until one finishes, then retry.")
            }
        }
    }
}

/// The current use of all budgets.
#[derive(Debug, Default)]
pub struct Ledger {
    callers: HashMap<(String, Resource), u64>,
    tenants: HashMap<(Scope, Resource), u64>,
    instance: HashMap<Resource, u64>,
}

impl Ledger {
    /// Takes an amount for an actor from all three holders, or from none of them.
    ///
    /// # Errors
    /// A budget is exhausted.
    pub fn take(&mut self, limits: Limits, actor: &Actor, resource: Resource, amount: u64) -> Result<(), Exhausted> {
        let limit = limits.of(resource);
        let used = self.used_by(actor, resource);
        let is_full = |(holder, used): &(Holder, u64)| used.saturating_add(amount) > limit.of(*holder);
        if let Some((holder, _)) = used.into_iter().find(is_full) {
            return Err(Exhausted { resource, holder, limit: limit.of(holder) });
        }
        *self.callers.entry((actor.caller(), resource)).or_default() += amount;
        *self.tenants.entry((actor.scope, resource)).or_default() += amount;
        *self.instance.entry(resource).or_default() += amount;
        Ok(())
    }

    /// Returns an amount that was taken for an actor.
    pub fn give_back(&mut self, actor: &Actor, resource: Resource, amount: u64) {
        give_back(&mut self.callers, (actor.caller(), resource), amount);
        give_back(&mut self.tenants, (actor.scope, resource), amount);
        give_back(&mut self.instance, resource, amount);
    }

    /// Returns the use of a resource by all callers.
    #[must_use]
    pub fn used(&self, resource: Resource) -> u64 {
        self.instance.get(&resource).copied().unwrap_or_default()
    }

    /// The narrowest holder comes first, because the error names the first holder whose budget is exhausted.
    fn used_by(&self, actor: &Actor, resource: Resource) -> [(Holder, u64); 3] {
        let caller = self.callers.get(&(actor.caller(), resource)).copied().unwrap_or_default();
        let tenant = self.tenants.get(&(actor.scope, resource)).copied().unwrap_or_default();
        [(Holder::Caller, caller), (Holder::Tenant, tenant), (Holder::Instance, self.used(resource))]
    }
}

/// Removes unused entries, so that the ledger contains only current use.
fn give_back<K: Eq + std::hash::Hash>(used: &mut HashMap<K, u64>, key: K, amount: u64) {
    if let Some(left) = used.get_mut(&key) {
        *left = left.saturating_sub(amount);
        if *left == 0 {
            used.remove(&key);
        }
    }
}
