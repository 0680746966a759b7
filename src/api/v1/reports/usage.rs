//! The usage report: how many certificates subscriptions have, and how many are in use.

use actix_web::{HttpResponse, get};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::contract::problem::{Problem, in_query};
use crate::api::middleware::authenticate::{Permit, Read};
use crate::api::respond::csv::{Csv, columns};
use crate::api::respond::page::{list, listing};
use crate::api::respond::report::{Report, ReportQuery};
use crate::domain::id::{CustomerId, ProductId, ResellerId, SubscriptionId};
use crate::domain::report::{About, UsageReportFilter, UsageRow};
use crate::domain::subscription::SubscriptionStatus;
use crate::domain::text::{Code, CompanyName, Line};
use crate::ops::reports;

/// A row of the usage report: the certificates of one type in a subscription.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "reseller_name": "Harbour Resale",
    "product_code": "website-tls",
    "product_name": "Website certificates",
    "status": "active",
    "inventory": 20,
    "used": 8,
    "available": 12,
    "overage": 0
}))]
pub struct UsageReportRow {
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
    /// The certificate type.
    pub certificate_type: Code,
    /// The number of certificates that are paid for.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub inventory: i32,
    /// The number of certificates in use.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub used: i32,
    /// `max(0, inventory − used)`.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub available: i32,
    /// `max(0, used − inventory)`. More than 0 is possible after a renewal with a smaller quantity.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub overage: i32,
    /// The day after the last day of the current term.
    pub end_date: NaiveDate,
}

list!(UsageReportList of UsageReportRow);

columns! {
    /// A column of the usage report: a field of its rows.
    UsageReportColumn of UsageReportRow {
        SubscriptionId = "subscription_id": subscription_id,
        CustomerId = "customer_id": customer_id,
        CustomerName = "customer_name": customer_name,
        ResellerId = "reseller_id": reseller_id,
        ResellerName = "reseller_name": reseller_name,
        ProductId = "product_id": product_id,
        ProductCode = "product_code": product_code,
        ProductName = "product_name": product_name,
        Status = "status": status,
        CertificateType = "certificate_type": certificate_type,
        Inventory = "inventory": inventory,
        Used = "used": used,
        Available = "available": available,
        Overage = "overage": overage,
        EndDate = "end_date": end_date,
    }
}

listing! {
    /// Filters and columns of the usage report.
    UsageReportQuery {
        /// Only rows of customers of this reseller.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
        /// Only rows of this customer.
        #[param(nullable = false)]
        customer_id: Option<CustomerId>,
        /// Only rows of this product.
        #[param(nullable = false)]
        product_id: Option<ProductId>,
        /// Only rows of subscriptions in one of these states.
        #[param(max_items = 10)]
        status: Vec<SubscriptionStatus>,
        /// The term ends on this day or later.
        #[param(nullable = false)]
        ends_after: Option<NaiveDate>,
        /// The term ends before this day.
        #[param(nullable = false)]
        ends_before: Option<NaiveDate>,
        /// For CSV: the columns in this order, each at most once; all columns if omitted.
        #[param(max_items = 15)]
        columns: Vec<UsageReportColumn>,
        /// For CSV: start with a UTF-8 byte order mark, so that Excel reads non-ASCII characters correctly.
        #[param(nullable = false)]
        bom: Option<bool>,
    }
}

impl ReportQuery for UsageReportQuery {
    type Column = UsageReportColumn;

    fn columns(&self) -> &[UsageReportColumn] {
        &self.columns
    }

    fn bom(&self) -> bool {
        self.bom == Some(true)
    }
}

impl From<UsageRow> for UsageReportRow {
    fn from(row: UsageRow) -> Self {
        Self {
            inventory: row.line.current,
            used: row.line.used,
            available: row.line.available(),
            overage: row.line.overage(),
            certificate_type: row.line.certificate_type,
            subscription_id: row.subscription_id,
            customer_id: row.holder.customer_id,
            customer_name: row.holder.customer_name,
            reseller_id: row.holder.reseller_id,
            reseller_name: row.holder.reseller_name,
            product_id: row.product.id,
            product_code: row.product.code,
            product_name: row.product.name,
            status: row.status,
            end_date: row.end_date,
        }
    }
}

/// Report usage
///
/// Returns one row for each certificate type of each subscription, oldest subscription first. JSON comes in pages. With
/// `Accept: text/csv`, the response is the whole table: the requested `columns`, with an apostrophe before each text
/// that a spreadsheet would evaluate as a formula. `limit` and `cursor` are only for JSON, `columns` and `bom` only for
/// CSV.
#[utoipa::path(tag = "Reports", params(UsageReportQuery), responses(
    (status = 200, description = "A page of the report, or all of it as CSV.", content(
        (UsageReportList = "application/json"),
        (Csv = "text/csv", example = "customer_name,certificate_type,inventory,used\r\nNorthwind,ov-single,50,12\r\n")
    ))
))]
#[get("/reports/usage")]
pub async fn report_usage(permit: Permit<Read>, report: Report<UsageReportQuery>) -> Result<HttpResponse, Problem> {
    let query = report.query();
    let filter = UsageReportFilter {
        about: About { partner_id: query.partner_id, customer_id: query.customer_id, product_id: query.product_id },
        status: query.status.clone(),
        ends_after: query.ends_after,
        ends_before: query.ends_before,
    };
    let (cx, today) = (permit.cx.clone(), permit.cx.today());
    let load = async move |window| {
        let page = reports::usage(&cx, &filter, &window).await.map_err(in_query)?;
        Ok(page.map(UsageReportRow::from))
    };
    report.answer("usage", today, load, |data, next_cursor| UsageReportList { data, next_cursor }).await
}
