//! Exchanges the request counts of this instance with the other instances, about once a second.

use std::time::Duration;

use crate::ops::rate_limits::{RateLimits, exchange};
use crate::platform::db::Db;

/// The pause between two exchanges.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs as long as the service serves requests, on every instance with rate limits.
pub async fn run(limits: RateLimits, db: Db) {
    let mut alone = false;
    loop {
        tokio::time::sleep(PAUSE).await;
        match exchange(&limits, &db).await {
            Err(error) if !alone => {
                alone = true;
                tracing::warn!(%error, "until the database is back, rate limits count only requests of this instance");
            }
            Ok(()) if alone => {
                alone = false;
                tracing::info!("rate limits count the requests of all instances again");
            }
            _ => {}
        }
    }
}
