//! Invoices.

use actix_web::{HttpResponse, get, post};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::ActionRequest;
use super::company::{Address, Contact};
use super::money::Money;
use super::quote::Calculation;
use super::resellers::Stop;
use crate::api::contract::json::{NoBody, OptionalJson};
use crate::api::contract::path::Id;
use crate::api::contract::problem::{ActionState, Problem, in_query};
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, Read, WriteInvoices};
use crate::api::respond::page::{Listing, list, listing};
use crate::api::respond::resource::{IfMatch, IfMatchHeader, IfNoneMatch, IfNoneMatchHeader, ok};
use crate::domain::authorization::Actor;
use crate::domain::billing::invoice::{self, Command, InvoiceFilter, InvoiceStatus};
use crate::domain::id::{ChargeId, CustomerId, InvoiceId, InvoiceNumber, OrderId, ProductId, SubscriptionId, Version};
use crate::domain::money::Currency;
use crate::domain::text::{Code, CompanyName, Line};
use crate::ops::invoices;

/// The example values of an invoice that was just issued.
fn just_issued() -> Value {
    json!({
        "emailed_at": null,
        "paid_at": null,
        "voided": null,
        "actions": [{ "action": "mark_emailed", "allowed": true }, { "action": "void", "allowed": true }],
        "created_at": "2027-01-01T09:30:00Z",
        "updated_at": "2027-01-01T09:30:00Z"
    })
}

