//! Time and ids: the only file that reads the machine's clock and generates ids. All other code gets a [`Clock`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::domain::id::CustomerId;

/// A source of time and ids.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    /// How far the clock of a sandbox is ahead of the machine's clock, in microseconds.
    ahead: Arc<AtomicI64>,
    /// Keeps ids of the same millisecond in the order in which they were generated.
    ids: Arc<Mutex<ContextV7>>,
}

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::of(Source::System)
    }

    /// A clock that stays at an instant until it is set.
    #[must_use]
    pub fn manual(at: DateTime<Utc>) -> Self {
        Self::of(Source::Manual(Arc::new(Mutex::new(at))))
    }

    fn of(source: Source) -> Self {
        Self { source, ahead: Arc::default(), ids: Arc::new(Mutex::new(ContextV7::new())) }
    }

    /// The current time in UTC, in microseconds like in the database.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.machine() + TimeDelta::microseconds(self.ahead.load(Ordering::Relaxed))
    }

    /// The current time of the machine, without the offset of a sandbox.
    #[must_use]
    pub fn machine(&self) -> DateTime<Utc> {
        match &self.source {
            #[allow(clippy::disallowed_methods, reason = "this is the place")]
            Source::System => Utc::now().trunc_subsecs(6),
            Source::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Sets a manual clock. Has no effect on the machine's clock.
    pub fn set(&self, now: DateTime<Utc>) {
        if let Source::Manual(at) = &self.source {
            *at.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
    }

    /// Sets how far the clock of a sandbox is ahead of the machine's clock. A smaller value than the current one is out
    /// of date, and is ignored.
    pub fn set_ahead(&self, ahead: TimeDelta) {
        self.ahead.fetch_max(ahead.num_microseconds().unwrap_or_default(), Ordering::Relaxed);
    }

    /// Generates an id for a resource of a customer. Its last two bytes are those of the customer's id. If the database
    /// is ever distributed over several servers, they show which server has a row.
    #[must_use]
    pub fn new_id_of(&self, customer_id: CustomerId) -> Uuid {
        let mut id = self.new_id().into_bytes();
        id[14..].copy_from_slice(&customer_id.0.as_bytes()[14..]);
        Uuid::from_bytes(id)
    }

    /// Generates a UUID v7. Such ids sort by the time at which they were generated.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        #[allow(clippy::disallowed_methods, reason = "this is the place")]
        Uuid::new_v7(Timestamp::from_unix(&*ids, seconds, now.timestamp_subsec_nanos()))
    }
}
