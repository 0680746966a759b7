//! What a request's credential is worth: remembered by the instance, looked up when it is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::{Error, Result};
use crate::access_cache::AccessCache;
use crate::db::Db;
use crate::domain::credential::Credential;
use crate::domain::id::ResellerId;
use crate::domain::reseller::ResellerStatus;
use crate::domain::secret::Secret;
use crate::store::{self, access};

/// What a text stands for that somebody presents as a key; `None` when it is no key. Whether it works at this
/// instant is up to [`Credential::check`].
///
/// # Errors
/// The database fails.
pub async fn credential(db: &Db, cache: &AccessCache, text: &str) -> Result<Option<Credential>> {
    // What cannot be a key costs no query.
    let Some(secret) = Secret::parse(text).map(|secret| secret.hash()) else { return Ok(None) };
    let now = Instant::now();
    if let Some(credential) = cache.credential(&secret, now) {
        return Ok(Some(credential));
    }
    let question = cache.ask(now);
    metrics::counter!("access_lookups_total").increment(1);
    let found = db.statement(async |conn| Ok::<_, Error>(access::credential(conn, &secret).await?)).await?;
    Ok(found.map(|(credential, version)| {
        cache.keep_credential(question, version, secret, &credential);
        credential
    }))
}

/// Whether a reseller works; `None` when there is no such reseller.
///
/// # Errors
/// The database fails.
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
    let written = db.statement(async |conn| Ok::<_, Error>(access::save_uses(conn, &uses).await?)).await;
    if !matches!(written, Err(Error::Store(store::Error::Unavailable(_)))) {
        cache.uses_are_written(&uses);
    }
    written
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
