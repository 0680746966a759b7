//! Upcoming charges.

use actix_web::{HttpResponse, get};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::money::Money;
use super::quote::Calculation;
use crate::api::contract::path::Id;
use crate::api::contract::problem::{Problem, in_query};
use crate::api::middleware::authenticate::{Permit, Read};
use crate::api::respond::page::{Listing, listing};
use crate::domain::billing::upcoming_charge::{self, UpcomingFilter, UpcomingKind};
use crate::domain::id::{ChargeId, CustomerId, PriceListId, ResellerId, SubscriptionId};
use crate::domain::listing::Page;
use crate::domain::money;
use crate::domain::text::Code;
use crate::ops::upcoming_charges;

/// An upcoming charge: a charge that is not on an invoice yet, or the expected cost of a renewal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "price_list_id": null }))]
pub struct UpcomingCharge {
    pub kind: UpcomingKind,
    /// The id of the charge; null for an expected renewal.
    #[schema(required)]
    pub charge_id: Option<ChargeId>,
    /// The customer that pays.
    pub customer_id: CustomerId,
    /// The subscription that is charged.
    pub subscription_id: SubscriptionId,
    /// The certificate type that is charged.
    pub certificate_type: Code,
    pub calculation: Calculation,
    /// The price list of the unit price of a renewal. Null for the product's own price, and for pending charges: see
    /// their orders.
    #[schema(required)]
    pub price_list_id: Option<PriceListId>,
    /// The amount to pay.
    pub amount: Money,
    /// The due date: the first day that is paid for.
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
    /// The totals of all pages, one for each currency.
    #[schema(max_items = 200)]
    pub totals: Vec<Money>,
}

listing! {
    /// Filters of upcoming charges.
    UpcomingChargeQuery {
        /// Only charges of customers of this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
        /// Due on this day or later. If omitted, all pending charges are included.
        #[param(nullable = false)]
        from: Option<NaiveDate>,
        /// Due before this day: at most 366 days ahead, and one month ahead if omitted.
        #[param(nullable = false)]
        to: Option<NaiveDate>,
    }
}

listing! {
    /// Filters of upcoming charges of a customer.
    CustomerUpcomingChargeQuery {
        /// Due on this day or later. If omitted, all pending charges are included.
        #[param(nullable = false)]
        from: Option<NaiveDate>,
        /// Due before this day: at most 366 days ahead, and one month ahead if omitted.
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
    Q: crate::api::respond::page::Paged,
{
    let totals = totals.into_iter().map(Money::from).collect();
    let page = page.map(UpcomingCharge::from);
    listing.answer(page, |data, next_cursor| UpcomingChargeList { data, next_cursor, totals })
}

/// List upcoming charges
///
/// Returns charges that are not on an invoice yet, and the expected charges of renewals at their renewal quantities and
/// today's prices. Sorted by day, with the totals of all pages. A suspended subscription does not renew, so it has no
/// expected charges.
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
/// Returns what the customer will be charged next, and why: charges that are not on an invoice yet, and the expected
/// charges of renewals at their renewal quantities and today's prices. Sorted by day, with the totals of all pages.
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
