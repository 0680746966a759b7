//! Tells the other instances how often callers came here, about once a second, and learns it from them.

use std::time::Duration;

use crate::ops::rate_limits::{RateLimits, exchange};
use crate::platform::db::Db;

/// Between one exchange and the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Goes on for as long as the service serves, on every instance that has limits.
pub async fn run(limits: RateLimits, db: Db) {
    let mut alone = false;
    loop {
        tokio::time::sleep(PAUSE).await;
        match exchange(&limits, &db).await {
            Err(error) if !alone => {
                alone = true;
                tracing::warn!(%error, "each instance counts requests for itself until the database is back");
            }
            Ok(()) if alone => {
                alone = false;
                tracing::info!("instances count requests together again");
            }
            _ => {}
        }
    }
}
