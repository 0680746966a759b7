//! What is to be paid soon.

use actix_web::{HttpResponse, get};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::money::Money;
use super::quote::Calculation;
use crate::api::auth::{Permit, Read};
use crate::api::page::{Listing, listing};
use crate::api::path::Id;
use crate::api::problem::{Problem, in_query};
use crate::domain::id::{ChargeId, CustomerId, PriceListId, ResellerId, SubscriptionId};
use crate::domain::listing::{Page, UpcomingFilter};
use crate::domain::money;
use crate::domain::text::Code;
use crate::domain::upcoming_charge::{self, UpcomingKind};
use crate::ops::upcoming_charges;

/// What is to be paid soon: a charge that waits for an invoice, or what a renewal will cost as things stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "price_list_id": null }))]
pub struct UpcomingCharge {
    pub kind: UpcomingKind,
    /// The charge; null for a renewal that is yet to come.
    #[schema(required)]
    pub charge_id: Option<ChargeId>,
    /// Who pays.
    pub customer_id: CustomerId,
    /// For which subscription.
    pub subscription_id: SubscriptionId,
    /// For which certificate type.
    pub certificate_type: Code,
    pub calculation: Calculation,
    /// The price list that the unit price of a renewal comes from; null when it is the product's own, and for
    /// pending charges, whose orders tell.
    #[schema(required)]
    pub price_list_id: Option<PriceListId>,
    /// What is to be paid.
    pub amount: Money,
    /// When: the first day that is paid for.
    pub due_date: NaiveDate,
}

/// One page of upcoming charges, and the totals of all pages.
#[derive(Debug, Serialize, ToSchema)]
pub struct UpcomingChargeList {
    /// The rows of the page.
    #[schema(max_items = 200)]
    pub data: Vec<UpcomingCharge>,
    /// The `cursor` of the next page; null when this is the last.
    #[schema(required, max_length = 4096, example = "eyJsaXN0IjoiVGg5cTJ3cG1kZTRMYkZ5WiJ9")]
    pub next_cursor: Option<String>,
    /// What all of them come to, in each currency; not only those of this page.
    #[schema(max_items = 200)]
    pub totals: Vec<Money>,
}

listing! {
    /// Which upcoming charges.
    UpcomingChargeQuery {
        /// Of the customers of this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
        /// Due on this day or later; left out, whatever is pending.
        #[param(nullable = false)]
        from: Option<NaiveDate>,
        /// Due before this day, at most 366 days ahead; a month ahead when left out.
        #[param(nullable = false)]
        to: Option<NaiveDate>,
    }
}

listing! {
    /// Which upcoming charges of a customer.
    CustomerUpcomingChargeQuery {
        /// Due on this day or later; left out, whatever is pending.
        #[param(nullable = false)]
        from: Option<NaiveDate>,
        /// Due before this day, at most 366 days ahead; a month ahead when left out.
        #[param(nullable = false)]
        to: Option<NaiveDate>,
    }
}

impl From<upcoming_charge::UpcomingCharge> for UpcomingCharge {
    fn from(charge: upcoming_charge::UpcomingCharge) -> Self {
        Self {
            kind: charge.kind,
            charge_id: charge.charge_id,
            customer_id: charge.customer_id,
            subscription_id: charge.subscription_id,
            certificate_type: charge.certificate_type,
            calculation: Calculation::new(charge.calculation, charge.amount.currency),
            price_list_id: charge.price_list_id,
            amount: charge.amount.into(),
            due_date: charge.due_date,
        }
    }
}

fn answer<Q>(
    listing: &Listing<Q>,
    (page, totals): (Page<upcoming_charge::UpcomingCharge>, Vec<money::Money>),
) -> HttpResponse
where
    Q: crate::api::page::Paged,
{
    let totals = totals.into_iter().map(Money::from).collect();
    let page = page.map(UpcomingCharge::from);
    listing.answer(page, |data, next_cursor| UpcomingChargeList { data, next_cursor, totals })
}

/// List upcoming charges
///
/// Charges that wait for an invoice, and coming renewals at their renewal quantities and today's prices, in
/// order of day, with the totals of all. A suspended subscription does not renew, and so is not in it.
#[utoipa::path(tag = "Orders", params(UpcomingChargeQuery), extensions(("x-errors" = json!(["amount_out_of_range"]))), responses(
    (status = 200, description = "A page of upcoming charges.", body = UpcomingChargeList)
))]
#[get("/upcoming-charges")]
pub async fn list_upcoming_charges(
    permit: Permit<Read>,
    listing: Listing<UpcomingChargeQuery>,
) -> Result<HttpResponse, Problem> {
    let UpcomingChargeQuery { partner_id, from, to, .. } = listing.filter;
    let filter = UpcomingFilter { customer_id: None, partner_id, from, to };
    let found = upcoming_charges::list(&permit.cx, &filter, &listing.window).await.map_err(in_query)?;
    Ok(answer(&listing, found))
}

/// List a customer's upcoming charges
///
/// What it will be charged next, and why: charges that wait for an invoice, and coming renewals at their
/// renewal quantities and today's prices, in order of day, with the totals of all.
#[utoipa::path(tag = "Orders", params(CustomerUpcomingChargeQuery), extensions(("x-errors" = json!(["amount_out_of_range"]))), responses(
    (status = 200, description = "A page of upcoming charges.", body = UpcomingChargeList)
))]
#[get("/customers/{customer_id}/upcoming-charges")]
pub async fn list_customer_upcoming_charges(
    permit: Permit<Read>,
    id: Id<CustomerId>,
    listing: Listing<CustomerUpcomingChargeQuery>,
) -> Result<HttpResponse, Problem> {
    let CustomerUpcomingChargeQuery { from, to, .. } = listing.filter;
    let filter = UpcomingFilter { from, to, ..UpcomingFilter::default() };
    let found = upcoming_charges::of_customer(&permit.cx, id.0, &filter, &listing.window).await.map_err(in_query)?;
    Ok(answer(&listing, found))
}
