//! Concurrency slots: how many messages a process sends at once. Each message under way has a connection, so deliveries
//! and tests take their slots from one bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::id::ResellerId;
use crate::ops::{Error, Result};

/// The most messages that a process sends at once, deliveries and tests together.
pub const MOST_SENDS: usize = 400;

/// The most tests that a tenant has under way at once in a process.
pub const MOST_TESTS_OF_TENANT: usize = 4;

/// Tests take at most one slot in this many, so that deliveries always find some.
const PART_FOR_TESTS: usize = 4;

/// A tenant: a reseller, or the provider.
type Tenant = Option<ResellerId>;

/// All slots of a process.
#[derive(Clone)]
pub(super) struct Slots {
    sends: Arc<Semaphore>,
    tests: Arc<Semaphore>,
    by_tenant: ByTenant,
}

/// How many tests each tenant has under way. A tenant without tests has no entry.
#[derive(Clone, Default)]
struct ByTenant(Arc<Mutex<HashMap<Tenant, usize>>>);

/// Permits one message; given back when dropped.
pub(in crate::ops) struct Slot {
    /// `None` only if the semaphore were closed, which it never is.
    _send: Option<OwnedSemaphorePermit>,
    _test: Option<TestSlot>,
}

/// The part of a test's slot that deliveries do not need.
struct TestSlot {
    _test: OwnedSemaphorePermit,
    _share: Share,
}

/// One of a tenant's tests; given back when dropped.
struct Share {
    by_tenant: ByTenant,
    tenant: Tenant,
}

impl Slots {
    /// As many slots as there may be messages at once.
    pub(super) fn new(most_sends: usize) -> Self {
        let most_tests = most_sends.div_ceil(PART_FOR_TESTS);
        Self {
            sends: Arc::new(Semaphore::new(most_sends)),
            tests: Arc::new(Semaphore::new(most_tests)),
            by_tenant: ByTenant::default(),
        }
    }

    /// Waits for a slot for a delivery.
    pub(super) async fn for_delivery(&self) -> Slot {
        Slot { _send: self.sends.clone().acquire_owned().await.ok(), _test: None }
    }

    /// Takes a slot for a test, if there is one now.
    ///
    /// # Errors
    /// [`Error::TooManyConcurrentRequests`] when the tenant or the process has too many under way.
    pub(super) fn for_test(&self, tenant: Tenant) -> Result<Slot> {
        let busy = || {
            let detail = "The service sends too many webhook messages at the moment. Retry this test later.";
            Error::TooManyConcurrentRequests(detail.to_owned())
        };
        let share = self.by_tenant.take(tenant).ok_or_else(|| {
            let most = MOST_TESTS_OF_TENANT;
            let detail =
                format!("The tenant has {most} webhook tests under way. Wait for one of them to end, then retry.");
            Error::TooManyConcurrentRequests(detail)
        })?;
        let test = self.tests.clone().try_acquire_owned().map_err(|_| busy())?;
        let send = self.sends.clone().try_acquire_owned().map_err(|_| busy())?;
        Ok(Slot { _send: Some(send), _test: Some(TestSlot { _test: test, _share: share }) })
    }
}

impl ByTenant {
    fn take(&self, tenant: Tenant) -> Option<Share> {
        let mut counts = self.counts();
        let count = counts.entry(tenant).or_default();
        if *count >= MOST_TESTS_OF_TENANT {
            return None;
        }
        *count += 1;
        Some(Share { by_tenant: self.clone(), tenant })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Tenant, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.by_tenant.counts();
        let left = counts.get(&self.tenant).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.remove(&self.tenant);
        } else {
            counts.insert(self.tenant, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn reseller(number: u128) -> Tenant {
        Some(ResellerId(Uuid::from_u128(number)))
    }

    #[test]
    fn a_tenant_has_its_share_of_tests_and_gets_it_back() {
        let slots = Slots::new(400);
        let own: Vec<_> = (0..MOST_TESTS_OF_TENANT).map(|_| slots.for_test(reseller(1)).unwrap()).collect();
        assert!(slots.for_test(reseller(1)).is_err());
        assert!(slots.for_test(None).is_ok() && slots.for_test(reseller(2)).is_ok(), "other tenants have theirs");
        drop(own);
        assert!(slots.for_test(reseller(1)).is_ok());
        assert!(slots.by_tenant.counts().is_empty(), "a tenant without tests is forgotten");
    }

    #[test]
    fn tests_of_all_tenants_leave_slots_for_deliveries() {
        let slots = Slots::new(40);
        let taken: Vec<_> = (0..40).filter_map(|number| slots.for_test(reseller(number)).ok()).collect();
        assert_eq!(taken.len(), 10);
        assert_eq!(slots.sends.available_permits(), 30);
        assert!(slots.by_tenant.counts().len() == 10, "a test that is refused takes nothing");
    }

    #[tokio::test]
    async fn deliveries_and_tests_share_one_bound() {
        let slots = Slots::new(4);
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(slots.for_delivery().await);
        }
        assert!(slots.for_test(None).is_err(), "every slot is a delivery's");
        all.pop();
        let test = slots.for_test(None).unwrap();
        assert_eq!(slots.sends.available_permits(), 0);
        drop(test);
        all.push(slots.for_delivery().await);
    }
}
