//! The audit trail. Rows are only ever added; sealing adds what was left open.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Bytea};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::columns::Json;
use super::run::{Run, Running};
use super::schema::{audit_chain, audit_entries, audit_resources};
use super::{Conn, Result};
use crate::domain::access::{Role, Scope};
use crate::domain::audit::{Change, Entry, Link, Outcome};
use crate::domain::event::ResourceType;
use crate::domain::id::{AuditEntryId, ResellerId};
use crate::domain::listing::{AuditFilter, Page, Position, SortValue, Window};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_entries, treat_none_as_default_value = false, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: AuditEntryId,
    occurred_at: DateTime<Utc>,
    actor: String,
    role: Role,
    reseller_id: Option<ResellerId>,
    source_address: Option<String>,
    request_id: String,
    operation: String,
    resource_type: Option<ResourceType>,
    resource_id: Option<Uuid>,
    outcome: Outcome,
    status: i32,
    code: Option<String>,
    changes: Json<Vec<Change>>,
    changes_truncated: Option<bool>,
}

impl From<Entry> for Row {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            occurred_at: entry.occurred_at,
            actor: entry.actor,
            role: entry.role,
            reseller_id: entry.reseller_id,
            source_address: entry.source_address,
            request_id: entry.request_id,
            operation: entry.operation,
            resource_type: entry.resource.map(|(kind, _)| kind),
            resource_id: entry.resource.map(|(_, id)| id),
            outcome: entry.outcome,
            status: entry.status,
            code: entry.code,
            changes: Json(entry.changes),
            changes_truncated: entry.changes_truncated,
        }
    }
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            occurred_at: row.occurred_at,
            actor: row.actor,
            role: row.role,
            reseller_id: row.reseller_id,
            source_address: row.source_address,
            request_id: row.request_id,
            operation: row.operation,
            resource: row.resource_type.zip(row.resource_id),
            outcome: row.outcome,
            status: row.status,
            code: row.code,
            changes: row.changes.0,
            changes_truncated: row.changes_truncated,
        }
    }
}

/// Adds an entry. Which resources it is about is listed by the database, from what it says.
pub fn insert(conn: &Conn, entry: Entry) -> Running<'_> {
    diesel::insert_into(audit_entries::table).values(Row::from(entry)).run(conn)
}

/// What somebody in scope wrote or tried to, newest first.
///
/// # Errors
/// The database fails.
pub async fn list(mut conn: &Conn, scope: Scope, filter: &AuditFilter, window: &Window) -> Result<Page<Entry>> {
    let mut query = audit_entries::table
        .order(audit_entries::id.desc())
        .limit(window.limit + 1)
        .select(Row::as_select())
        .into_boxed();
    if let Some(own) = scope.reseller() {
        query = query.filter(audit_entries::reseller_id.eq(own));
    }
    if let Some(partner_id) = filter.partner_id {
        query = query.filter(audit_entries::reseller_id.eq(partner_id));
    }
    if let Some(actor) = &filter.actor {
        query = query.filter(audit_entries::actor.eq(actor));
    }
    if let Some(operation) = &filter.operation {
        query = query.filter(audit_entries::operation.eq(operation));
    }
    if let Some(resource_id) = filter.resource_id {
        let about = audit_resources::table.filter(audit_resources::resource_id.eq(resource_id));
        query = query.filter(audit_entries::id.eq_any(about.select(audit_resources::entry_id)));
    }
    if let Some(request_id) = &filter.request_id {
        query = query.filter(audit_entries::request_id.eq(request_id));
    }
    if !filter.outcome.is_empty() {
        query = query.filter(audit_entries::outcome.eq_any(&filter.outcome));
    }
    if let Some(after) = filter.occurred_after {
        query = query.filter(audit_entries::occurred_at.ge(after));
    }
    if let Some(before) = filter.occurred_before {
        query = query.filter(audit_entries::occurred_at.lt(before));
    }
    if let Some(after) = &window.after {
        query = query.filter(audit_entries::id.lt(after.id));
    }
    let rows: Vec<Row> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position { value: SortValue::Id, id: row.id.0 });
    Ok(page.map(Entry::from))
}

