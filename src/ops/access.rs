//! Checks the credentials of requests, with a cache in this instance. Refreshes the cache, and writes when keys were
//! last used.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::{Error, Result};
use crate::domain::credentials::credential::Credential;
use crate::domain::credentials::secret::{Secret, SecretHash};
use crate::domain::id::ResellerId;
use crate::domain::parties::reseller::ResellerStatus;
use crate::ops::credential_cache::AccessCache;
use crate::ops::credential_cache::strangers::Admission;
use crate::platform::db::Db;
use crate::store::{self, access};

/// The result of looking up an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// The key exists. [`Credential::check`] tells whether it is valid now.
    Known(Credential),
    /// The key does not exist.
    Unknown,
    /// The address has sent too many unknown keys. The database was not queried.
    TooOften {
        /// Seconds until the address may try again.
        seconds_left: u64,
    },
}

/// Looks up an API key. Needs no query for a text that cannot be a key, for a key that was unknown a moment ago, and
/// for an address that has sent many unknown keys.
pub async fn credential(db: &Db, cache: &AccessCache, text: &str, source: Option<IpAddr>) -> Result<Looked> {
    let Some(secret) = Secret::parse(text).map(|secret| secret.hash()) else { return Ok(Looked::Unknown) };
    if let Some(looked) = remembered(cache, &secret, source) {
        return Ok(looked);
    }
    db.statement(async |conn| {
        // While this request waited for a connection, another one may have filled the cache.
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

/// Looks up a key in the cache only.
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

/// Returns the status of a reseller; `None` if the reseller does not exist.
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

/// Reads the current version of the credentials, which keeps the cache valid for some more time.
///
/// # Errors
/// The database fails. The cache is then cleared, because the database may be a different one when it is available
/// again.
pub async fn follow(db: &Db, cache: &AccessCache) -> Result<()> {
    let question = cache.ask(Instant::now());
    let version = db.statement(async |conn| Ok::<_, Error>(access::version(conn).await?)).await;
    match version {
        Ok(version) => cache.learn(question, version),
        Err(_) => cache.forget(),
    }
    version.map(drop)
}

/// Writes when keys were last used.
///
/// # Errors
/// The database fails. If it is only unavailable, the next call tries again.
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

/// Whether a request changes credentials, and the cache to clear if it does.
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
