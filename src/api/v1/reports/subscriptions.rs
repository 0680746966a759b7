//! The subscription report.

use actix_web::{HttpResponse, get};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::contract::problem::{Problem, in_query};
use crate::api::middleware::authenticate::{Permit, Read};
use crate::api::respond::csv::{Csv, columns};
use crate::api::respond::page::{list, listing};
use crate::api::respond::report::{Report, ReportQuery};
use crate::api::v1::money::Money;
use crate::domain::id::{CustomerId, ProductId, ResellerId, SubscriptionId};
use crate::domain::report::{About, SubscriptionReportFilter, SubscriptionRow};
use crate::domain::subscription::SubscriptionStatus;
use crate::domain::text::{Code, CompanyName, Line};
use crate::ops::reports;

/// A row of the subscription report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "reseller_name": "Harbour Resale",
    "product_code": "website-tls",
    "product_name": "Website certificates",
    "status": "active",
    "start_date": "2026-01-01",
    "ordered_on": "2026-01-01",
    "current_quantity": 20,
    "renewal_quantity": 20,
    "used_quantity": 8
}))]
pub struct SubscriptionReportRow {
    /// The id of the subscription.
    pub subscription_id: SubscriptionId,
    /// The customer of the subscription.
    pub customer_id: CustomerId,
    /// The customer's name.
    pub customer_name: CompanyName,
    /// The reseller that manages the customer; null if the provider does.
    #[schema(required)]
    pub reseller_id: Option<ResellerId>,
    /// The reseller's name.
    #[schema(required)]
    pub reseller_name: Option<CompanyName>,
    /// The product of the subscription.
    pub product_id: ProductId,
    /// The stable name of the product.
    pub product_code: Code,
    /// The product's name.
    pub product_name: Line,
    pub status: SubscriptionStatus,
    /// The length of a term in calendar months.
    #[schema(minimum = 1, maximum = 36, example = 12)]
    pub term_months: i32,
    /// The first day of the current term.
    pub start_date: NaiveDate,
    /// The day after the last day of the current term.
    pub end_date: NaiveDate,
    /// The cost of the current term so far: its charges, except the voided ones.
    pub cost: Money,
    /// The day on which the subscription was ordered.
    pub ordered_on: NaiveDate,
    /// Who made the last change: `api_key:<id>`, `subject:<subject>` or `system`. Allocations do not count.
    #[schema(max_length = 300, example = "api_key:01990000-0000-7000-8000-000000000000")]
    pub last_modified_by: String,
    /// When it last changed. Allocations do not count.
    pub last_modified_at: DateTime<Utc>,
    /// Certificates of all types that are usable now.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub current_quantity: i64,
    /// Certificates of all types at the start of the next term.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub renewal_quantity: i64,
    /// Certificates of all types in use.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub used_quantity: i64,
}

list!(SubscriptionReportList of SubscriptionReportRow);

columns! {
    /// A column of the subscription report: a field of its rows, or a part of `cost`.
    SubscriptionReportColumn of SubscriptionReportRow {
        SubscriptionId = "subscription_id": subscription_id,
        CustomerId = "customer_id": customer_id,
        CustomerName = "customer_name": customer_name,
        ResellerId = "reseller_id": reseller_id,
        ResellerName = "reseller_name": reseller_name,
        ProductId = "product_id": product_id,
        ProductCode = "product_code": product_code,
        ProductName = "product_name": product_name,
        Status = "status": status,
        TermMonths = "term_months": term_months,
        StartDate = "start_date": start_date,
        EndDate = "end_date": end_date,
        CostAmount = "cost_amount": cost.amount,
        CostCurrency = "cost_currency": cost.currency,
        OrderedOn = "ordered_on": ordered_on,
        LastModifiedBy = "last_modified_by": last_modified_by,
        LastModifiedAt = "last_modified_at": last_modified_at,
        CurrentQuantity = "current_quantity": current_quantity,
        RenewalQuantity = "renewal_quantity": renewal_quantity,
        UsedQuantity = "used_quantity": used_quantity,
    }
}

