//! Events. They are written together with the change that they describe, and get their position in the feed later.

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::columns::Json;
use super::rows::{self, record};
use super::run::{Statement, Write};
use super::schema::{event_feed, event_places, event_queue, events};
use super::{Conn, Result};
use crate::domain::authorization::Scope;
use crate::domain::events::{Audience, Event, EventType, Headline, Reference, ResourceType};
use crate::domain::id::{CustomerId, EventId, ResellerId, Version};
use crate::domain::text::Code;

#[derive(Queryable, Selectable)]
#[diesel(table_name = events, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: EventId,
    customer_id: Option<CustomerId>,
    kind: EventType,
    certificate_type: Option<Code>,
    occurred_at: DateTime<Utc>,
    resource_type: ResourceType,
    resource_id: Uuid,
    resource_version: Option<Version>,
    data: Json<serde_json::Value>,
    actor: String,
    request_id: Option<String>,
}

/// A new event, and its recipient: a reseller, everyone, or the reseller that manages a customer.
struct New {
    id: EventId,
    customer_id: Option<CustomerId>,
    kind: EventType,
    certificate_type: Option<Code>,
    occurred_at: DateTime<Utc>,
    resource_type: ResourceType,
    resource_id: Uuid,
    resource_version: Option<Version>,
    data: Json<serde_json::Value>,
    actor: String,
    request_id: Option<String>,
    reseller_id: Option<ResellerId>,
    managed: Option<CustomerId>,
    for_everyone: bool,
}

record! { New in events:
    id: SqlUuid,
    customer_id: Nullable<SqlUuid>,
    kind: Text,
    certificate_type: Nullable<Text>,
    occurred_at: Timestamptz,
    resource_type: Text,
    resource_id: SqlUuid,
    resource_version: Nullable<BigInt>,
    data: Jsonb,
    actor: Text,
    request_id: Nullable<Text>,
    reseller_id: Nullable<SqlUuid>,
    managed: Nullable<SqlUuid>,
    for_everyone: Bool,
}

/// `FOR KEY SHARE` keeps the customer with its reseller until this is committed, so that a reseller gets no events of a
/// customer that has left it.
const INSERT: &str = "\
    WITH written AS ( \
        INSERT INTO events (id, customer_id, kind, certificate_type, occurred_at, resource_type, resource_id, \
            resource_version, data, actor, request_id, reseller_id, for_everyone) \
        SELECT id, customer_id, kind, certificate_type, occurred_at, resource_type, resource_id, \
            resource_version, data, actor, request_id, \
            coalesce(reseller_id, (SELECT reseller_id FROM customers WHERE id = new.managed FOR KEY SHARE)), \
            for_everyone \
        FROM $rows \
        RETURNING id, kind, reseller_id, for_everyone \
    ) \
    INSERT INTO event_queue (event_id, kind, reseller_id, for_everyone) SELECT * FROM written";

impl From<(Event, Audience)> for New {
    fn from((event, audience): (Event, Audience)) -> Self {
        let (reseller_id, managed) = match audience {
            Audience::Reseller(reseller) => (Some(reseller), None),
            Audience::ResellerOf(customer) => (None, Some(customer)),
            Audience::Partner | Audience::Everyone => (None, None),
        };
        Self {
            id: event.id,
            customer_id: event.customer_id,
            kind: event.kind,
            certificate_type: event.certificate_type,
            occurred_at: event.occurred_at,
            resource_type: event.resource.kind,
            resource_id: event.resource.id,
            resource_version: event.resource.version,
            data: Json(event.data),
            actor: event.actor,
            request_id: event.request_id,
            reseller_id,
            managed,
            for_everyone: audience == Audience::Everyone,
        }
    }
}

impl From<(Option<i64>, Row)> for Event {
    fn from((sequence, row): (Option<i64>, Row)) -> Self {
        Self {
            id: row.id,
            customer_id: row.customer_id,
            sequence,
            kind: row.kind,
            certificate_type: row.certificate_type,
            occurred_at: row.occurred_at,
            resource: Reference { kind: row.resource_type, id: row.resource_id, version: row.resource_version },
            data: row.data.0,
            actor: row.actor,
            request_id: row.request_id,
        }
    }
}

/// Inserts events, in order. They are in the feed once the transaction is committed and they have a position.
#[must_use]
pub fn insert(new: Vec<(Event, Audience)>) -> Write {
    rows::own(INSERT, new.into_iter().map(New::from))
}

/// The last position of the feed, and whether there are events without a position.
pub async fn head(mut conn: &Conn) -> Result<(i64, bool)> {
    let waiting = exists(event_queue::table.select(event_queue::seq));
    Ok(event_feed::table.select((event_feed::position, waiting)).first(&mut conn).await?)
}

