//! Events: written with what they tell, then given their place in the feed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::columns::Json;
use super::run::{Run, Running, write_rows};
use super::schema::{customers, event_feed, events};
use super::{Conn, Result};
use crate::domain::access::Scope;
use crate::domain::event::{Audience, Event, EventType, Headline, Reference, ResourceType};
use crate::domain::id::{CustomerId, EventId, ResellerId, Version};
use crate::domain::text::Code;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: EventId,
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

impl From<Event> for Row {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            kind: event.kind,
            certificate_type: event.certificate_type,
            occurred_at: event.occurred_at,
            resource_type: event.resource.kind,
            resource_id: event.resource.id,
            resource_version: event.resource.version,
            data: Json(event.data),
            actor: event.actor,
            request_id: event.request_id,
        }
    }
}

impl From<(Option<i64>, Row)> for Event {
    fn from((sequence, row): (Option<i64>, Row)) -> Self {
        Self {
            id: row.id,
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

/// An event that is to be written, and whom it is for.
pub struct Addressed {
    row: Row,
    reseller: Option<ResellerId>,
    is_for_everyone: bool,
}

/// Finds out whom new events are for. Until the transaction ends that stays so.
///
/// # Errors
/// The database fails.
pub async fn address(conn: &Conn, new: Vec<(Event, Audience)>) -> Result<Vec<Addressed>> {
    let resellers = resellers_of(conn, &new).await?;
    let addressed = new.into_iter().map(|(event, audience)| Addressed {
        row: event.into(),
        reseller: match audience {
            Audience::Reseller(id) => Some(id),
            Audience::ResellerOf(customer) => resellers.get(&customer).copied().flatten(),
            Audience::Partner | Audience::Everyone => None,
        },
        is_for_everyone: audience == Audience::Everyone,
    });
    Ok(addressed.collect())
}

/// Writes events, in order. They are in the feed once the transaction is committed and they have their place.
pub fn insert(conn: &Conn, new: Vec<Addressed>) -> Vec<Running<'_>> {
    let rows = new.into_iter().map(|Addressed { row, reseller, is_for_everyone }| {
        (row, (events::reseller_id.eq(reseller), events::for_everyone.eq(is_for_everyone)))
    });
    write_rows!(conn, rows, row => diesel::insert_into(events::table).values(row))
}

async fn resellers_of(mut conn: &Conn, new: &[(Event, Audience)]) -> Result<HashMap<CustomerId, Option<ResellerId>>> {
    let mut ids: Vec<_> = new
        .iter()
        .filter_map(|(_, audience)| match audience {
            Audience::ResellerOf(customer) => Some(*customer),
            _ => None,
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let of = customers::table.filter(customers::id.eq_any(ids)).select((customers::id, customers::reseller_id));
    // Until this is committed nobody moves them: whoever a customer leaves hears nothing of it after that.
    let rows: Vec<(CustomerId, Option<ResellerId>)> = of.order(customers::id).for_share().load(&mut conn).await?;
    Ok(rows.into_iter().collect())
}

/// The last place of the feed, and whether there are events that have none yet.
///
/// # Errors
/// The database fails.
pub async fn head(mut conn: &Conn) -> Result<(i64, bool)> {
    let waiting = exists(events::table.filter(events::position.is_null()));
    Ok(event_feed::table.select((event_feed::position, waiting)).first(&mut conn).await?)
}

/// Gives the next places to events that are committed, in the order in which they were written, at most so many, and
/// answers how many there were and the last place. Whoever does so at the same time waits: places become visible in
/// their order.
///
/// # Errors
/// The database fails.
pub async fn give_places(mut conn: &Conn, limit: i64) -> Result<(i64, i64)> {
    let last: i64 = event_feed::table.select(event_feed::position).for_update().first(&mut conn).await?;
    // Begun only now that the row is locked, it sees everything that others gave a place.
    let given = diesel::sql_query(
        "UPDATE events SET position = $1 + waiting.number FROM ( \
             SELECT seq, row_number() OVER (ORDER BY seq) AS number FROM ( \
                 SELECT seq FROM events WHERE position IS NULL ORDER BY seq LIMIT $2 \
             ) AS first \
         ) AS waiting WHERE events.seq = waiting.seq",
    )
    .bind::<BigInt, _>(last)
    .bind::<BigInt, _>(limit)
    .run(conn)
    .await?;
    let given = i64::try_from(given).unwrap_or(0);
    if given > 0 {
        diesel::update(event_feed::table).set(event_feed::position.eq(last + given)).run(conn).await?;
    }
    Ok((given, last + given))
}

/// The events in scope from behind a place up to another, of some types or all, at most so many, in order.
///
/// # Errors
/// The database fails.
pub async fn list(
    mut conn: &Conn,
    scope: Scope,
    types: &[EventType],
    (after, through): (i64, i64),
    limit: i64,
) -> Result<Vec<Event>> {
    let query = feed(scope, types, (after, through)).limit(limit);
    let rows: Vec<(Option<i64>, Row)> = query.select((events::position, Row::as_select())).load(&mut conn).await?;
    Ok(rows.into_iter().map(Event::from).collect())
}

/// Of the same events as [`list`], no more than which they are, and their places.
///
/// # Errors
/// The database fails.
pub async fn list_ids(
    mut conn: &Conn,
    scope: Scope,
    types: &[EventType],
    (after, through): (i64, i64),
    limit: i64,
) -> Result<Vec<(i64, (EventId, EventType))>> {
    let query = feed(scope, types, (after, through)).limit(limit);
    Ok(query.select((events::position.assume_not_null(), (events::id, events::kind))).load(&mut conn).await?)
}

/// What is known of the last events, whosever they are, from behind a place up to another: at most so many, the latest
/// first.
///
/// # Errors
/// The database fails.
pub async fn headlines(mut conn: &Conn, (after, through): (i64, i64), limit: i64) -> Result<Vec<Headline>> {
    let place = events::position.assume_not_null();
    let query = events::table.filter(place.gt(after)).filter(place.le(through)).order(place.desc()).limit(limit);
    let rows: Vec<(i64, EventType, Option<ResellerId>, bool)> =
        query.select((place, events::kind, events::reseller_id, events::for_everyone)).load(&mut conn).await?;
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

fn feed(scope: Scope, types: &[EventType], (after, through): (i64, i64)) -> events::BoxedQuery<'_, diesel::pg::Pg> {
    let mut query =
        in_scope(scope).filter(events::position.gt(after)).filter(events::position.le(through)).order(events::position);
    if !types.is_empty() {
        query = query.filter(events::kind.eq_any(types));
    }
    query
}

fn in_scope<'a>(scope: Scope) -> events::BoxedQuery<'a, diesel::pg::Pg> {
    let query = events::table.into_boxed();
    match scope.reseller() {
        None => query,
        Some(own) => query.filter(events::reseller_id.eq(own).or(events::for_everyone)),
    }
}

/// An event in scope.
///
/// # Errors
/// The database fails.
pub async fn find(mut conn: &Conn, scope: Scope, id: EventId) -> Result<Option<Event>> {
    let query = in_scope(scope).filter(events::id.eq(id)).select((events::position, Row::as_select()));
    let row: Option<(Option<i64>, Row)> = query.first(&mut conn).await.optional()?;
    Ok(row.map(Event::from))
}
