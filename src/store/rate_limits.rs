//! The number of requests of each caller, over all instances.

use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;

use super::run::{Statement, Write};
use super::schema::rate_limit_windows as windows;
use super::{Conn, Result};
use crate::domain::limits::rate_limit::{Count, RateLimitKind, Window};

/// A statement has at most 65,535 parameters, and a row has four.
const ROWS: usize = 10_000;

/// Adds counts to a window, and returns the totals. Concurrent instances wait for each other, but cannot deadlock if
/// the counts are in the same order.
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

/// Deletes the counts of windows before this one.
#[must_use]
pub fn delete_before(window: Window) -> Write {
    diesel::delete(windows::table.filter(windows::window_start.lt(window.start()))).later()
}