listing! {
    /// Filters and columns of the subscription report.
    SubscriptionReportQuery {
        /// Only subscriptions of customers of this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
        /// Only subscriptions of this customer.
        #[param(nullable = false)]
        customer_id: Option<CustomerId>,
        /// Only subscriptions to this product.
        #[param(nullable = false)]
        product_id: Option<ProductId>,
        /// Only subscriptions in one of these states.
        #[param(max_items = 10)]
        status: Vec<SubscriptionStatus>,
        /// The term ends on this day or later.
        #[param(nullable = false)]
        ends_after: Option<NaiveDate>,
        /// The term ends before this day.
        #[param(nullable = false)]
        ends_before: Option<NaiveDate>,
        /// Ordered at this instant or later.
        #[param(nullable = false)]
        ordered_after: Option<DateTime<Utc>>,
        /// Ordered before this instant.
        #[param(nullable = false)]
        ordered_before: Option<DateTime<Utc>>,
        /// For CSV: the columns in this order, each at most once; all columns if omitted.
        #[param(max_items = 20)]
        columns: Vec<SubscriptionReportColumn>,
        /// For CSV: start with a UTF-8 byte order mark, so that Excel reads non-ASCII characters correctly.
        #[param(nullable = false)]
        bom: Option<bool>,
    }
}

impl ReportQuery for SubscriptionReportQuery {
    type Column = SubscriptionReportColumn;

    fn columns(&self) -> &[SubscriptionReportColumn] {
        &self.columns
    }

    fn bom(&self) -> bool {
        self.bom == Some(true)
    }
}

impl From<SubscriptionRow> for SubscriptionReportRow {
    fn from(row: SubscriptionRow) -> Self {
        Self {
            current_quantity: row.current_quantity(),
            renewal_quantity: row.renewal_quantity(),
            used_quantity: row.used_quantity(),
            subscription_id: row.id,
            customer_id: row.holder.customer_id,
            customer_name: row.holder.customer_name,
            reseller_id: row.holder.reseller_id,
            reseller_name: row.holder.reseller_name,
            product_id: row.product.id,
            product_code: row.product.code,
            product_name: row.product.name,
            status: row.status,
            term_months: row.term_months,
            start_date: row.start_date,
            end_date: row.end_date,
            cost: row.cost.into(),
            ordered_on: row.created_at.date_naive(),
            last_modified_by: row.updated_by,
            last_modified_at: row.updated_at,
        }
    }
}

/// Report subscriptions
///
/// Returns one row for each subscription, oldest first. JSON comes in pages. With `Accept: text/csv`, the response is
/// the whole table: the requested `columns`, with amounts in integer minor units, and with an apostrophe before each
/// text that a spreadsheet would evaluate as a formula. `limit` and `cursor` are only for JSON, `columns` and `bom`
/// only for CSV.
#[utoipa::path(
    tag = "Reports",
    params(SubscriptionReportQuery),
    extensions(("x-errors" = json!(["amount_out_of_range"]))),
    responses(
        (status = 200, description = "A page of the report, or all of it as CSV.", content(
            (SubscriptionReportList = "application/json"),
            (Csv = "text/csv", example = "customer_name,end_date,cost_amount,cost_currency\r\nNorthwind,2028-01-01,74589,USD\r\n")
        ))
    )
)]
#[get("/reports/subscriptions")]
pub async fn report_subscriptions(
    permit: Permit<Read>,
    report: Report<SubscriptionReportQuery>,
) -> Result<HttpResponse, Problem> {
    let query = report.query();
    let filter = SubscriptionReportFilter {
        about: About { partner_id: query.partner_id, customer_id: query.customer_id, product_id: query.product_id },
        status: query.status.clone(),
        ends_after: query.ends_after,
        ends_before: query.ends_before,
        ordered_after: query.ordered_after,
        ordered_before: query.ordered_before,
    };
    let (cx, today) = (permit.cx.clone(), permit.cx.today());
    let load = async move |window| {
        let page = reports::subscriptions(&cx, &filter, &window).await.map_err(in_query)?;
        Ok(page.map(SubscriptionReportRow::from))
    };
    let list = |data, next_cursor| SubscriptionReportList { data, next_cursor };
    report.answer("subscriptions", today, load, list).await
}
