//! Runs, which bill what is due.

use actix_web::{HttpResponse, post};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::money::Money;
use crate::api::auth::{Permit, WriteInvoices};
use crate::api::json::OptionalJson;
use crate::api::problem::Problem;
use crate::api::query::NoQuery;
use crate::domain::billing::Run;
use crate::domain::money;
use crate::ops::billing;

/// What is to be billed; the body may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "through": "2026-12-31" }))]
pub struct InvoiceRunRequest {
    /// What is due on this day or before; today when left out, and not later.
    #[schema(nullable = false)]
    pub through: Option<NaiveDate>,
}

/// What a run has billed.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvoiceRun {
    /// What was due on this day or before.
    pub through: NaiveDate,
    /// How many invoices it issued; 0 when nothing was due that is not on an invoice already.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 12)]
    pub invoices: i64,
    /// How many charges they took.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64, example = 31)]
    pub charges: i64,
    /// What they come to, one total a currency.
    #[schema(max_items = 300)]
    pub totals: Vec<Money>,
    /// Whether everything that was due is billed. If not, run it again: it goes on.
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
/// Puts every pending charge that is due on an invoice: one for each customer and currency, or several when
/// there are more than 1000 lines. Each charge is billed once, however often and wherever this runs; after an
/// error nothing is billed. It takes up to 3000 charges: `complete` tells whether there is more. Roles: the
/// partner's admin and billing.
#[utoipa::path(tag = "Invoices", request_body = InvoiceRunRequest, responses(
    (status = 200, description = "What was billed.", body = InvoiceRun)
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
