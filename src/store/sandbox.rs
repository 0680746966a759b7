//! The clock of a sandbox: how far it is ahead of the machine's clock. It belongs to no tenant.

use chrono::TimeDelta;
use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;

use super::run::{Statement, Write, send};
use super::schema::sandbox_clock;
use super::{Conn, Result};

/// How far a clock is ahead now, and how far it is going to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ahead {
    pub now: TimeDelta,
    /// Never less than `now`.
    pub target: TimeDelta,
}

type Row = (i64, i64);

fn ahead((now, target): Row) -> Ahead {
    Ahead { now: TimeDelta::microseconds(now), target: TimeDelta::microseconds(target) }
}

/// How far the clock is ahead; `None` if there has never been a sandbox.
pub async fn find(mut conn: &Conn) -> Result<Option<Ahead>> {
    let query = sandbox_clock::table.select((sandbox_clock::ahead_us, sandbox_clock::target_us));
    Ok(query.first::<Row>(&mut conn).await.optional()?.map(ahead))
}

/// Returns how far the clock is ahead, and locks it until the transaction ends. Creates the clock if there is none.
pub async fn lock(mut conn: &Conn) -> Result<Ahead> {
    send(conn, vec![save(Ahead::default())]).await?;
    let query = sandbox_clock::table.select((sandbox_clock::ahead_us, sandbox_clock::target_us));
    Ok(ahead(query.for_update().first::<Row>(&mut conn).await?))
}

/// Moves the clock forward. If another instance has moved it further, it stays there.
#[must_use]
pub fn save(ahead: Ahead) -> Write {
    let micros = |delta: TimeDelta| delta.num_microseconds().unwrap_or(i64::MAX);
    diesel::insert_into(sandbox_clock::table)
        .values((
            sandbox_clock::only_one.eq(true),
            sandbox_clock::ahead_us.eq(micros(ahead.now)),
            sandbox_clock::target_us.eq(micros(ahead.target)),
        ))
        .on_conflict(sandbox_clock::only_one)
        .do_update()
        .set((
            sandbox_clock::ahead_us.eq(greatest(sandbox_clock::ahead_us, excluded(sandbox_clock::ahead_us))),
            sandbox_clock::target_us.eq(greatest(sandbox_clock::target_us, excluded(sandbox_clock::target_us))),
        ))
        .later()
}

diesel::define_sql_function! {
    /// The larger of two numbers.
    fn greatest(a: diesel::sql_types::BigInt, b: diesel::sql_types::BigInt) -> diesel::sql_types::BigInt;
}
