//! How often callers came, on all instances together.

use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;

use super::run::{Statement, Write};
use super::schema::rate_limit_windows as windows;
use super::{Conn, Result};
use crate::domain::limits::rate_limit::{Count, RateLimitKind, Window};

/// A statement has 65,535 parameters at most, and a row four of them.
const ROWS: usize = 10_000;

/// Adds to what was counted in a window, and answers what that comes to. Instances that add at once wait for each
/// other, and never in a circle where the counts are in the same order.
///
/// # Errors
/// The database fails.
pub async fn add(mut conn: &Conn, window: Window, counts: &[Count]) -> Result<Vec<Count>> {
    let mut totals = Vec::with_capacity(counts.len());
    for counts in counts.chunks(ROWS) {
        let row = |count: &Count| {
            (
                windows::window_start.eq(window.start()),
                windows::caller.eq(count.caller.clone()),
                windows::kind.eq(count.kind),
                windows::requests.eq(count.requests),
            )
        };
        let rows: Vec<(String, RateLimitKind, i64)> = diesel::insert_into(windows::table)
            .values(counts.iter().map(row).collect::<Vec<_>>())
            .on_conflict((windows::window_start, windows::caller, windows::kind))
            .do_update()
            .set(windows::requests.eq(windows::requests + excluded(windows::requests)))
            .returning((windows::caller, windows::kind, windows::requests))
            .load(&mut conn)
            .await?;
        totals.extend(rows.into_iter().map(|(caller, kind, requests)| Count { caller, kind, requests }));
    }
    Ok(totals)
}

/// Forgets what was counted before a window.
#[must_use]
pub fn delete_before(window: Window) -> Write {
    diesel::delete(windows::table.filter(windows::window_start.lt(window.start()))).later()
}
