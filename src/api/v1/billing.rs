//! Billing runs.

use actix_web::{HttpResponse, post};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::money::Money;
use crate::api::contract::json::OptionalJson;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, WriteInvoices};
use crate::domain::billing::invoice_run::Run;
use crate::domain::money;
use crate::ops::billing;

/// What to bill. The body can be omitted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "through": "2026-12-31" }))]
pub struct InvoiceRunRequest {
    /// Bill the charges that are due on this day or before. Today if omitted, and at the latest.
    #[schema(nullable = false)]
    pub through: Option<NaiveDate>,
}

/// The result of a billing run.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvoiceRun {
    /// Charges that were due on this day or before were billed.
    pub through: NaiveDate,
    /// The number of issued invoices. 0 if all due charges were already on invoices.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 12)]
    pub invoices: i64,
    /// The number of charges on these invoices.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 31)]
    pub charges: i64,
    /// The totals, one for each currency.
    #[schema(max_items = 300)]
    pub totals: Vec<Money>,
    /// Whether all due charges are billed. If false, call this operation again to continue.
    pub complete: bool,
}

impl InvoiceRun {
    fn new(through: NaiveDate, run: Run) -> Self {
        let totals = run.totals.into_iter().map(|(currency, amount)| money::Money { amount, currency }.into());
        Self { through, invoices: run.invoices, charges: run.charges, totals: totals.collect(), complete: run.complete }
    }
}

/// Bill all customers
///
/// Issues invoices for all pending charges that are due: one for each customer and currency, or several if there are
/// more than 1000 lines. Each charge is billed only once, even if several runs overlap. After an error, nothing is
/// billed. One call bills at most 3000 charges: `complete` is false if more are due. Roles: the provider's admin and
/// billing.
#[utoipa::path(tag = "Invoices", request_body = InvoiceRunRequest, responses(
    (status = 200, description = "The result of the run.", body = InvoiceRun)
))]
#[post("/invoices/run")]
pub async fn run_invoices(
    permit: Permit<WriteInvoices>,
    _: NoQuery,
    body: OptionalJson<InvoiceRunRequest>,
) -> Result<HttpResponse, Problem> {
    let through = body.0.through.unwrap_or_else(|| permit.cx.today());
    let run = billing::run(&permit.cx, through).await?;
    Ok(HttpResponse::Ok().json(InvoiceRun::new(through, run)))
}
