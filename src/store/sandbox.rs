//! The clock of a sandbox: how far it is ahead of the machine's. It is nobody's in particular.

use chrono::TimeDelta;
use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_async::RunQueryDsl;

use super::run::{Statement, Write, send};
use super::schema::sandbox_clock;
use super::{Conn, Result};

/// How far a clock is ahead, and how far it is on its way to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ahead {
    /// How far it is.
    pub now: TimeDelta,
    /// How far it is to be; never less.
    pub target: TimeDelta,
}

type Row = (i64, i64);

fn ahead((now, target): Row) -> Ahead {
    Ahead { now: TimeDelta::microseconds(now), target: TimeDelta::microseconds(target) }
}

/// How far the clock is ahead; `None` where no sandbox ever was.
///
/// # Errors
/// The database fails.
pub async fn find(mut conn: &Conn) -> Result<Option<Ahead>> {
    let query = sandbox_clock::table.select((sandbox_clock::ahead_us, sandbox_clock::target_us));
    Ok(query.first::<Row>(&mut conn).await.optional()?.map(ahead))
}

/// The same, which nobody else moves until the transaction ends. The clock is there from now on.
///
/// # Errors
/// The database fails.
pub async fn lock(mut conn: &Conn) -> Result<Ahead> {
    send(conn, vec![save(Ahead::default())]).await?;
    let query = sandbox_clock::table.select((sandbox_clock::ahead_us, sandbox_clock::target_us));
    Ok(ahead(query.for_update().first::<Row>(&mut conn).await?))
}

/// Moves the clock, never backwards: whoever is further ahead has moved it.
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
