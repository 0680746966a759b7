//! Responses that are kept for retries. All of them belong to the caller.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text, Timestamptz};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::columns::Json;
use super::run::{Prepared, Statement, Write};
use super::schema::idempotency_keys;
use super::{Conn, Result};
use crate::domain::events::ResourceType;
use crate::domain::idempotency::{Answer, Claim, Kept};

#[derive(Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = idempotency_keys, treat_none_as_default_value = false, treat_none_as_null = true, check_for_backend(diesel::pg::Pg))]
struct Row {
    caller: String,
    key: String,
    fingerprint: Vec<u8>,
    operation: String,
    resource_type: Option<ResourceType>,
    resource_id: Option<Uuid>,
    status: i32,
    headers: Json<Vec<(String, String)>>,
    body: Vec<u8>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl From<&Kept> for Row {
    fn from(kept: &Kept) -> Self {
        let Claim { caller, key, fingerprint } = kept.claim.clone();
        let Answer { status, headers, body } = kept.answer.clone();
        Self {
            caller,
            key,
            fingerprint,
            operation: kept.operation.clone(),
            resource_type: kept.resource.map(|(kind, _)| kind),
            resource_id: kept.resource.map(|(_, id)| id),
            status,
            headers: Json(headers),
            body,
            created_at: kept.created_at,
            expires_at: kept.expires_at(),
        }
    }
}

impl From<Row> for Kept {
    fn from(row: Row) -> Self {
        Self {
            claim: Claim { caller: row.caller, key: row.key, fingerprint: row.fingerprint },
            operation: row.operation,
            resource: row.resource_type.zip(row.resource_id),
            answer: Answer { status: row.status, headers: row.headers.0, body: row.body },
            created_at: row.created_at,
        }
    }
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = Bool)]
    locked: bool,
}

/// Locks a caller's key until the transaction ends. Returns false if another request has locked it.
pub async fn lock(mut conn: &Conn, caller: &str, key: &str) -> Result<bool> {
    // Two different keys with the same hash would only block each other for a moment.
    let query = diesel::sql_query("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 7)) AS locked");
    let locked: Locked = Prepared(query.bind::<Text, _>(format!("{caller} {key}"))).get_result(&mut conn).await?;
    Ok(locked.locked)
}

/// Whether a request with a caller's key is in progress.
pub async fn is_locked(mut conn: &Conn, caller: &str, key: &str) -> Result<bool> {
    // This is how `pg_locks` shows an advisory lock on one bigint.
    let query = diesel::sql_query(
        "SELECT EXISTS (SELECT FROM pg_locks, hashtextextended($1, 7) AS lock (id) \
         WHERE locktype = 'advisory' AND objsubid = 1 \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND classid::bigint = (lock.id >> 32) & 4294967295 AND objid::bigint = lock.id & 4294967295) AS locked",
    );
    let locked: Locked = Prepared(query.bind::<Text, _>(format!("{caller} {key}"))).get_result(&mut conn).await?;
    Ok(locked.locked)
}

/// Returns what is kept for a caller's key.
pub async fn find(mut conn: &Conn, caller: &str, key: &str, now: DateTime<Utc>) -> Result<Option<Kept>> {
    let query = idempotency_keys::table.find((caller, key)).filter(idempotency_keys::expires_at.gt(now));
    let row: Option<Row> = query.select(Row::as_select()).first(&mut conn).await.optional()?;
    Ok(row.map(Kept::from))
}

/// Stores a response. It replaces a response that has expired.
#[must_use]
pub fn insert(kept: &Kept) -> Write {
    let row = Row::from(kept);
    diesel::insert_into(idempotency_keys::table)
        .values(row.clone())
        .on_conflict((idempotency_keys::caller, idempotency_keys::key))
        .do_update()
        .set(row)
        .later()
}

/// Deletes expired responses, at most `limit`, and returns how many.
pub async fn delete_expired(conn: &Conn, now: DateTime<Utc>, limit: i64) -> Result<usize> {
    // The condition is repeated, because a response may have been replaced meanwhile.
    let delete = diesel::sql_query(
        "DELETE FROM idempotency_keys WHERE expires_at <= $1 AND ctid = ANY (ARRAY( \
             SELECT ctid FROM idempotency_keys WHERE expires_at <= $1 LIMIT $2))",
    );
    Ok(delete.bind::<Timestamptz, _>(now).bind::<BigInt, _>(limit).run(conn).await?)
}