/// Gives the next positions to committed events, in the order of writing, at most `limit`. Concurrent callers wait, so
/// that positions become visible in order.
#[must_use]
pub fn give_places(limit: i64) -> Vec<Write> {
    let lock = diesel::sql_query("SELECT position FROM event_feed FOR UPDATE");
    // This statement starts after the row is locked, so that it sees all positions that others have given.
    let give = diesel::sql_query(
        "WITH next AS (SELECT seq FROM event_queue ORDER BY seq LIMIT $1), \
         taken AS (DELETE FROM event_queue WHERE seq IN (SELECT seq FROM next) RETURNING *) \
         INSERT INTO event_places (position, event_id, kind, reseller_id, for_everyone) \
         SELECT event_feed.position + row_number() OVER (ORDER BY seq), event_id, kind, reseller_id, for_everyone \
         FROM taken, event_feed",
    );
    let last = "(SELECT max(position) FROM event_places)";
    let move_on = diesel::sql_query(format!("UPDATE event_feed SET position = {last} WHERE position < {last}"));
    vec![lock.later(), give.bind::<BigInt, _>(limit).later(), move_on.later()]
}

/// Limits a boxed query over positions to a range, the types (all if none is given) and the scope, in order.
macro_rules! placed {
    ($query:expr, $scope:expr, $types:expr, ($after:expr, $through:expr)) => {{
        let mut query = $query
            .filter(event_places::position.gt($after))
            .filter(event_places::position.le($through))
            .order(event_places::position);
        if let Some(own) = $scope.reseller() {
            query = query.filter(event_places::reseller_id.eq(own).or(event_places::for_everyone));
        }
        match $types {
            [] => query,
            [one] => query.filter(event_places::kind.eq(one)),
            several => query.filter(event_places::kind.eq_any(several)),
        }
    }};
}

/// Lists the events in scope in a range of positions, of some types or all, at most `limit`, in order.
pub async fn list(
    mut conn: &Conn,
    scope: Scope,
    types: &[EventType],
    (after, through): (i64, i64),
    limit: i64,
) -> Result<Vec<Event>> {
    let query = event_places::table.inner_join(events::table).select((event_places::position, Row::as_select()));
    let query = placed!(query.into_boxed(), scope, types, (after, through)).limit(limit);
    let rows: Vec<(i64, Row)> = query.load(&mut conn).await?;
    Ok(rows.into_iter().map(|(place, row)| Event::from((Some(place), row))).collect())
}

/// Like [`list`], but returns only the ids and positions of the events.
pub async fn list_ids(
    mut conn: &Conn,
    scope: Scope,
    types: &[EventType],
    (after, through): (i64, i64),
    limit: i64,
) -> Result<Vec<(i64, (EventId, EventType))>> {
    let columns = (event_places::position, (event_places::event_id, event_places::kind));
    let query = placed!(event_places::table.select(columns).into_boxed(), scope, types, (after, through));
    Ok(query.limit(limit).load(&mut conn).await?)
}

/// Returns the headlines of the last events of all tenants in a range of positions; at most `limit`, the latest first.
pub async fn headlines(mut conn: &Conn, (after, through): (i64, i64), limit: i64) -> Result<Vec<Headline>> {
    let query = event_places::table
        .filter(event_places::position.gt(after))
        .filter(event_places::position.le(through))
        .order(event_places::position.desc())
        .limit(limit);
    let columns = (event_places::position, event_places::kind, event_places::reseller_id, event_places::for_everyone);
    let rows: Vec<(i64, EventType, Option<ResellerId>, bool)> = query.select(columns).load(&mut conn).await?;
    let headline = |(sequence, kind, reseller, for_everyone)| {
        let audience = match reseller {
            _ if for_everyone => Audience::Everyone,
            Some(reseller) => Audience::Reseller(reseller),
            None => Audience::Partner,
        };
        Headline { sequence, kind, audience }
    };
    Ok(rows.into_iter().map(headline).collect())
}

/// Returns an event in scope.
pub async fn find(mut conn: &Conn, scope: Scope, id: EventId) -> Result<Option<Event>> {
    let mut query = events::table
        .left_join(event_places::table)
        .filter(events::id.eq(id))
        .select((event_places::position.nullable(), Row::as_select()))
        .into_boxed();
    if let Some(own) = scope.reseller() {
        query = query.filter(events::reseller_id.eq(own).or(events::for_everyone));
    }
    let row: Option<(Option<i64>, Row)> = query.first(&mut conn).await.optional()?;
    Ok(row.map(Event::from))
}