/// The end of the chain. This knows no scope: the chain is one for all.
///
/// # Errors
/// The database fails.
pub async fn end(mut conn: &Conn) -> Result<Link> {
    let (position, seal) =
        audit_chain::table.select((audit_chain::position, audit_chain::seal)).first(&mut conn).await?;
    Ok(Link { position, seal })
}

/// The end of the chain, for whoever goes on with it; `None` when somebody else is at it.
///
/// # Errors
/// The database fails.
pub async fn lock_end(mut conn: &Conn) -> Result<Option<Link>> {
    let end = audit_chain::table.select((audit_chain::position, audit_chain::seal)).for_update().skip_locked();
    let end: Option<(i64, Vec<u8>)> = end.first(&mut conn).await.optional()?;
    Ok(end.map(|(position, seal)| Link { position, seal }))
}

/// The next entries without a seal, in the order of writing.
///
/// # Errors
/// The database fails.
pub async fn open_entries(mut conn: &Conn, limit: i64) -> Result<Vec<Entry>> {
    let query = audit_entries::table
        .filter(audit_entries::position.is_null())
        .order(audit_entries::seq)
        .limit(limit)
        .select(Row::as_select());
    let rows: Vec<Row> = query.load(&mut conn).await?;
    Ok(rows.into_iter().map(Entry::from).collect())
}

/// How many entries have no seal.
///
/// # Errors
/// The database fails.
pub async fn count_open(mut conn: &Conn) -> Result<i64> {
    Ok(audit_entries::table.filter(audit_entries::position.is_null()).count().get_result(&mut conn).await?)
}

/// Seals entries, and moves the end behind them; it must be locked.
///
/// # Errors
/// The database fails.
pub async fn seal(conn: &Conn, sealed: &[(AuditEntryId, Link)]) -> Result<()> {
    let Some((_, end)) = sealed.last() else { return Ok(()) };
    let ids: Vec<_> = sealed.iter().map(|(id, _)| id.0).collect();
    let positions: Vec<_> = sealed.iter().map(|(_, link)| link.position).collect();
    let seals: Vec<_> = sealed.iter().map(|(_, link)| &*link.seal).collect();
    // One statement, however many they are: one for each would outlast the transaction when the database is slow, and
    // the next would begin with the same entries.
    diesel::sql_query(
        "UPDATE audit_entries SET position = sealed.position, seal = sealed.seal \
         FROM unnest($1, $2, $3) AS sealed (id, position, seal) WHERE audit_entries.id = sealed.id",
    )
    .bind::<Array<sql_types::Uuid>, _>(ids)
    .bind::<Array<BigInt>, _>(positions)
    .bind::<Array<Bytea>, _>(seals)
    .run(conn)
    .await?;
    diesel::update(audit_chain::table)
        .set((audit_chain::position.eq(end.position), audit_chain::seal.eq(&end.seal)))
        .run(conn)
        .await?;
    Ok(())
}

/// Sealed entries behind a position, in order.
///
/// # Errors
/// The database fails.
pub async fn sealed_entries(mut conn: &Conn, after: i64, limit: i64) -> Result<Vec<(Entry, Link)>> {
    let query = audit_entries::table
        .filter(audit_entries::position.gt(after))
        .order(audit_entries::position)
        .limit(limit)
        .select((Row::as_select(), audit_entries::position.assume_not_null(), audit_entries::seal.assume_not_null()));
    let rows: Vec<(Row, i64, Vec<u8>)> = query.load(&mut conn).await?;
    Ok(rows.into_iter().map(|(row, position, seal)| (row.into(), Link { position, seal })).collect())
}
