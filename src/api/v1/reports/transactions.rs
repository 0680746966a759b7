//! The transaction report: the lines of orders.

use actix_web::{HttpResponse, get};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::contract::problem::{Problem, in_query};
use crate::api::middleware::authenticate::{Permit, Read};
use crate::api::respond::csv::{Csv, columns};
use crate::api::respond::page::{list, listing};
use crate::api::respond::report::{Report, ReportQuery};
use crate::api::v1::money::Money;
use crate::domain::billing::order::{Bucket, OrderKind};
use crate::domain::id::{CustomerId, OrderId, ProductId, ResellerId, SubscriptionId};
use crate::domain::report::{About, TransactionReportFilter, TransactionRow};
use crate::domain::text::{Code, CompanyName, Line};
use crate::ops::reports;

/// A row of the transaction report: a line of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "reseller_name": "Harbour Resale",
    "product_code": "website-tls",
    "product_name": "Website certificates",
    "action": "current_inventory"
}))]
pub struct TransactionReportRow {
    /// The id of the order.
    pub order_id: OrderId,
    /// The index of the line in the order, from 0.
    #[schema(minimum = 0, maximum = 9999, example = 0)]
    pub line: i32,
    /// The customer of the order.
    pub customer_id: CustomerId,
    /// The customer's name.
    pub customer_name: CompanyName,
    /// The reseller that manages the customer now; null if the provider does.
    #[schema(required)]
    pub reseller_id: Option<ResellerId>,
    /// The reseller's name.
    #[schema(required)]
    pub reseller_name: Option<CompanyName>,
    /// The id of the product.
    pub product_id: ProductId,
    /// The stable name of the product.
    pub product_code: Code,
    /// The product's name.
    pub product_name: Line,
    /// The id of the subscription.
    pub subscription_id: SubscriptionId,
    pub action: OrderKind,
    pub bucket: Bucket,
    /// The certificate type.
    pub certificate_type: Code,
    /// When the order was confirmed.
    pub date: DateTime<Utc>,
    /// The quantity before the change; null if the renewal quantity followed the current quantity.
    #[schema(required, minimum = 0, maximum = 1_000_000, example = 10)]
    pub quantity_before: Option<i32>,
    /// The quantity after the change; null if the renewal quantity follows the current quantity.
    #[schema(required, minimum = 0, maximum = 1_000_000, example = 20)]
    pub quantity_after: Option<i32>,
    /// The number of paid certificates or, if nothing is charged, the change of the quantity. Null if the renewal
    /// quantity starts or stops following the current quantity.
    #[schema(required, minimum = -1_000_000, maximum = 1_000_000, example = 10)]
    pub certificates: Option<i32>,
    /// The cost; may be 0.
    pub cost: Money,
    /// Who confirmed the order: `api_key:<id>`, `subject:<subject>` or `system`.
    #[schema(max_length = 300, example = "api_key:01990000-0000-7000-8000-000000000000")]
    pub user: String,
}

list!(TransactionReportList of TransactionReportRow);

columns! {
    /// A column of the transaction report: a field of its rows, or a part of `cost`.
    TransactionReportColumn of TransactionReportRow {
        OrderId = "order_id": order_id,
        Line = "line": line,
        CustomerId = "customer_id": customer_id,
        CustomerName = "customer_name": customer_name,
        ResellerId = "reseller_id": reseller_id,
        ResellerName = "reseller_name": reseller_name,
        ProductId = "product_id": product_id,
        ProductCode = "product_code": product_code,
        ProductName = "product_name": product_name,
        SubscriptionId = "subscription_id": subscription_id,
        Action = "action": action,
        Bucket = "bucket": bucket,
        CertificateType = "certificate_type": certificate_type,
        Date = "date": date,
        QuantityBefore = "quantity_before": quantity_before,
        QuantityAfter = "quantity_after": quantity_after,
        Certificates = "certificates": certificates,
        CostAmount = "cost_amount": cost.amount,
        CostCurrency = "cost_currency": cost.currency,
        User = "user": user,
    }
}

