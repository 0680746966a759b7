//! Subscriptions whose due transition failed.

use actix_web::{HttpResponse, get};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::contract::problem::Problem;
use crate::api::middleware::authenticate::{Permit, Read};
use crate::api::respond::page::{Listing, PageQuery, list};
use crate::domain::id::{CustomerId, SubscriptionId};
use crate::domain::subscription::renewal_failure::{self, FailureCode};
use crate::ops::milestones;

/// A subscription that could not be started, renewed or ended when this was due. Processing is retried automatically,
/// and whenever the subscription is requested.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "due_date": "2026-01-01", "next_attempt_at": "2026-01-01T10:30:00Z" }))]
pub struct RenewalFailure {
    /// The id of the subscription.
    pub subscription_id: SubscriptionId,
    /// The customer of the subscription.
    pub customer_id: CustomerId,
    /// The day on which the transition was due.
    pub due_date: NaiveDate,
    pub code: FailureCode,
    /// The number of attempts.
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub attempts: i32,
    /// The first attempt.
    pub first_failed_at: DateTime<Utc>,
    /// The last attempt.
    pub last_failed_at: DateTime<Utc>,
    /// The latest time of the next automatic attempt.
    pub next_attempt_at: DateTime<Utc>,
}

list!(RenewalFailureList of RenewalFailure);

impl From<renewal_failure::RenewalFailure> for RenewalFailure {
    fn from(failure: renewal_failure::RenewalFailure) -> Self {
        Self {
            subscription_id: failure.waiting.subscription_id,
            customer_id: failure.waiting.customer_id,
            due_date: failure.waiting.due_date,
            code: failure.code,
            attempts: failure.attempts,
            first_failed_at: failure.first_failed_at,
            last_failed_at: failure.last_failed_at,
            next_attempt_at: failure.next_attempt_at,
        }
    }
}

/// List renewal failures
///
/// Lists subscriptions that could not be processed when they were due, and are still being retried. Normally empty.
/// Sorted by subscription.
#[utoipa::path(tag = "Subscriptions", params(PageQuery), responses(
    (status = 200, description = "A page of failures.", body = RenewalFailureList)
))]
#[get("/renewal-failures")]
pub async fn list_renewal_failures(permit: Permit<Read>, listing: Listing<PageQuery>) -> Result<HttpResponse, Problem> {
    let page = milestones::failures(&permit.cx, &listing.window).await?.map(RenewalFailure::from);
    Ok(listing.answer(page, |data, next_cursor| RenewalFailureList { data, next_cursor }))
}
