//! What a request's credential is worth: remembered by the instance, looked up when it is not.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::{Error, Result};
use crate::access_cache::AccessCache;
use crate::access_cache::strangers::Admission;
use crate::db::Db;
use crate::domain::credential::Credential;
use crate::domain::id::ResellerId;
use crate::domain::reseller::ResellerStatus;
use crate::domain::secret::{Secret, SecretHash};
use crate::store::{self, access};

/// What became of looking for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// There is such a key. Whether it works at this instant is up to [`Credential::check`].
    Known(Credential),
    /// There is none.
    Unknown,
    /// Too many unknown keys came from the same address; the database was not asked.
    TooOften {
        /// Seconds until the address may try again.
        seconds_left: u64,
    },
}

/// Looks for the key that a text is. A text that cannot be a key, and one that was unknown a moment ago, cost no query;
/// neither does an address from which many unknown keys came.
pub async fn credential(db: &Db, cache: &AccessCache, text: &str, source: Option<IpAddr>) -> Result<Looked> {
    let Some(secret) = Secret::parse(text).map(|secret| secret.hash()) else { return Ok(Looked::Unknown) };
    if let Some(looked) = remembered(cache, &secret, source) {
        return Ok(looked);
    }
    db.statement(async |conn| {
        // Whoever waited for a connection may find what others were told meanwhile.
        if let Some(looked) = remembered(cache, &secret, source) {
            return Ok(looked);
        }
        let question = cache.ask(Instant::now());
        metrics::counter!("access_lookups_total").increment(1);
        let Some((credential, version)) = access::credential(conn, &secret).await? else {
            cache.strangers().note(secret, source, Instant::now());
            return Ok(Looked::Unknown);
        };
        cache.keep_credential(question, version, secret, &credential);
        Ok::<_, Error>(Looked::Known(credential))
    })
    .await
}

/// What is known of a key without asking the database.
fn remembered(cache: &AccessCache, secret: &SecretHash, source: Option<IpAddr>) -> Option<Looked> {
    let now = Instant::now();
    if let Some(credential) = cache.credential(secret, now) {
        return Some(Looked::Known(credential));
    }
    match cache.strangers().check(secret, source, now) {
        Admission::Unknown => Some(Looked::Unknown),
        Admission::TooOften { seconds_left } => Some(Looked::TooOften { seconds_left }),
        Admission::Open => None,
    }
}

/// Whether a reseller works; `None` when there is no such reseller.
pub async fn reseller_state(db: &Db, cache: &AccessCache, id: ResellerId) -> Result<Option<ResellerStatus>> {
    let now = Instant::now();
    if let Some(status) = cache.reseller(id, now) {
        return Ok(Some(status));
    }
    let question = cache.ask(now);
    metrics::counter!("access_lookups_total").increment(1);
    let found = db.statement(async |conn| Ok::<_, Error>(access::reseller(conn, id).await?)).await?;
    Ok(found.map(|(status, version)| {
        cache.keep_reseller(question, version, id, status);
        status
    }))
}

/// Asks for the version, so that what is remembered can be believed for another while.
///
/// # Errors
/// The database fails. What is remembered is forgotten: when the database comes back, it may be another.
pub async fn follow(db: &Db, cache: &AccessCache) -> Result<()> {
    let question = cache.ask(Instant::now());
    let version = db.statement(async |conn| Ok::<_, Error>(access::version(conn).await?)).await;
    match version {
        Ok(version) => cache.learn(question, version),
        Err(_) => cache.forget(),
    }
    version.map(drop)
}

/// Writes which keys were used.
///
/// # Errors
/// The database fails. When that may pass, they are written the next time.
pub async fn write_uses(db: &Db, cache: &AccessCache) -> Result<()> {
    let uses = cache.pending_uses();
    if uses.is_empty() {
        return Ok(());
    }
    let written = db.send(vec![access::save_uses(&uses)]).await;
    if !matches!(written, Err(store::Error::Unavailable(_))) {
        cache.uses_are_written(&uses);
    }
    Ok(written?)
}

/// Whether a request changes who may do what, and what is remembered of that.
#[derive(Clone, Default)]
pub(super) struct Change {
    cache: AccessCache,
    is_made: Arc<AtomicBool>,
}

impl Change {
    pub(super) fn of(cache: AccessCache) -> Self {
        Self { cache, is_made: Arc::default() }
    }

    pub(super) fn make(&self) {
        self.is_made.store(true, Ordering::Relaxed);
    }

    pub(super) fn forget(&self) {
        if self.is_made.load(Ordering::Relaxed) {
            self.cache.forget();
        }
    }
}
