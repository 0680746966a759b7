//! Lists, creates, edits, deletes, disables and enables webhook endpoints, and rotates their secrets. Deliveries to a
//! disabled endpoint stay in the queue and continue when it is enabled: no event is lost.

use chrono::TimeDelta;

use super::work::{Entity, Saved};
use super::{Context, Named, Precondition, Result, events, found};
use crate::domain::authorization::{Right, Scope};
use crate::domain::id::{Version, WebhookEndpointId};
use crate::domain::listing::{Page, Window};
use crate::domain::machine::{Outcome, Possibility};
use crate::domain::refusal::Refusal;
use crate::domain::webhooks::address::Addresses;
use crate::domain::webhooks::signature::{SECRET_BYTES, Secret};
use crate::domain::webhooks::{Command, Details, Endpoint, MOST_ENDPOINTS, WebhookEndpointFilter};
use crate::store::{self, Conn, Write, webhook_queue, webhooks};

/// Lists the webhook endpoints in the tenant, newest first.
///
/// # Errors
/// The filter names a resource that does not exist.
pub async fn list(cx: &Context, filter: &WebhookEndpointFilter, window: &Window) -> Result<Page<Endpoint>> {
    let named = [("partner_id", Named::Reseller(filter.partner_id))];
    cx.db
        .statement(async |conn| cx.checked(conn, &named, webhooks::list(conn, cx.actor.scope, filter, window)).await)
        .await
}

/// Returns the webhook endpoint.
///
/// # Errors
/// The webhook endpoint does not exist.
pub async fn get(cx: &Context, id: WebhookEndpointId) -> Result<Endpoint> {
    cx.db.statement(async |conn| found(webhooks::find(conn, cx.actor.scope, id).await?, "webhook endpoint")).await
}

/// Creates a webhook endpoint in the tenant of the actor. It receives events from now on.
///
/// # Errors
/// Its URL is not allowed, or the tenant has the maximum number of endpoints.
pub async fn create(cx: &Context, addresses: &Addresses, details: Details) -> Result<Endpoint> {
    addresses.check(&details.url).map_err(Refusal::from)?;
    let secret = new_secret()?;
    let tenant = cx.actor.scope.reseller();
    let place = events::catch_up(&cx.db).await?;
    cx.write(async |work| {
        if webhooks::count(work.conn, tenant).await? >= MOST_ENDPOINTS {
            return Err(Refusal::TooManyWebhookEndpoints(MOST_ENDPOINTS).into());
        }
        let endpoint = Endpoint::create(cx.new_id(), tenant, details, secret, cx.at);
        work.write([webhooks::insert(&endpoint, place)]);
        work.record(cx, [Saved::new(cx, None, &endpoint)]);
        Ok(endpoint)
    })
    .await
}

/// Edits a webhook endpoint. If the URL changes, queued deliveries are sent to the new URL immediately.
///
/// # Errors
/// The webhook endpoint does not exist, has another version, or its URL is not allowed.
pub async fn update(
    cx: &Context,
    addresses: &Addresses,
    id: WebhookEndpointId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<Endpoint> {
    cx.write(async |work| {
        let endpoint: Endpoint = work.lock(cx, id, precondition).await?;
        let details = edit(endpoint.details.clone());
        if details.url != endpoint.details.url {
            addresses.check(&details.url).map_err(Refusal::from)?;
            work.write([webhook_queue::wake(id, cx.clock.machine())]);
        }
        let outcome = endpoint.edit(details, cx.at);
        Ok(work.save(cx, endpoint, outcome))
    })
    .await
}

/// Deletes a webhook endpoint. Queued deliveries to it are not sent any more.
///
/// # Errors
/// The webhook endpoint does not exist, or has another version.
pub async fn delete(cx: &Context, id: WebhookEndpointId, precondition: &Precondition) -> Result<()> {
    cx.write(async |work| {
        let endpoint: Endpoint = work.lock(cx, id, precondition).await?;
        work.write([webhooks::delete(id)]);
        work.record(cx, [Saved::deleted(cx, &endpoint)]);
        Ok(())
    })
    .await
}

/// Disables or enables a webhook endpoint.
///
/// # Errors
/// The webhook endpoint does not exist, or has another version.
pub async fn transition(
    cx: &Context,
    id: WebhookEndpointId,
    precondition: &Precondition,
    command: Command,
) -> Result<Endpoint> {
    cx.write(async |work| {
        let endpoint: Endpoint = work.lock(cx, id, precondition).await?;
        let (was_enabled, outcome) = (endpoint.is_enabled(), endpoint.apply(command, cx.at));
        let after = work.save(cx, endpoint, outcome);
        if after.is_enabled() && !was_enabled {
            work.write([webhook_queue::wake(id, cx.clock.machine())]);
        }
        Ok(after)
    })
    .await
}

/// Creates a new secret for a webhook endpoint. Messages are also signed with the old secrets for the time of
/// `overlap`.
///
/// # Errors
/// The webhook endpoint does not exist, or has another version.
pub async fn rotate(
    cx: &Context,
    id: WebhookEndpointId,
    precondition: &Precondition,
    overlap: TimeDelta,
) -> Result<Endpoint> {
    let secret = new_secret()?;
    let rotate = |before: &Endpoint| Ok(Outcome::Changed(before.rotate(secret, overlap, cx.clock.machine(), cx.at)));
    cx.change_one(id, precondition, rotate).await
}

impl Entity for Endpoint {
    type Id = WebhookEndpointId;

    const NAME: &'static str = "webhook endpoint";

    async fn lock(conn: &Conn, scope: Scope, id: WebhookEndpointId) -> store::Result<Option<Self>> {
        webhooks::lock(conn, scope, id).await
    }

    fn version(&self) -> Version {
        self.version
    }

    fn possibilities(&self, _: &Context) -> Vec<(Right, Possibility)> {
        self.possibilities()
    }

    fn rows(&self, _: &Context, _: &Self) -> Vec<Write> {
        vec![webhooks::save(self)]
    }
}

fn new_secret() -> Result<Secret> {
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| store::Error::Unavailable(format!("randomness: {error}")))?;
    Ok(Secret::new(random))
}
