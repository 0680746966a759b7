//! Concurrency budgets of this instance, and the share of the connection pool that one tenant can use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::domain::authorization::{Actor, Scope};
use crate::domain::limits::budget::{Exhausted, Ledger, Limits, Resource};

/// The maximum number of unused shares that are kept.
const IDLE_SHARES: usize = 1000;

/// The number of large pages and bodies that one tenant can process at the same time.
const LARGE_AT_A_TIME: usize = 1;

/// The concurrency budgets of this instance.
#[derive(Debug, Clone)]
pub struct Budgets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    ledger: Mutex<Ledger>,
    connections: usize,
    shares: Mutex<HashMap<Scope, Share>>,
    lookups: Arc<Semaphore>,
}

/// What one tenant can use at the same time.
#[derive(Debug, Clone)]
struct Share {
    connections: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A reserved amount. Dropping it releases the amount.
#[derive(Debug)]
#[must_use]
pub struct Taken {
    budgets: Budgets,
    actor: Actor,
    resource: Resource,
    amount: u64,
}

impl Budgets {
    /// Creates unused budgets. `connections` is the number of database connections that one tenant can use at the same
    /// time.
    #[must_use]
    pub fn new(limits: Limits, connections: usize) -> Self {
        let (ledger, shares) = Default::default();
        let connections = connections.max(1);
        let lookups = Arc::new(Semaphore::new(connections.div_ceil(2)));
        Self(Arc::new(Inner { limits, ledger, connections, shares, lookups }))
    }

    /// Reserves an amount for an actor.
    ///
    /// # Errors
    /// A budget is exhausted.
    pub fn take(&self, actor: &Actor, resource: Resource, amount: u64) -> Result<Taken, Exhausted> {
        self.charge(actor, resource, amount)?;
        Ok(Taken { budgets: self.clone(), actor: actor.clone(), resource, amount })
    }

    fn charge(&self, actor: &Actor, resource: Resource, amount: u64) -> Result<(), Exhausted> {
        self.change(resource, |ledger| ledger.take(self.0.limits, actor, resource, amount)).inspect_err(|exhausted| {
            let labels = [("resource", resource.as_str()), ("holder", exhausted.holder.as_str())];
            metrics::counter!("budget_refusals_total", &labels).increment(1);
        })
    }

    /// The amount of a resource that is reserved by all callers.
    #[must_use]
    pub fn used(&self, resource: Resource) -> u64 {
        self.ledger().used(resource)
    }

    /// The database connections that a tenant can use at the same time.
    #[must_use]
    pub fn connections(&self, scope: Scope) -> Arc<Semaphore> {
        self.share(scope).connections
    }

    /// The large pages and bodies that a tenant can process at the same time. Each of them occupies a worker; the limit
    /// leaves time for the small requests of others.
    #[must_use]
    pub fn large(&self, scope: Scope) -> Arc<Semaphore> {
        self.share(scope).large
    }

    fn share(&self, scope: Scope) -> Share {
        let mut shares = self.0.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.len() > IDLE_SHARES {
            shares.retain(|_, share| Arc::strong_count(&share.connections) > 1 || Arc::strong_count(&share.large) > 1);
        }
        let share = || Share {
            connections: Arc::new(Semaphore::new(self.0.connections)),
            large: Arc::new(Semaphore::new(LARGE_AT_A_TIME)),
        };
        shares.entry(scope).or_insert_with(share).clone()
    }

    /// The database connections for lookups of credentials. At that point, the tenant is not known yet.
    #[must_use]
    pub fn lookups(&self) -> Arc<Semaphore> {
        self.0.lookups.clone()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, resource: Resource, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledger = self.ledger();
        let changed = change(&mut ledger);
        metrics::gauge!("budget_in_use", "resource" => resource.as_str())
            .set(u32::try_from(ledger.used(resource)).unwrap_or(u32::MAX));
        changed
    }
}

impl Taken {
    /// Reserves more of the same resource.
    ///
    /// # Errors
    /// A budget is exhausted. The amount that was reserved before stays reserved.
    pub fn add(&mut self, amount: u64) -> Result<(), Exhausted> {
        self.budgets.charge(&self.actor, self.resource, amount)?;
        self.amount += amount;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Self { budgets, actor, resource, amount } = self;
        budgets.change(*resource, |ledger| ledger.give_back(actor, *resource, *amount));
    }
}
