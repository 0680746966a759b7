use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::filters::one_of;
use super::rows::{self, record};
use super::run::Write;
use super::schema::webhook_deliveries;
use super::webhooks::ids_in_scope;
use super::{Conn, Result};
use crate::domain::authorization::Scope;
use crate::domain::events::EventType;
use crate::domain::id::{EventId, WebhookDeliveryId, WebhookEndpointId};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::webhooks::delivery::{Attempt, Delivery, DeliveryStatus, State, WebhookDeliveryFilter};

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhook_deliveries, check_for_backend(diesel::pg::Pg))]
pub(super) struct Row {
    id: WebhookDeliveryId,
    endpoint_id: WebhookEndpointId,
    event_id: EventId,
    event_type: EventType,
    status: DeliveryStatus,
    failures: Option<i32>,
    next_attempt_at: Option<DateTime<Utc>>,
    attempts: i32,
    last_attempt_at: Option<DateTime<Utc>>,
    last_duration_ms: Option<i32>,
    last_http_status: Option<i32>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
}

record!(Row in webhook_deliveries: key(id) fixed(endpoint_id, event_id, event_type, created_at)
    rest(status, failures, next_attempt_at, attempts, last_attempt_at, last_duration_ms, last_http_status, last_error));

impl From<&Delivery> for Row {
    fn from(delivery: &Delivery) -> Self {
        let (failures, next_attempt_at) = match delivery.state {
            State::Pending { failures, next_attempt_at } => (Some(failures), Some(next_attempt_at)),
            State::Succeeded | State::Failed => (None, None),
        };
        let last = delivery.last_attempt.as_ref();
        Self {
            id: delivery.id,
            endpoint_id: delivery.endpoint_id,
            event_id: delivery.event_id,
            event_type: delivery.event_type,
            status: delivery.status(),
            failures,
            next_attempt_at,
            attempts: delivery.attempts,
            last_attempt_at: last.map(|attempt| attempt.at),
            last_duration_ms: last.map(|attempt| attempt.duration_ms),
            last_http_status: last.and_then(|attempt| attempt.http_status),
            last_error: last.and_then(|attempt| attempt.error.clone()),
            created_at: delivery.created_at,
        }
    }
}

impl From<Row> for Delivery {
    fn from(row: Row) -> Self {
        let state = match row.status {
            // A constraint guarantees that these columns are set together.
            DeliveryStatus::Pending => State::Pending {
                failures: row.failures.unwrap_or_default(),
                next_attempt_at: row.next_attempt_at.unwrap_or(row.created_at),
            },
            DeliveryStatus::Succeeded => State::Succeeded,
            DeliveryStatus::Failed => State::Failed,
        };
        let last_attempt = row.last_attempt_at.map(|at| Attempt {
            at,
            duration_ms: row.last_duration_ms.unwrap_or_default(),
            http_status: row.last_http_status,
            error: row.last_error,
        });
        Self {
            id: row.id,
            endpoint_id: row.endpoint_id,
            event_id: row.event_id,
            event_type: row.event_type,
            state,
            attempts: row.attempts,
            last_attempt,
            created_at: row.created_at,
        }
    }
}

/// Returns a delivery in scope.
pub async fn find(mut conn: &Conn, scope: Scope, id: WebhookDeliveryId) -> Result<Option<Delivery>> {
    let query = webhook_deliveries::table
        .find(id)
        .filter(webhook_deliveries::endpoint_id.eq_any(ids_in_scope(scope)))
        .select(Row::as_select());
    Ok(query.first(&mut conn).await.optional()?.map(Delivery::from))
}

/// Returns a delivery in scope, and locks it for update until the transaction ends. Lock its endpoint first: all
/// transactions lock both in this order.
pub async fn lock(mut conn: &Conn, scope: Scope, id: WebhookDeliveryId) -> Result<Option<Delivery>> {
    // The filter stands next to the lock, so that a delivery out of scope is not waited for.
    let query = webhook_deliveries::table
        .find(id)
        .filter(webhook_deliveries::endpoint_id.eq_any(ids_in_scope(scope)))
        .select(Row::as_select());
    Ok(query.for_update().first(&mut conn).await.optional()?.map(Delivery::from))
}

/// Lists the deliveries to an endpoint in scope, newest first.
pub async fn list(
    mut conn: &Conn,
    scope: Scope,
    id: WebhookEndpointId,
    filter: &WebhookDeliveryFilter,
    window: &Window,
) -> Result<Page<Delivery>> {
    let mut query = webhook_deliveries::table
        .filter(webhook_deliveries::endpoint_id.eq(id))
        .filter(webhook_deliveries::endpoint_id.eq_any(ids_in_scope(scope)))
        .order(webhook_deliveries::id.desc())
        .limit(window.limit + 1)
        .select(Row::as_select())
        .into_boxed();
    query = one_of!(query, webhook_deliveries::status, filter.status);
    query = one_of!(query, webhook_deliveries::event_type, filter.event_type);
    if let Some(after) = &window.after {
        query = query.filter(webhook_deliveries::id.lt(after.id));
    }
    let rows: Vec<Row> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position { value: SortValue::Id, id: row.id.0 });
    Ok(page.map(Delivery::from))
}

/// Inserts deliveries. An event that already has a delivery to the endpoint is skipped.
#[must_use]
pub fn insert(deliveries: &[Delivery]) -> Write {
    rows::insert_missing(deliveries.iter().map(Row::from))
}

/// Updates a delivery that was locked.
#[must_use]
pub fn save(delivery: &Delivery) -> Write {
    rows::update([Row::from(delivery)])
}
