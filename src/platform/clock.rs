//! Time and ids: the one file that asks the machine for either. Everything else is handed a [`Clock`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::domain::id::CustomerId;

/// What time it is.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    /// How far a sandbox's clock is ahead of the machine's, in microseconds.
    ahead: Arc<AtomicI64>,
    /// Keeps ids of the same millisecond in the order in which they were made.
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

    /// A clock that stands at an instant until it is set.
    #[must_use]
    pub fn manual(at: DateTime<Utc>) -> Self {
        Self::of(Source::Manual(Arc::new(Mutex::new(at))))
    }

    fn of(source: Source) -> Self {
        Self { source, ahead: Arc::default(), ids: Arc::new(Mutex::new(ContextV7::new())) }
    }

    /// Now, in UTC, in microseconds: as the database keeps it.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.machine() + TimeDelta::microseconds(self.ahead.load(Ordering::Relaxed))
    }

    /// The same without what a sandbox has moved it by.
    #[must_use]
    pub fn machine(&self) -> DateTime<Utc> {
        match &self.source {
            #[allow(clippy::disallowed_methods, reason = "this is the place")]
            Source::System => Utc::now().trunc_subsecs(6),
            Source::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Sets a manual clock; the machine's cannot be set.
    pub fn set(&self, now: DateTime<Utc>) {
        if let Source::Manual(at) = &self.source {
            *at.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
    }

    /// Puts the clock so far ahead of the machine's: only a sandbox does. What is less than it is already is
    /// old news, and does not put it back.
    pub fn set_ahead(&self, ahead: TimeDelta) {
        self.ahead.fetch_max(ahead.num_microseconds().unwrap_or_default(), Ordering::Relaxed);
    }

    /// A new id for what is a customer's: its last two bytes are those of the customer's id. A database that is one day
    /// spread over several servers finds by them where a row is.
    #[must_use]
    pub fn new_id_of(&self, customer_id: CustomerId) -> Uuid {
        let mut id = self.new_id().into_bytes();
        id[14..].copy_from_slice(&customer_id.0.as_bytes()[14..]);
        Uuid::from_bytes(id)
    }

    /// A new id, UUID v7: ids sort by the time at which they were made.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        #[allow(clippy::disallowed_methods, reason = "this is the place")]
        Uuid::new_v7(Timestamp::from_unix(&*ids, seconds, now.timestamp_subsec_nanos()))
    }
}
