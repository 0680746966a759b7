//! Webhook endpoints from the view of the dispatcher and the delivery workers: which endpoint is next, and its position
//! in the feed. Only for the service itself: these functions take no scope.

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::run::{Prepared, Statement, Write};
use super::schema::{resellers, webhook_endpoints};
use super::webhooks::Row;
use super::{Conn, Result};
use crate::domain::id::WebhookEndpointId;
use crate::domain::webhooks::Endpoint;

/// An endpoint with deliveries that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct Due {
    #[diesel(sql_type = SqlUuid)]
    pub id: WebhookEndpointId,
    /// Whether deliveries to the endpoint are failing at the moment.
    #[diesel(sql_type = Bool)]
    pub is_failing: bool,
    /// The number of due deliveries, counted up to a maximum.
    #[diesel(sql_type = BigInt)]
    pub deliveries: i64,
}

/// Records a successful delivery to an endpoint that was failing.
pub async fn recovered(conn: &Conn, id: WebhookEndpointId) -> Result<()> {
    let failing = webhook_endpoints::table.find(id).filter(webhook_endpoints::failing_since.is_not_null());
    let never = None::<DateTime<Utc>>;
    let recovered = (webhook_endpoints::failing_since.eq(never), webhook_endpoints::last_failure_at.eq(never));
    diesel::update(failing).set(recovered).run(conn).await?;
    Ok(())
}

/// Whether the endpoint of the surrounding query receives events: the endpoint and its reseller are enabled.
macro_rules! is_served {
    () => {
        webhook_endpoints::disabled_at.is_null().and(not(exists(
            resellers::table
                .filter(resellers::id.nullable().eq(webhook_endpoints::reseller_id))
                .filter(resellers::disabled_at.is_not_null()),
        )))
    };
}

/// Returns an endpoint if it receives events.
pub async fn served(mut conn: &Conn, id: WebhookEndpointId) -> Result<Option<Endpoint>> {
    let query = webhook_endpoints::table.find(id).filter(is_served!()).select(Row::as_select());
    let row: Option<Row> = query.first(&mut conn).await.optional()?;
    row.map(Endpoint::try_from).transpose()
}

/// Lists the endpoints that receive events and are before a position in the feed; the furthest behind comes first.
pub async fn behind(mut conn: &Conn, place: i64) -> Result<Vec<WebhookEndpointId>> {
    let query = webhook_endpoints::table
        .filter(webhook_endpoints::place.lt(place))
        .filter(is_served!())
        .order((webhook_endpoints::place, webhook_endpoints::id))
        .select(webhook_endpoints::id);
    Ok(query.load(&mut conn).await?)
}

/// Returns an endpoint that receives events with its position in the feed, and locks it until the transaction ends.
/// Returns `None` if another transaction has locked it.
pub async fn lock_served(mut conn: &Conn, id: WebhookEndpointId) -> Result<Option<(Endpoint, i64)>> {
    let query = webhook_endpoints::table.find(id).filter(is_served!());
    let query = query.select((Row::as_select(), webhook_endpoints::place)).for_update().skip_locked();
    let row: Option<(Row, i64)> = query.first(&mut conn).await.optional()?;
    row.map(|(row, place)| Ok((row.try_into()?, place))).transpose()
}

/// Moves an endpoint to a position in the feed.
#[must_use]
pub fn set_place(id: WebhookEndpointId, place: i64) -> Write {
    let endpoint = webhook_endpoints::table.find(id);
    diesel::update(endpoint).set(webhook_endpoints::place.eq(place)).later()
}

/// Lists the endpoints that receive events and have due deliveries, except those in `without`: endpoints that are not
/// failing come first, then those whose deliveries have been due longest. Deliveries are counted up to `most`.
pub async fn due(mut conn: &Conn, at: DateTime<Utc>, without: &[WebhookEndpointId], most: i64) -> Result<Vec<Due>> {
    let query = diesel::sql_query(
        "SELECT id, failing_since IS NOT NULL AS is_failing, due.deliveries FROM webhook_endpoints \
         CROSS JOIN LATERAL ( \
             SELECT count(*) AS deliveries, min(next_attempt_at) AS since FROM ( \
                 SELECT next_attempt_at FROM webhook_deliveries \
                 WHERE endpoint_id = webhook_endpoints.id AND next_attempt_at <= $1 \
                 ORDER BY next_attempt_at LIMIT $2 \
             ) AS first \
         ) AS due \
         WHERE due.deliveries > 0 AND disabled_at IS NULL AND id <> ALL ($3) AND NOT EXISTS ( \
             SELECT FROM resellers WHERE resellers.id = reseller_id AND resellers.disabled_at IS NOT NULL \
         ) \
         ORDER BY is_failing, due.since",
    );
    let without: Vec<_> = without.iter().map(|id| id.0).collect();
    let query = query.bind::<Timestamptz, _>(at).bind::<BigInt, _>(most);
    Ok(Prepared(query.bind::<Array<SqlUuid>, _>(without)).load(&mut conn).await?)
}
