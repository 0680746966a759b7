//! What an instance remembers of keys and resellers, so that a request with a known key costs no query.
//!
//! Whatever changes who may do what raises the *access version* in the database, in the same transaction. What
//! is remembered was read together with a version. It is believed only while that version is the last one known,
//! and this was asked for less than a second ago: so a change made elsewhere is obeyed within a second, and so
//! is nothing at all once the database cannot be asked.
//!
//! A change made here is obeyed at once: when it is committed, everything is [forgotten](AccessCache::forget),
//! and no answer to a question from before can bring it back.

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

/// How long a version is believed to be the last one, from when it was asked for.
pub const BELIEVED_FOR: Duration = Duration::from_secs(1);

/// The most keys, and the most resellers, that are remembered; with more, it is begun anew.
pub const MOST: usize = 10_000;

/// What is remembered; clones are the same.
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
    /// How often everything was forgotten.
    epoch: u64,
    /// The last known version, and when it was asked for.
    known: Option<(Version, Instant)>,
    /// As of that version, like all that follows.
    credentials: HashMap<SecretHash, Credential>,
    resellers: HashMap<ResellerId, ResellerStatus>,
}

/// When keys were used, to the minute.
#[derive(Default)]
struct Uses {
    pending: HashMap<ApiKeyId, DateTime<Utc>>,
    written: HashMap<ApiKeyId, DateTime<Utc>>,
}

/// That the database is asked for something: made before it is.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    epoch: u64,
    asked: Instant,
}

impl AccessCache {
    /// A question that is about to be asked.
    #[must_use]
    pub fn ask(&self, now: Instant) -> Question {
        Question { epoch: self.memory().epoch, asked: now }
    }

    /// Takes note of the version in an answer.
    pub fn learn(&self, question: Question, version: Version) {
        self.memory().learn(question, version);
    }

    /// Keeps what a secret stands for, as it was read together with a version.
    pub fn keep_credential(&self, question: Question, version: Version, secret: SecretHash, credential: &Credential) {
        let mut memory = self.memory();
        if memory.learn(question, version) {
            keep(&mut memory.credentials, secret, credential.clone());
        }
    }

    /// Keeps whether a reseller works, as it was read together with a version.
    pub fn keep_reseller(&self, question: Question, version: Version, id: ResellerId, status: ResellerStatus) {
        let mut memory = self.memory();
        if memory.learn(question, version) {
            keep(&mut memory.resellers, id, status);
        }
    }

    /// What a secret stands for, if that is remembered and can be believed.
    #[must_use]
    pub fn credential(&self, secret: &SecretHash, now: Instant) -> Option<Credential> {
        let memory = self.memory();
        memory.credentials.get(secret).filter(|_| memory.can_be_believed(now)).cloned()
    }

    /// Whether a reseller works, if that is remembered and can be believed.
    #[must_use]
    pub fn reseller(&self, id: ResellerId, now: Instant) -> Option<ResellerStatus> {
        let memory = self.memory();
        memory.resellers.get(&id).filter(|_| memory.can_be_believed(now)).copied()
    }

    /// Forgets everything, and whatever was asked for before this.
    pub fn forget(&self) {
        self.memory().forget();
    }

    /// Notes that a key is used.
    pub fn note_use(&self, id: ApiKeyId, at: DateTime<Utc>) {
        let minute = at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at);
        let Uses { pending, written } = &mut *self.uses();
        if written.get(&id).is_none_or(|written| *written < minute) {
            pending.insert(id, minute);
        }
    }

    /// The uses that are to be written, in order of key.
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
            // It may have been used in another minute meanwhile.
            if pending.get(id) == Some(at) {
                pending.remove(id);
            }
            keep(written, *id, *at);
        }
    }

    /// What is remembered of unknown keys.
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
    /// Takes note of a version, and answers whether what came with it can be kept.
    fn learn(&mut self, question: Question, version: Version) -> bool {
        if question.epoch != self.epoch {
            return false;
        }
        match self.known.map(|(known, asked)| (version.cmp(&known), asked)) {
            Some((Ordering::Equal, asked)) => self.known = Some((version, asked.max(question.asked))),
            // An answer that was long on its way, or a database that knows less than it did: which, nobody can say.
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

/// Keeps one more.
fn keep<K: Eq + std::hash::Hash, V>(all: &mut HashMap<K, V>, key: K, value: V) {
    if all.len() >= MOST && !all.contains_key(&key) {
        all.clear();
    }
    all.insert(key, value);
}
