//! Charges.

use actix_web::{HttpResponse, get};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::money::Money;
use super::quote::Calculation;
use crate::api::contract::problem::{Problem, in_query};
use crate::api::middleware::authenticate::{Permit, Read};
use crate::api::respond::page::{Listing, list, listing};
use crate::domain::billing::order::{self, ChargeFilter, ChargeStatus};
use crate::domain::id::{ChargeId, CustomerId, InvoiceId, OrderId, SubscriptionId};
use crate::domain::text::Code;
use crate::ops::orders;

/// An amount that a customer has to pay.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "invoice_id": null }))]
pub struct Charge {
    /// The id of the charge.
    pub id: ChargeId,
    /// The order of the charge.
    pub order_id: OrderId,
    /// The customer that pays.
    pub customer_id: CustomerId,
    /// The subscription that is charged.
    pub subscription_id: SubscriptionId,
    /// The certificate type that is charged.
    pub certificate_type: Code,
    pub calculation: Calculation,
    /// The amount to pay.
    pub amount: Money,
    /// The due date: the first day that is paid for.
    pub due_date: NaiveDate,
    pub status: ChargeStatus,
    /// The invoice that contains the charge; null if there is none, and again after that invoice is voided.
    #[schema(required)]
    pub invoice_id: Option<InvoiceId>,
}

list!(ChargeList of Charge);

listing! {
    /// Filters of charges.
    ChargeQuery {
        /// Only charges of this customer.
        #[param(nullable = false)]
        customer_id: Option<CustomerId>,
        /// Only charges in one of these states.
        #[param(max_items = 10)]
        status: Vec<ChargeStatus>,
        /// Due on this day or later.
        #[param(nullable = false)]
        due_after: Option<NaiveDate>,
        /// Due before this day.
        #[param(nullable = false)]
        due_before: Option<NaiveDate>,
    }
}

impl From<order::Charge> for Charge {
    fn from(charge: order::Charge) -> Self {
        Self {
            id: charge.id,
            order_id: charge.order_id,
            customer_id: charge.customer_id,
            subscription_id: charge.subscription_id,
            certificate_type: charge.certificate_type,
            calculation: Calculation::new(charge.calculation, charge.amount.currency),
            amount: charge.amount.into(),
            due_date: charge.due_date,
            status: charge.status,
            invoice_id: charge.invoice_id,
        }
    }
}

/// List charges
///
/// Returns charges, newest first.
#[utoipa::path(tag = "Orders", params(ChargeQuery), responses(
    (status = 200, description = "A page of charges.", body = ChargeList)
))]
#[get("/charges")]
pub async fn list_charges(permit: Permit<Read>, listing: Listing<ChargeQuery>) -> Result<HttpResponse, Problem> {
    let query = &listing.filter;
    let filter = ChargeFilter {
        customer_id: query.customer_id,
        partner_id: None,
        status: query.status.clone(),
        due_after: query.due_after,
        due_before: query.due_before,
    };
    let page = orders::list_charges(&permit.cx, &filter, &listing.window).await.map_err(in_query)?;
    let page = page.map(Charge::from);
    Ok(listing.answer(page, |data, next_cursor| ChargeList { data, next_cursor }))
}
