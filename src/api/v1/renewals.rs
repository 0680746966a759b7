//! Renewing a lapsed subscription.

use actix_web::{HttpResponse, post};

use super::quote::{Confirmation, Quote};
use super::subscriptions::Subscription;
use crate::api::contract::json::{NoBody, OptionalJson};
use crate::api::contract::path::Id;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, Read, WriteSubscriptions};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, ok};
use crate::domain::id::SubscriptionId;
use crate::ops::inventory::{self, Change};

/// Preview the renewal of a lapsed subscription
///
/// Returns a quote for a new term from today at the renewal quantities, charged in full. Writes nothing.
#[utoipa::path(
    tag = "Subscriptions",
    extensions(("x-errors" = json!(["invalid_transition", "nothing_to_renew", "amount_out_of_range"]))),
    responses((status = 200, description = "The quote.", body = Quote))
)]
#[post("/subscriptions/{subscription_id}/renew/preview")]
pub async fn preview_renew_subscription(
    permit: Permit<Read>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    let quote = inventory::preview(&permit.cx, id.0, &Change::Renew).await?;
    Ok(HttpResponse::Ok().json(Quote::from(&quote)))
}

/// Renew a lapsed subscription
///
/// Starts a new term today for a suspended subscription whose term has ended, and charges it in full. Roles: admin and
/// sales.
#[utoipa::path(
    tag = "Subscriptions",
    params(IfMatchHeader),
    request_body = Confirmation,
    extensions(("x-errors" = json!([
        "invalid_transition", "nothing_to_renew", "quote_stale", "amount_out_of_range"
    ]))),
    responses((status = 200, description = "The updated subscription.", body = Subscription))
)]
#[post("/subscriptions/{subscription_id}/renew")]
pub async fn renew_subscription(
    permit: Permit<WriteSubscriptions>,
    id: Id<SubscriptionId>,
    _: NoQuery,
    expected: IfMatch,
    body: OptionalJson<Confirmation>,
) -> Result<HttpResponse, Problem> {
    let digest = body.0.digest;
    let (_, subscription) =
        inventory::confirm(&permit.cx, id.0, &expected.0, &Change::Renew, digest.as_deref()).await?;
    Ok(ok(subscription.version, Subscription::for_caller(&subscription, &permit.cx)))
}
