//! The audit trail. Entries are never changed, except that sealing fills in their missing seal.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{self, Array, BigInt, Bytea};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::columns::Json;
use super::filters::{between, made_between, one_of};
use super::run::{Statement, Write, send};
use super::schema::{audit_chain, audit_entries, audit_queue, audit_resources, audit_seals};
use super::{Conn, Result};
use crate::domain::authorization::{Role, Scope};
use crate::domain::events::ResourceType;
use crate::domain::events::audit::{AuditFilter, Change, Entry, Link, Outcome};
use crate::domain::id::{AuditEntryId, CustomerId, ResellerId};
use crate::domain::listing::{Page, Position, SortValue, Window};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_entries, treat_none_as_default_value = false, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: AuditEntryId,
    customer_id: Option<CustomerId>,
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
            customer_id: entry.customer_id,
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
            customer_id: row.customer_id,
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

/// Inserts an entry. A trigger lists the resources of the entry, and queues it for sealing.
#[must_use]
pub fn insert(entry: Entry) -> Write {
    diesel::insert_into(audit_entries::table).values(Row::from(entry)).later()
}

/// Lists the successful and failed writes of callers in scope, newest first.
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
    query = one_of!(query, audit_entries::outcome, filter.outcome);
    query = made_between!(
        query,
        audit_entries::id,
        audit_entries::occurred_at,
        filter.occurred_after,
        filter.occurred_before
    );
    if let Some(after) = &window.after {
        query = query.filter(audit_entries::id.lt(after.id));
    }
    let rows: Vec<Row> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position { value: SortValue::Id, id: row.id.0 });
    Ok(page.map(Entry::from))
}

/// Returns the end of the chain. It takes no scope, because there is one chain for all tenants.
pub async fn end(mut conn: &Conn) -> Result<Link> {
    let (position, seal) =
        audit_chain::table.select((audit_chain::position, audit_chain::seal)).first(&mut conn).await?;
    Ok(Link { position, seal })
}

/// Locks the end of the chain, in order to append to it. Returns `None` if another transaction has locked it.
pub async fn lock_end(mut conn: &Conn) -> Result<Option<Link>> {
    let end = audit_chain::table.select((audit_chain::position, audit_chain::seal)).for_update().skip_locked();
    let end: Option<(i64, Vec<u8>)> = end.first(&mut conn).await.optional()?;
    Ok(end.map(|(position, seal)| Link { position, seal }))
}

/// Returns the next entries without a seal, in the order of writing, with their positions in the queue.
pub async fn open_entries(mut conn: &Conn, limit: i64) -> Result<Vec<(i64, Entry)>> {
    let query = audit_queue::table
        .inner_join(audit_entries::table)
        .order(audit_queue::seq)
        .limit(limit)
        .select((audit_queue::seq, Row::as_select()));
    let rows: Vec<(i64, Row)> = query.load(&mut conn).await?;
    Ok(rows.into_iter().map(|(seq, row)| (seq, Entry::from(row))).collect())
}

/// Counts the entries without a seal.
pub async fn count_open(mut conn: &Conn) -> Result<i64> {
    Ok(audit_queue::table.count().get_result(&mut conn).await?)
}

/// A sealed entry.
pub struct Sealed {
    /// The position of the entry in the queue.
    pub seq: i64,
    pub id: AuditEntryId,
    /// The link of the entry in the chain.
    pub link: Link,
}

/// Seals entries, and moves the end of the chain behind them. Lock the end first.
pub async fn seal(conn: &Conn, sealed: &[Sealed]) -> Result<()> {
    let Some(Sealed { link: end, .. }) = sealed.last() else { return Ok(()) };
    let seqs: Vec<_> = sealed.iter().map(|sealed| sealed.seq).collect();
    let ids: Vec<_> = sealed.iter().map(|sealed| sealed.id).collect();
    let positions: Vec<_> = sealed.iter().map(|sealed| sealed.link.position).collect();
    let seals: Vec<_> = sealed.iter().map(|sealed| sealed.link.seal.clone()).collect();
    // One statement for all entries. With one statement for each, a slow database could exceed the time limit of the
    // transaction, and the next run would start with the same entries again.
    let add = diesel::sql_query(
        "INSERT INTO audit_seals (position, entry_id, seal) \
         SELECT * FROM unnest($1, $2, $3) AS sealed (position, entry_id, seal)",
    )
    .bind::<Array<BigInt>, _>(positions)
    .bind::<Array<sql_types::Uuid>, _>(ids)
    .bind::<Array<Bytea>, _>(seals);
    let moved = (audit_chain::position.eq(end.position), audit_chain::seal.eq(end.seal.clone()));
    let take = audit_queue::table.filter(audit_queue::seq.eq_any(seqs));
    let writes = vec![add.later(), diesel::delete(take).later(), diesel::update(audit_chain::table).set(moved).later()];
    send(conn, writes).await
}

/// Lists sealed entries after a position, in order.
pub async fn sealed_entries(mut conn: &Conn, after: i64, limit: i64) -> Result<Vec<(Entry, Link)>> {
    let query = audit_seals::table
        .inner_join(audit_entries::table)
        .filter(audit_seals::position.gt(after))
        .order(audit_seals::position)
        .limit(limit)
        .select((Row::as_select(), audit_seals::position, audit_seals::seal));
    let rows: Vec<(Row, i64, Vec<u8>)> = query.load(&mut conn).await?;
    Ok(rows.into_iter().map(|(row, position, seal)| (row.into(), Link { position, seal })).collect())
}
