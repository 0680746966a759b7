//! Webhook endpoints. What waits for one that is disabled goes on when it is enabled: nothing is left out.

use chrono::TimeDelta;

use super::record::Saved;
use super::{Context, Named, Precondition, Result, events, found};
use crate::domain::id::WebhookEndpointId;
use crate::domain::listing::{Page, WebhookEndpointFilter, Window};
use crate::domain::machine::Outcome;
use crate::domain::refusal::Refusal;
use crate::domain::webhook::address::Addresses;
use crate::domain::webhook::signature::{SECRET_BYTES, Secret};
use crate::domain::webhook::{Command, Details, Endpoint, MOST_ENDPOINTS};
use crate::store::{self, Conn, webhook_queue, webhooks};

/// Webhook endpoints in the tenant, newest first.
///
/// # Errors
/// The filter names what is not there.
pub async fn list(cx: &Context, filter: &WebhookEndpointFilter, window: &Window) -> Result<Page<Endpoint>> {
    cx.db
        .statement(async |conn| {
            cx.check_filter(conn, &[("partner_id", Named::Reseller(filter.partner_id))]).await?;
            Ok(webhooks::list(conn, cx.actor.scope, filter, window).await?)
        })
        .await
}

/// A webhook endpoint.
///
/// # Errors
/// Not found.
pub async fn get(cx: &Context, id: WebhookEndpointId) -> Result<Endpoint> {
    cx.db.statement(async |conn| found(webhooks::find(conn, cx.actor.scope, id).await?, "webhook endpoint")).await
}

/// Creates a webhook endpoint in the actor's tenant. It is sent what happens from now on.
///
/// # Errors
/// Its URL may not be called, or there are too many.
pub async fn create(cx: &Context, addresses: &Addresses, details: Details) -> Result<Endpoint> {
    addresses.check(&details.url).map_err(Refusal::from)?;
    let secret = new_secret()?;
    let tenant = cx.actor.scope.reseller();
    let place = events::catch_up(&cx.db).await?;
    cx.write(async |tx| {
        if webhooks::count(tx, tenant).await? >= MOST_ENDPOINTS {
            return Err(Refusal::TooManyWebhookEndpoints(MOST_ENDPOINTS).into());
        }
        let endpoint = Endpoint::create(cx.new_id(), tenant, details, secret, cx.at);
        webhooks::insert(tx, &endpoint, place).await?;
        cx.record(tx, [Saved::new(cx, None, &endpoint)]).await?;
        Ok(endpoint)
    })
    .await
}

/// Edits a webhook endpoint. What waits is sent to another URL at once.
///
/// # Errors
/// Not found, another version, or its URL may not be called.
pub async fn update(
    cx: &Context,
    addresses: &Addresses,
    id: WebhookEndpointId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<Endpoint> {
    cx.write(async |tx| {
        let endpoint = lock(tx, cx, id, precondition).await?;
        let details = edit(endpoint.details.clone());
        let moves = details.url != endpoint.details.url;
        if moves {
            addresses.check(&details.url).map_err(Refusal::from)?;
            webhook_queue::wake(tx, id, cx.clock.machine()).await?;
        }
        let outcome = endpoint.edit(details, cx.at);
        save(tx, cx, endpoint, outcome).await
    })
    .await
}

/// Deletes a webhook endpoint. What was on its way to it is not sent any more.
///
/// # Errors
/// Not found, or another version.
pub async fn delete(cx: &Context, id: WebhookEndpointId, precondition: &Precondition) -> Result<()> {
    cx.write(async |tx| {
        let endpoint = lock(tx, cx, id, precondition).await?;
        webhooks::delete(tx, id).await?;
        cx.record(tx, [Saved::deleted(cx, &endpoint)]).await
    })
    .await
}

/// Disables or enables a webhook endpoint.
///
/// # Errors
/// Not found, or another version.
pub async fn transition(
    cx: &Context,
    id: WebhookEndpointId,
    precondition: &Precondition,
    command: Command,
) -> Result<Endpoint> {
    cx.write(async |tx| {
        let endpoint = lock(tx, cx, id, precondition).await?;
        let outcome = endpoint.apply(command, cx.at);
        let after = save(tx, cx, endpoint.clone(), outcome).await?;
        if after.is_enabled() && !endpoint.is_enabled() {
            webhook_queue::wake(tx, id, cx.clock.machine()).await?;
        }
        Ok(after)
    })
    .await
}

/// Gives a webhook endpoint another secret. Messages are signed with those of before, too, for a while.
///
/// # Errors
/// Not found, or another version.
pub async fn rotate(
    cx: &Context,
    id: WebhookEndpointId,
    precondition: &Precondition,
    overlap: TimeDelta,
) -> Result<Endpoint> {
    let secret = new_secret()?;
    cx.write(async |tx| {
        let endpoint = lock(tx, cx, id, precondition).await?;
        let rotated = endpoint.rotate(secret, overlap, cx.clock.machine(), cx.at);
        save(tx, cx, endpoint, Outcome::Changed(rotated)).await
    })
    .await
}

async fn lock(tx: &Conn, cx: &Context, id: WebhookEndpointId, precondition: &Precondition) -> Result<Endpoint> {
    let endpoint = found(webhooks::lock(tx, cx.actor.scope, id).await?, "webhook endpoint")?;
    precondition.check(endpoint.version)?;
    Ok(endpoint)
}

async fn save(tx: &Conn, cx: &Context, endpoint: Endpoint, outcome: Outcome<Endpoint>) -> Result<Endpoint> {
    match outcome {
        Outcome::Unchanged => Ok(endpoint),
        Outcome::Changed(changed) => {
            webhooks::save(tx, &changed).await?;
            cx.record(tx, [Saved::new(cx, Some(&endpoint), &changed)]).await?;
            Ok(changed)
        }
    }
}

fn new_secret() -> Result<Secret> {
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| store::Error::Unavailable(format!("randomness: {error}")))?;
    Ok(Secret::new(random))
}
