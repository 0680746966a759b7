//! Sort keys that an older or newer release made by another rule: finds and rebuilds them.

use diesel::dsl::{max, min};
use diesel::prelude::*;
use diesel::sql_types::{Array, SmallInt, Text};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::run::Statement;
use super::schema::{customers, price_lists, products, resellers};
use super::{Conn, Result};
use crate::domain::text::sort_key;

/// The number of rows that one transaction changes. They are locked only for the duration of one statement.
const BATCH: i64 = 500;

/// The result of one pass over a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// The rows that got a new key.
    pub rebuilt: usize,
    /// The rows that another transaction had locked or changed. They need another pass.
    pub skipped: usize,
}

/// Rebuilds the keys of a table whose version is not the current one.
macro_rules! pass {
    ($conn:expr, $table:ident, $name:ident) => {{
        let mut pass = Pass::default();
        let versions = $table::table.select((min($table::name_key_version), max($table::name_key_version)));
        let (lowest, highest): (Option<i16>, Option<i16>) = versions.first(&mut $conn).await?;
        // Two versions at a time are enough: the caller repeats the pass until nothing is left.
        let versions = [lowest, highest];
        for version in versions.into_iter().flatten().filter(|version| *version != sort_key::VERSION) {
            let mut after = Uuid::nil();
            loop {
                let rows: Vec<(Uuid, String)> = $table::table
                    .filter($table::name_key_version.eq(version))
                    .filter($table::id.gt(after))
                    .order($table::id)
                    .select(($table::id, $table::$name))
                    .limit(BATCH)
                    .load(&mut $conn)
                    .await?;
                let Some((last, _)) = rows.last() else { break };
                after = *last;
                let rebuilt = save($conn, stringify!($table), stringify!($name), &rows).await?;
                pass.rebuilt += rebuilt;
                pass.skipped += rows.len() - rebuilt;
            }
        }
        pass
    }};
}

/// Passes once over all tables with sort keys. If there is nothing to rebuild, this costs two index look-ups per table.
/// It can be interrupted and repeated at any time, also by several instances at once.
pub async fn rebuild(mut conn: &Conn) -> Result<Pass> {
    let passes = [
        pass!(conn, resellers, company_name),
        pass!(conn, customers, company_name),
        pass!(conn, products, name),
        pass!(conn, price_lists, name),
    ];
    Ok(passes.into_iter().fold(Pass::default(), |all, pass| Pass {
        rebuilt: all.rebuilt + pass.rebuilt,
        skipped: all.skipped + pass.skipped,
    }))
}

/// Saves the keys of rows whose names have not changed since the keys were made. Locked rows are skipped: waiting for a
/// request that has one row locked and waits for another could be a deadlock.
async fn save(conn: &Conn, table: &str, name: &str, rows: &[(Uuid, String)]) -> Result<usize> {
    let (ids, names): (Vec<_>, Vec<_>) = rows.iter().map(|(id, name)| (*id, name.as_str())).unzip();
    let keys: Vec<_> = names.iter().map(|name| sort_key::of(name)).collect();
    let statement = format!(
        "WITH made AS (SELECT * FROM unnest($1, $2, $3) AS made (id, name, key)), \
         free AS (SELECT {table}.id, made.key FROM {table} JOIN made ON made.id = {table}.id \
             WHERE {table}.{name} = made.name ORDER BY {table}.id FOR NO KEY UPDATE OF {table} SKIP LOCKED) \
         UPDATE {table} SET name_key = free.key, name_key_version = $4 FROM free WHERE {table}.id = free.id"
    );
    let saved = diesel::sql_query(statement)
        .bind::<Array<diesel::sql_types::Uuid>, _>(ids)
        .bind::<Array<Text>, _>(names)
        .bind::<Array<Text>, _>(keys)
        .bind::<SmallInt, _>(sort_key::VERSION)
        .run(conn)
        .await?;
    Ok(saved)
}
