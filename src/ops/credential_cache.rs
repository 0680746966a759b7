//! The credentials cache of an instance: API keys and resellers, so that a request with a known key needs no query.
//!
//! Every change of credentials increments the *access version* in the database, in the same transaction. Cached entries
//! were read together with a version. They are valid only while that version is the last known one, and was confirmed
//! less than a second ago. So a change on another instance takes effect within a second. When the database is
//! unavailable for longer, no cached entry is valid.
//!
//! A change on this instance takes effect immediately: when it is committed, the cache is
//! [cleared](AccessCache::forget), and the result of an earlier query cannot restore an old entry.

pub mod strangers;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::domain::credentials::credential::Credential;
use crate::domain::credentials::secret::SecretHash;
use crate::domain::id::{ApiKeyId, ResellerId, Version};
use crate::domain::parties::reseller::ResellerStatus;
use strangers::Strangers;

/// How long a version is valid as the last known one, counted from the start of the query for it.
pub const BELIEVED_FOR: Duration = Duration::from_secs(1);

/// The maximum number of keys, and of resellers. When it is reached, the map is cleared.
pub const MOST: usize = 10_000;

/// The cache. Clones share it.
#[derive(Clone, Default)]
pub struct AccessCache(Arc<Shared>);

#[derive(Default)]
struct Shared {
    memory: Mutex<Memory>,
    strangers: Mutex<Strangers>,
    uses: Mutex<Uses>,
}

#[derive(Default)]
struct Memory {
    /// How many times the cache was cleared.
    epoch: u64,
    /// The last known version, and when the query for it started.
    known: Option<(Version, Instant)>,
    /// Read at that version, like the resellers.
    credentials: HashMap<SecretHash, Credential>,
    resellers: HashMap<ResellerId, ResellerStatus>,
}

/// When keys were last used, to the minute.
#[derive(Default)]
struct Uses {
    pending: HashMap<ApiKeyId, DateTime<Utc>>,
    written: HashMap<ApiKeyId, DateTime<Utc>>,
}

/// The start of a query for credentials. Create it before the query is sent.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    epoch: u64,
    asked: Instant,
}

impl AccessCache {
    /// Notes that a query starts.
    #[must_use]
    pub fn ask(&self, now: Instant) -> Question {
        Question { epoch: self.memory().epoch, asked: now }
    }

    /// Notes the version in the result of a query.
    pub fn learn(&self, question: Question, version: Version) {
        self.memory().learn(question, version);
    }

    /// Caches the credential of a secret, which was read together with a version.
    pub fn keep_credential(&self, question: Question, version: Version, secret: SecretHash, credential: &Credential) {
        let mut memory = self.memory();
        if memory.learn(question, version) {
            keep(&mut memory.credentials, secret, credential.clone());
        }
    }

    /// Caches the status of a reseller, which was read together with a version.
    pub fn keep_reseller(&self, question: Question, version: Version, id: ResellerId, status: ResellerStatus) {
        let mut memory = self.memory();
        if memory.learn(question, version) {
            keep(&mut memory.resellers, id, status);
        }
    }

    /// Returns the credential of a secret, if it is cached and valid.
    #[must_use]
    pub fn credential(&self, secret: &SecretHash, now: Instant) -> Option<Credential> {
        let memory = self.memory();
        memory.credentials.get(secret).filter(|_| memory.can_be_believed(now)).cloned()
    }

    /// Returns the status of a reseller, if it is cached and valid.
    #[must_use]
    pub fn reseller(&self, id: ResellerId, now: Instant) -> Option<ResellerStatus> {
        let memory = self.memory();
        memory.resellers.get(&id).filter(|_| memory.can_be_believed(now)).copied()
    }

    /// Clears the cache. The results of queries that started before are ignored.
    pub fn forget(&self) {
        self.memory().forget();
    }

    /// Notes that a key was used.
    pub fn note_use(&self, id: ApiKeyId, at: DateTime<Utc>) {
        let minute = at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at);
        let Uses { pending, written } = &mut *self.uses();
        if written.get(&id).is_none_or(|written| *written < minute) {
            pending.insert(id, minute);
        }
    }

    /// Returns the uses that must be written, sorted by key.
    #[must_use]
    pub fn pending_uses(&self) -> Vec<(ApiKeyId, DateTime<Utc>)> {
        let mut all: Vec<_> = self.uses().pending.iter().map(|(id, at)| (*id, *at)).collect();
        all.sort_unstable();
        all
    }

    /// Notes that uses were written.
    pub fn uses_are_written(&self, uses: &[(ApiKeyId, DateTime<Utc>)]) {
        let Uses { pending, written } = &mut *self.uses();
        for (id, at) in uses {
            // The key may have been used again in a later minute.
            if pending.get(id) == Some(at) {
                pending.remove(id);
            }
            keep(written, *id, *at);
        }
    }

    /// The cache of unknown keys.
    pub fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.0.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.0.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Notes a version. Returns whether entries that were read with it can be cached.
    fn learn(&mut self, question: Question, version: Version) -> bool {
        if question.epoch != self.epoch {
            return false;
        }
        match self.known.map(|(known, asked)| (version.cmp(&known), asked)) {
            Some((Ordering::Equal, asked)) => self.known = Some((version, asked.max(question.asked))),
            // Either a delayed result, or a database that was restored to an earlier state. It is impossible to tell
            // which.
            Some((Ordering::Less, _)) => {
                self.forget();
                return false;
            }
            Some((Ordering::Greater, _)) | None => {
                self.credentials.clear();
                self.resellers.clear();
                self.known = Some((version, question.asked));
            }
        }
        true
    }

    fn can_be_believed(&self, now: Instant) -> bool {
        self.known.is_some_and(|(_, asked)| now.saturating_duration_since(asked) < BELIEVED_FOR)
    }

    fn forget(&mut self) {
        *self = Self { epoch: self.epoch + 1, ..Self::default() };
    }
}

/// Adds an entry; clears the map first if it is full.
fn keep<K: Eq + std::hash::Hash, V>(all: &mut HashMap<K, V>, key: K, value: V) {
    if all.len() >= MOST && !all.contains_key(&key) {
        all.clear();
    }
    all.insert(key, value);
}
