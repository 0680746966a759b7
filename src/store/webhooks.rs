use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use tokio::try_join;

use super::columns::Json;
use super::run::{Statement, Write};
use super::schema::webhook_endpoints;
use super::{Conn, Error, Result};
use crate::domain::authorization::Scope;
use crate::domain::events::EventType;
use crate::domain::id::{ResellerId, Version, WebhookEndpointId};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::text::{Line, Reason, WebhookUrl};
use crate::domain::webhooks::signature::{Secret, Secrets};
use crate::domain::webhooks::{Details, Endpoint, Failing, State, WebhookEndpointFilter, WebhookEndpointStatus};

/// All columns except the position in the feed, which is not part of the endpoint itself.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = webhook_endpoints, treat_none_as_default_value = false, treat_none_as_null = true, check_for_backend(diesel::pg::Pg))]
pub(super) struct Row {
    id: WebhookEndpointId,
    reseller_id: Option<ResellerId>,
    url: WebhookUrl,
    description: Option<Line>,
    event_types: Json<Vec<EventType>>,
    secrets: Vec<Vec<u8>>,
    secret_ends: Vec<DateTime<Utc>>,
    disabled_at: Option<DateTime<Utc>>,
    disabled_reason: Option<Reason>,
    failing_since: Option<DateTime<Utc>>,
    last_failure_at: Option<DateTime<Utc>>,
    version: Version,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&Endpoint> for Row {
    fn from(endpoint: &Endpoint) -> Self {
        let Secrets { current, previous } = &endpoint.secrets;
        let (disabled_at, disabled_reason) = match &endpoint.state {
            State::Enabled => (None, None),
            State::Disabled { at, reason } => (Some(*at), reason.clone()),
        };
        let all = std::iter::once(current).chain(previous.iter().map(|(secret, _)| secret));
        Self {
            id: endpoint.id,
            reseller_id: endpoint.partner_id,
            url: endpoint.details.url.clone(),
            description: endpoint.details.description.clone(),
            event_types: Json(endpoint.details.event_types.clone()),
            secrets: all.map(|secret| secret.bytes().to_vec()).collect(),
            secret_ends: previous.iter().map(|(_, until)| *until).collect(),
            disabled_at,
            disabled_reason,
            failing_since: endpoint.failing.map(|failing| failing.since),
            last_failure_at: endpoint.failing.map(|failing| failing.last),
            version: endpoint.version,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

impl TryFrom<Row> for Endpoint {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let corrupt = || Error::Corrupt { table: "webhook_endpoints", reason: "the secrets are invalid" };
        let secrets = row.secrets.into_iter().map(|bytes| bytes.try_into().map(Secret::new).ok());
        let mut secrets = secrets.collect::<Option<Vec<_>>>().ok_or_else(corrupt)?.into_iter();
        let current = secrets.next().ok_or_else(corrupt)?;
        let state = row.disabled_at.map_or(State::Enabled, |at| State::Disabled { at, reason: row.disabled_reason });
        // An earlier release sets only `failing_since`.
        let failing =
            row.failing_since.map(|since| Failing { since, last: row.last_failure_at.unwrap_or(since).max(since) });
        Ok(Self {
            id: row.id,
            partner_id: row.reseller_id,
            details: Details { url: row.url, description: row.description, event_types: row.event_types.0 },
            secrets: Secrets { current, previous: secrets.zip(row.secret_ends).collect() },
            state,
            failing,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The ids of the endpoints in scope.
pub(super) fn ids_in_scope(
    scope: Scope,
) -> webhook_endpoints::BoxedQuery<'static, diesel::pg::Pg, diesel::sql_types::Uuid> {
    let query = webhook_endpoints::table.select(webhook_endpoints::id).into_boxed();
    match scope.reseller() {
        None => query,
        Some(own) => query.filter(webhook_endpoints::reseller_id.eq(own)),
    }
}

/// Returns an endpoint in scope.
pub async fn find(mut conn: &Conn, scope: Scope, id: WebhookEndpointId) -> Result<Option<Endpoint>> {
    let query = webhook_endpoints::table.find(id).filter(webhook_endpoints::id.eq_any(ids_in_scope(scope)));
    let row: Option<Row> = query.select(Row::as_select()).first(&mut conn).await.optional()?;
    row.map(Endpoint::try_from).transpose()
}

/// Returns an endpoint in scope, and locks it for update until the transaction ends.
pub async fn lock(mut conn: &Conn, scope: Scope, id: WebhookEndpointId) -> Result<Option<Endpoint>> {
    // The filter stands next to the lock, so that an endpoint out of scope is not waited for.
    let query = webhook_endpoints::table.find(id).filter(webhook_endpoints::id.eq_any(ids_in_scope(scope)));
    let row: Option<Row> = query.select(Row::as_select()).for_update().first(&mut conn).await.optional()?;
    row.map(Endpoint::try_from).transpose()
}

/// Lists endpoints in scope, newest first.
pub async fn list(
    mut conn: &Conn,
    scope: Scope,
    filter: &WebhookEndpointFilter,
    window: &Window,
) -> Result<Page<Endpoint>> {
    let mut query = webhook_endpoints::table
        .order(webhook_endpoints::id.desc())
        .limit(window.limit + 1)
        .select(Row::as_select())
        .into_boxed();
    if let Some(own) = scope.reseller() {
        query = query.filter(webhook_endpoints::reseller_id.eq(own));
    }
    if let Some(partner_id) = filter.partner_id {
        query = query.filter(webhook_endpoints::reseller_id.eq(partner_id));
    }
    query =
        match [WebhookEndpointStatus::Enabled, WebhookEndpointStatus::Disabled].map(|it| filter.status.contains(&it)) {
            [true, false] => query.filter(webhook_endpoints::disabled_at.is_null()),
            [false, true] => query.filter(webhook_endpoints::disabled_at.is_not_null()),
            [true, true] | [false, false] => query,
        };
    if let Some(after) = &window.after {
        query = query.filter(webhook_endpoints::id.lt(after.id));
    }
    let rows: Vec<Row> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position { value: SortValue::Id, id: row.id.0 });
    page.try_map(Endpoint::try_from)
}

/// Counts the endpoints of a tenant. Concurrent counts of the same tenant wait until the transaction ends.
pub async fn count(mut conn: &Conn, tenant: Option<ResellerId>) -> Result<i64> {
    let name = tenant.map_or_else(|| "partner".to_owned(), |id| id.to_string());
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('webhook endpoints of ' || $1, 15))";
    let lock = diesel::sql_query(lock).bind::<Text, _>(name).run(conn);
    let of_tenant = webhook_endpoints::table.filter(webhook_endpoints::reseller_id.is_not_distinct_from(tenant));
    let (_, count) = try_join!(biased; lock, of_tenant.count().get_result(&mut conn))?;
    Ok(count)
}

/// Inserts an endpoint, which receives the events after a position in the feed.
#[must_use]
pub fn insert(endpoint: &Endpoint, place: i64) -> Write {
    let values = (Row::from(endpoint), webhook_endpoints::place.eq(place));
    diesel::insert_into(webhook_endpoints::table).values(values).later()
}

/// Updates an endpoint that was locked.
#[must_use]
pub fn save(endpoint: &Endpoint) -> Write {
    diesel::update(webhook_endpoints::table.find(endpoint.id)).set(Row::from(endpoint)).later()
}

#[must_use]
pub fn delete(id: WebhookEndpointId) -> Write {
    diesel::delete(webhook_endpoints::table.find(id)).later()
}