/// An invoice of a customer. Only its state changes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(just_issued()))]
pub struct Invoice {
    /// The id of the invoice.
    pub id: InvoiceId,
    /// The number of the invoice: starts at 1 in each year, without gaps.
    pub number: InvoiceNumber,
    /// The customer that pays.
    pub customer_id: CustomerId,
    pub status: InvoiceStatus,
    /// The currency of all amounts.
    pub currency: Currency,
    pub bill_to: BillTo,
    /// The charges, oldest first.
    #[schema(max_items = 1000)]
    pub lines: Vec<InvoiceLine>,
    /// The sum of the lines.
    pub total: Money,
    /// The invoice contains charges that were due on this day or before.
    pub through: NaiveDate,
    /// When the invoice was emailed; null if it was not.
    #[schema(required)]
    pub emailed_at: Option<DateTime<Utc>>,
    /// When the invoice was paid; null if it was not.
    #[schema(required)]
    pub paid_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub voided: Option<Stop>,
    /// All actions, and whether each is allowed now.
    #[schema(max_items = 100)]
    pub actions: Vec<ActionState>,
    /// The version, as in `ETag`.
    pub version: Version,
    /// When the invoice was issued.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// An invoice without its lines.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!(just_issued()))]
pub struct InvoiceSummary {
    /// The id of the invoice.
    pub id: InvoiceId,
    /// The number of the invoice: starts at 1 in each year, without gaps.
    pub number: InvoiceNumber,
    /// The customer that pays.
    pub customer_id: CustomerId,
    pub status: InvoiceStatus,
    /// The currency of all amounts.
    pub currency: Currency,
    pub bill_to: BillTo,
    /// The number of lines.
    #[schema(minimum = 1, maximum = 1000, example = 2)]
    pub line_count: i32,
    /// The sum of the lines.
    pub total: Money,
    /// The invoice contains charges that were due on this day or before.
    pub through: NaiveDate,
    /// When the invoice was emailed; null if it was not.
    #[schema(required)]
    pub emailed_at: Option<DateTime<Utc>>,
    /// When the invoice was paid; null if it was not.
    #[schema(required)]
    pub paid_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub voided: Option<Stop>,
    /// All actions, and whether each is allowed now.
    #[schema(max_items = 100)]
    pub actions: Vec<ActionState>,
    /// The version, as in `ETag`.
    pub version: Version,
    /// When the invoice was issued.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// The recipient of the invoice: the customer's data when the invoice was issued.
#[derive(Debug, Serialize, ToSchema)]
pub struct BillTo {
    /// Name of the company.
    pub company_name: CompanyName,
    pub address: Address,
    #[schema(required)]
    pub contact: Option<Contact>,
}

/// A charge on an invoice, with its calculation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "product_name": "Website certificates" }))]
pub struct InvoiceLine {
    /// The id of the charge.
    pub charge_id: ChargeId,
    /// The order of the charge.
    pub order_id: OrderId,
    /// The subscription that is charged.
    pub subscription_id: SubscriptionId,
    /// The product of the subscription.
    pub product_id: ProductId,
    /// The name of the product when the invoice was issued.
    pub product_name: Line,
    /// The certificate type that is charged.
    pub certificate_type: Code,
    pub calculation: Calculation,
    /// The amount to pay.
    pub amount: Money,
    /// The due date: the first day that is paid for.
    pub due_date: NaiveDate,
}

list!(InvoiceList of InvoiceSummary);

listing! {
    /// Filters of invoices.
    InvoiceQuery {
        /// Only invoices of this customer.
        #[param(nullable = false)]
        customer_id: Option<CustomerId>,
        /// Only invoices in one of these states.
        #[param(max_items = 10)]
        status: Vec<InvoiceStatus>,
        /// Only the invoice with this number.
        #[param(nullable = false)]
        number: Option<InvoiceNumber>,
        /// Issued at this instant or later.
        #[param(nullable = false)]
        created_after: Option<DateTime<Utc>>,
        /// Issued before this instant.
        #[param(nullable = false)]
        created_before: Option<DateTime<Utc>>,
    }
}

impl Invoice {
    pub(super) fn new((invoice, lines): (invoice::Invoice, Vec<invoice::InvoiceLine>), actor: &Actor) -> Self {
        let summary = InvoiceSummary::new(&invoice, actor);
        Self {
            id: summary.id,
            number: summary.number,
            customer_id: summary.customer_id,
            status: summary.status,
            currency: summary.currency,
            bill_to: summary.bill_to,
            lines: lines.iter().map(InvoiceLine::from).collect(),
            total: summary.total,
            through: summary.through,
            emailed_at: summary.emailed_at,
            paid_at: summary.paid_at,
            voided: summary.voided,
            actions: summary.actions,
            version: summary.version,
            created_at: summary.created_at,
            updated_at: summary.updated_at,
        }
    }
}

impl InvoiceSummary {
    fn new(invoice: &invoice::Invoice, actor: &Actor) -> Self {
        Self {
            id: invoice.id,
            number: invoice.number,
            customer_id: invoice.customer_id,
            status: invoice.status(),
            currency: invoice.total.currency,
            bill_to: (&invoice.bill_to).into(),
            line_count: invoice.line_count,
            total: invoice.total.into(),
            through: invoice.through,
            emailed_at: invoice.emailed_at(),
            paid_at: invoice.paid_at(),
            voided: invoice.voided().map(|(at, reason)| Stop { at, reason: reason.cloned() }),
            actions: actor.offers(invoice.possibilities()).iter().map(ActionState::from).collect(),
            version: invoice.version,
            created_at: invoice.created_at,
            updated_at: invoice.updated_at,
        }
    }
}

impl From<&invoice::BillTo> for BillTo {
    fn from(bill_to: &invoice::BillTo) -> Self {
        Self {
            company_name: bill_to.company_name.clone(),
            address: (&bill_to.address).into(),
            contact: bill_to.contact.as_ref().map(Contact::from),
        }
    }
}

impl From<&invoice::InvoiceLine> for InvoiceLine {
    fn from(invoice::InvoiceLine { charge, product_id, product_name }: &invoice::InvoiceLine) -> Self {
        Self {
            charge_id: charge.id,
            order_id: charge.order_id,
            subscription_id: charge.subscription_id,
            product_id: *product_id,
            product_name: product_name.clone(),
            certificate_type: charge.certificate_type.clone(),
            calculation: Calculation::new(charge.calculation, charge.amount.currency),
            amount: charge.amount.into(),
            due_date: charge.due_date,
        }
    }
}

/// List invoices
///
/// Returns invoices without their lines, newest first. A reseller's key sees only the invoices of its own customers.
#[utoipa::path(tag = "Invoices", params(InvoiceQuery), responses(
    (status = 200, description = "A page of invoices.", body = InvoiceList)
))]
#[get("/invoices")]
pub async fn list_invoices(permit: Permit<Read>, listing: Listing<InvoiceQuery>) -> Result<HttpResponse, Problem> {
    let query = &listing.filter;
    let filter = InvoiceFilter {
        customer_id: query.customer_id,
        status: query.status.clone(),
        number: query.number,
        created_after: query.created_after,
        created_before: query.created_before,
    };
    let page = invoices::list(&permit.cx, &filter, &listing.window).await.map_err(in_query)?;
    let page = page.map(|invoice| InvoiceSummary::new(&invoice, &permit.cx.actor));
    Ok(listing.answer(page, |data, next_cursor| InvoiceList { data, next_cursor }))
}