listing! {
    /// Filters and columns of the transaction report.
    TransactionReportQuery {
        /// Only lines of customers that this reseller manages now.
        #[param(nullable = false)]
        partner_id: Option<ResellerId>,
        /// Only lines of this customer.
        #[param(nullable = false)]
        customer_id: Option<CustomerId>,
        /// Only lines of this product.
        #[param(nullable = false)]
        product_id: Option<ProductId>,
        /// Only lines of orders of one of these kinds.
        #[param(max_items = 10)]
        kind: Vec<OrderKind>,
        /// Confirmed at this instant or later.
        #[param(nullable = false)]
        confirmed_after: Option<DateTime<Utc>>,
        /// Confirmed before this instant.
        #[param(nullable = false)]
        confirmed_before: Option<DateTime<Utc>>,
        /// For CSV: the columns in this order, each at most once; all columns if omitted.
        #[param(max_items = 20)]
        columns: Vec<TransactionReportColumn>,
        /// For CSV: start with a UTF-8 byte order mark, so that Excel reads non-ASCII characters correctly.
        #[param(nullable = false)]
        bom: Option<bool>,
    }
}

impl ReportQuery for TransactionReportQuery {
    type Column = TransactionReportColumn;

    fn columns(&self) -> &[TransactionReportColumn] {
        &self.columns
    }

    fn bom(&self) -> bool {
        self.bom == Some(true)
    }
}

impl From<TransactionRow> for TransactionReportRow {
    fn from(row: TransactionRow) -> Self {
        Self {
            certificates: row.line.certificates(),
            order_id: row.order_id,
            line: row.position,
            customer_id: row.holder.customer_id,
            customer_name: row.holder.customer_name,
            reseller_id: row.holder.reseller_id,
            reseller_name: row.holder.reseller_name,
            product_id: row.product.id,
            product_code: row.product.code,
            product_name: row.product.name,
            subscription_id: row.subscription_id,
            action: row.kind,
            bucket: row.line.bucket,
            certificate_type: row.line.certificate_type,
            date: row.confirmed_at,
            quantity_before: row.line.quantity_before,
            quantity_after: row.line.quantity_after,
            cost: row.line.amount.into(),
            user: row.confirmed_by,
        }
    }
}

/// Report transactions
///
/// Returns one row for each line of each order, newest order first. JSON comes in pages. With `Accept: text/csv`, the
/// response is the whole table: the requested `columns`, with amounts in integer minor units, and with an apostrophe
/// before each text that a spreadsheet would evaluate as a formula. `limit` and `cursor` are only for JSON, `columns`
/// and `bom` only for CSV.
#[utoipa::path(tag = "Reports", params(TransactionReportQuery), responses(
    (status = 200, description = "A page of the report, or all of it as CSV.", content(
        (TransactionReportList = "application/json"),
        (Csv = "text/csv", example = "date,action,certificates,cost_amount,cost_currency\r\n2027-01-01T12:00:00Z,renewal,10,99000,USD\r\n")
    ))
))]
#[get("/reports/transactions")]
pub async fn report_transactions(
    permit: Permit<Read>,
    report: Report<TransactionReportQuery>,
) -> Result<HttpResponse, Problem> {
    let query = report.query();
    let filter = TransactionReportFilter {
        about: About { partner_id: query.partner_id, customer_id: query.customer_id, product_id: query.product_id },
        kind: query.kind.clone(),
        confirmed_after: query.confirmed_after,
        confirmed_before: query.confirmed_before,
    };
    let (cx, today) = (permit.cx.clone(), permit.cx.today());
    let load = async move |window| {
        let page = reports::transactions(&cx, &filter, &window).await.map_err(in_query)?;
        Ok(page.map(TransactionReportRow::from))
    };
    let list = |data, next_cursor| TransactionReportList { data, next_cursor };
    report.answer("transactions", today, load, list).await
}
