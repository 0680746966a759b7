//! Lists deliveries to webhook endpoints, sends test events, and queues deliveries again.

use tokio::try_join;

use super::budget::Budgets;
use super::courier::{Courier, Message};
use super::work::Saved;
use super::{Context, Result, found, webhooks};
use crate::domain::events::{Event, EventType, Resource, Shown};
use crate::domain::id::{WebhookDeliveryId, WebhookEndpointId};
use crate::domain::limits::budget;
use crate::domain::listing::{Page, Window};
use crate::domain::webhooks::delivery::{Delivery, WebhookDeliveryFilter};
use crate::store;

/// Lists the deliveries to a webhook endpoint, newest first.
///
/// # Errors
/// The endpoint does not exist.
pub async fn list(
    cx: &Context,
    id: WebhookEndpointId,
    filter: &WebhookDeliveryFilter,
    window: &Window,
) -> Result<Page<Delivery>> {
    let scope = cx.actor.scope;
    cx.db
        .read(async |tx| {
            found(store::webhooks::find(tx, scope, id).await?, "webhook endpoint")?;
            Ok(store::webhook_deliveries::list(tx, scope, id, filter, window).await?)
        })
        .await
}

/// Sends a test event to a webhook endpoint, and returns the result. Also works for a disabled endpoint, so that it can
/// be tested before it is enabled.
///
/// # Errors
/// The endpoint does not exist, or the tenant has too many tests in progress.
pub async fn test(cx: &Context, courier: &Courier, budgets: &Budgets, id: WebhookEndpointId) -> Result<Delivery> {
    if let Some(request) = &cx.request {
        request.check_new(cx).await?;
    }
    let _place = budgets.take(&cx.actor, budget::Resource::WebhookTests, 1)?;
    let endpoint = webhooks::get(cx, id).await?;
    let slot = courier.slot().await;
    let event = Event {
        id: cx.new_id(),
        sequence: None,
        kind: EventType::WebhookEndpointTest,
        certificate_type: None,
        occurred_at: cx.at,
        resource: endpoint.reference(),
        customer_id: None,
        data: endpoint.shown(cx.at),
        actor: cx.actor.label(),
        request_id: cx.request.as_ref().map(|request| request.id.clone()),
    };
    let (attempt, _) = courier.send(cx, &Message { endpoint, event: &event }, slot).await;
    cx.write(async |work| {
        // The endpoint may have been deleted in the meantime.
        found(store::webhooks::find(work.conn, cx.actor.scope, id).await?, "webhook endpoint")?;
        let delivery = Delivery::test(cx.new_id(), id, event.id, attempt);
        work.write([store::webhook_deliveries::insert(std::slice::from_ref(&delivery))]);
        work.record(cx, [Saved::new(cx, None, &delivery)]);
        Ok(delivery)
    })
    .await
}

/// Queues a delivery again, whatever its result was. It is due immediately, after those that are already due.
///
/// # Errors
/// The delivery does not exist or is a test, or the endpoint is disabled.
pub async fn redeliver(cx: &Context, id: WebhookDeliveryId) -> Result<Delivery> {
    let scope = cx.actor.scope;
    cx.write(async |work| {
        let delivery = found(store::webhook_deliveries::find(work.conn, scope, id).await?, "webhook delivery")?;
        let endpoint = store::webhooks::lock(work.conn, scope, delivery.endpoint_id);
        let delivery = store::webhook_deliveries::lock(work.conn, scope, id);
        let (endpoint, delivery) = try_join!(biased; endpoint, delivery)?;
        let delivery = found(delivery, "webhook delivery")?;
        let is_enabled = found(endpoint, "webhook delivery")?.is_enabled();
        let again = delivery.redeliver(is_enabled, cx.clock.machine())?;
        work.write([store::webhook_deliveries::save(&again)]);
        work.record(cx, [Saved::new(cx, Some(&delivery), &again)]);
        Ok(again)
    })
    .await
}