/// Get an invoice
///
/// Returns the invoice with all its lines and their calculations.
#[utoipa::path(tag = "Invoices", params(IfNoneMatchHeader), responses(
    (status = 200, description = "The invoice.", body = Invoice)
))]
#[get("/invoices/{invoice_id}")]
pub async fn get_invoice(
    permit: Permit<Read>,
    id: Id<InvoiceId>,
    _: NoQuery,
    have: IfNoneMatch,
) -> Result<HttpResponse, Problem> {
    let invoice = invoices::get(&permit.cx, id.0).await?;
    Ok(have.answer(invoice.0.version, Invoice::new(invoice, &permit.cx.actor)))
}

/// Mark an invoice as emailed
///
/// Records that the invoice was sent to the customer. Roles: the provider's admin and billing.
#[utoipa::path(
    tag = "Invoices",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["invalid_transition"]))),
    responses((status = 200, description = "The updated invoice.", body = Invoice))
)]
#[post("/invoices/{invoice_id}/mark-emailed")]
pub async fn mark_invoice_emailed(
    permit: Permit<WriteInvoices>,
    id: Id<InvoiceId>,
    _: NoQuery,
    expected: IfMatch,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    transition(&permit, id.0, &expected, Command::MarkEmailed).await
}

/// Mark an invoice as paid
///
/// Records the payment. This is final, and the invoice must have been emailed before. Roles: the provider's admin and
/// billing.
#[utoipa::path(
    tag = "Invoices",
    params(IfMatchHeader),
    extensions(("x-errors" = json!(["invalid_transition"]))),
    responses((status = 200, description = "The updated invoice.", body = Invoice))
)]
#[post("/invoices/{invoice_id}/mark-paid")]
pub async fn mark_invoice_paid(
    permit: Permit<WriteInvoices>,
    id: Id<InvoiceId>,
    _: NoQuery,
    expected: IfMatch,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    transition(&permit, id.0, &expected, Command::MarkPaid).await
}

/// Void an invoice
///
/// Voids the invoice permanently. It keeps its number and lines, and its charges become pending again for the next
/// billing run. A paid invoice cannot be voided. Roles: the provider's admin and billing.
#[utoipa::path(
    tag = "Invoices",
    params(IfMatchHeader),
    request_body = ActionRequest,
    extensions(("x-errors" = json!(["invalid_transition"]))),
    responses((status = 200, description = "The updated invoice.", body = Invoice))
)]
#[post("/invoices/{invoice_id}/void")]
pub async fn void_invoice(
    permit: Permit<WriteInvoices>,
    id: Id<InvoiceId>,
    _: NoQuery,
    expected: IfMatch,
    body: OptionalJson<ActionRequest>,
) -> Result<HttpResponse, Problem> {
    transition(&permit, id.0, &expected, Command::Void { reason: body.0.reason }).await
}

async fn transition(
    permit: &Permit<WriteInvoices>,
    id: InvoiceId,
    expected: &IfMatch,
    command: Command,
) -> Result<HttpResponse, Problem> {
    let invoice = invoices::transition(&permit.cx, id, &expected.0, command).await?;
    Ok(ok(invoice.0.version, Invoice::new(invoice, &permit.cx.actor)))
}
