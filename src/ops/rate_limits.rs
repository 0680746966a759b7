//! Rate limits. Requests are counted in memory, without a query. About once a second, the instances exchange their
//! counts through the database. While the database is unavailable, each instance counts only its own requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Result;
use crate::domain::authorization::Actor;
use crate::domain::limits::budget::Holder;
use crate::domain::limits::rate_limit::{Counts, Limited, Limits, RateLimitKind, Standing, Verdict, Window};
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::store::rate_limits;

/// The limits and the counts of this instance.
#[derive(Clone)]
pub struct RateLimits {
    limits: Limits,
    /// Only the machine's time is used, because the time of a sandbox jumps.
    clock: Clock,
    counts: Arc<Mutex<Counts>>,
    /// The window in which old counts were last deleted. The lock also ensures that only one exchange runs at a time.
    forgotten: Arc<tokio::sync::Mutex<Option<Window>>>,
}

impl RateLimits {
    /// Creates limits with empty counts.
    #[must_use]
    pub fn new(limits: Limits, clock: Clock) -> Self {
        let counts = Counts::new(clock.machine());
        Self { limits, clock, counts: Arc::new(Mutex::new(counts)), forgotten: Arc::default() }
    }

    /// Counts a request for its actor and its tenant. Returns whether it is allowed; `None` if there is no limit.
    #[must_use]
    pub fn count(&self, actor: &Actor, kind: RateLimitKind) -> Option<Verdict> {
        let caller = self.limits.of(kind).map(|limit| (actor.label(), Holder::Caller, limit));
        let tenant = self.limits.of_tenant(kind).map(|limit| (actor.scope.label(), Holder::Tenant, limit));
        let limited = caller.into_iter().chain(tenant).map(|(name, holder, limit)| Limited { name, holder, limit });
        self.counts().count(kind, &limited.collect::<Vec<_>>(), self.clock.machine())
    }

    /// Updates the seconds that are left in an earlier state of a limit. Does not count the requests since then.
    #[must_use]
    pub fn by_now(&self, standing: Standing) -> Standing {
        Standing { seconds_left: standing.window.seconds_left(self.clock.machine()), ..standing }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the new counts of this instance to the other instances, and receives the totals of the same callers. Needs no
/// query if there are no new counts. If the database fails during the exchange, some requests may be counted twice.
///
/// # Errors
/// The database fails. The counts are then sent with the next exchange.
pub async fn exchange(limits: &RateLimits, db: &Db) -> Result<()> {
    let mut forgotten = limits.forgotten.lock().await;
    let (window, news) = limits.counts().news(limits.clock.machine());
    if news.is_empty() {
        return Ok(());
    }
    let totals = db.statement(async |conn| Ok::<_, super::Error>(rate_limits::add(conn, window, &news).await?)).await?;
    limits.counts().learn(window, &news, &totals);
    if *forgotten != Some(window) {
        // Keeps the previous window, because the clock of another instance may be behind.
        let old = window.previous();
        db.send(vec![rate_limits::delete_before(old)]).await?;
        *forgotten = Some(window);
    }
    Ok(())
}
