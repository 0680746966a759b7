//! How often a caller may come. A request is counted in memory and costs no query; what the instances have
//! counted they tell each other through the database, about once a second. While that is away, each counts for
//! itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Result;
use crate::domain::authorization::Actor;
use crate::domain::limits::budget::Holder;
use crate::domain::limits::rate_limit::{Counts, Limited, Limits, RateLimitKind, Standing, Verdict, Window};
use crate::platform::clock::Clock;
use crate::platform::db::Db;
use crate::store::rate_limits;

/// The limits of this instance, and what it has counted.
#[derive(Clone)]
pub struct RateLimits {
    limits: Limits,
    /// The machine's time: a sandbox's jumps.
    clock: Clock,
    counts: Arc<Mutex<Counts>>,
    /// The window in which old ones were last forgotten. One exchange at a time has it.
    forgotten: Arc<tokio::sync::Mutex<Option<Window>>>,
}

impl RateLimits {
    /// Limits, and nothing counted yet.
    #[must_use]
    pub fn new(limits: Limits, clock: Clock) -> Self {
        let counts = Counts::new(clock.machine());
        Self { limits, clock, counts: Arc::new(Mutex::new(counts)), forgotten: Arc::default() }
    }

    /// Counts a request of an actor, for itself and for its tenant, and says whether it may go on; `None` where there
    /// is no limit.
    #[must_use]
    pub fn count(&self, actor: &Actor, kind: RateLimitKind) -> Option<Verdict> {
        let caller = self.limits.of(kind).map(|limit| (actor.label(), Holder::Caller, limit));
        let tenant = self.limits.of_tenant(kind).map(|limit| (actor.scope.label(), Holder::Tenant, limit));
        let limited = caller.into_iter().chain(tenant).map(|(name, holder, limit)| Limited { name, holder, limit });
        self.counts().count(kind, &limited.collect::<Vec<_>>(), self.clock.machine())
    }

    /// Where a caller stands that stood so a while ago, as far as its own requests since then do not matter.
    #[must_use]
    pub fn by_now(&self, standing: Standing) -> Standing {
        Standing { seconds_left: standing.window.seconds_left(self.clock.machine()), ..standing }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the other instances what was counted here since the last time, and learns what all have counted of the
/// same callers. Costs no query where there is nothing to tell. What is told when the database fails in the
/// middle may count twice.
///
/// # Errors
/// The database fails; what was to be told is told the next time.
pub async fn exchange(limits: &RateLimits, db: &Db) -> Result<()> {
    let mut forgotten = limits.forgotten.lock().await;
    let (window, news) = limits.counts().news(limits.clock.machine());
    if news.is_empty() {
        return Ok(());
    }
    let totals = db.statement(async |conn| Ok::<_, super::Error>(rate_limits::add(conn, window, &news).await?)).await?;
    limits.counts().learn(window, &news, &totals);
    if *forgotten != Some(window) {
        // Another instance's clock may be behind.
        let old = window.previous();
        db.send(vec![rate_limits::delete_before(old)]).await?;
        *forgotten = Some(window);
    }
    Ok(())
}
