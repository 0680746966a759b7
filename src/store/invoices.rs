//! Invoices with their lines.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::columns::Json;
use super::customers::{ids_in_scope, visible};
use super::filters::{between, made_between, one_of};
use super::orders::{self, ChargeRow};
use super::rows::{self, record};
use super::run::Write;
use super::schema::{charges, invoice_lines, invoices, subscriptions};
use super::{Conn, Error, Result};
use crate::domain::authorization::Scope;
use crate::domain::billing::invoice::{BillTo, Invoice, InvoiceFilter, InvoiceLine, InvoiceStatus, State};
use crate::domain::billing::order::{Charge, ChargeStatus};
use crate::domain::id::{ChargeId, CustomerId, InvoiceId, InvoiceNumber, ProductId, Version};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::money::{Currency, Money};
use crate::domain::text::{Line, Reason};

#[derive(Queryable, Selectable)]
#[diesel(table_name = invoices, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: InvoiceId,
    number_year: i32,
    number_sequence: i32,
    customer_id: CustomerId,
    bill_to: Json<BillTo>,
    currency: Currency,
    total: i64,
    line_count: i32,
    through: NaiveDate,
    status: InvoiceStatus,
    emailed_at: Option<DateTime<Utc>>,
    paid_at: Option<DateTime<Utc>>,
    voided_at: Option<DateTime<Utc>>,
    voided_reason: Option<Reason>,
    version: Version,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

record!(Row in invoices: key(id) fixed(customer_id, number_year, number_sequence, created_at)
    rest(bill_to, currency, total, line_count, through, status, emailed_at, paid_at, voided_at, voided_reason, version,
        updated_at));

struct LineRow {
    customer_id: CustomerId,
    invoice_id: InvoiceId,
    position: i32,
    charge_id: ChargeId,
    product_name: Line,
}

record!(LineRow in invoice_lines: key(invoice_id, position) fixed(customer_id) rest(charge_id, product_name));

#[derive(Queryable, Selectable)]
#[diesel(table_name = invoice_lines, check_for_backend(diesel::pg::Pg))]
struct LineColumns {
    #[diesel(embed)]
    charge: ChargeRow,
    #[diesel(select_expression = subscriptions::product_id)]
    product_id: ProductId,
    product_name: Line,
}

impl From<LineColumns> for InvoiceLine {
    fn from(line: LineColumns) -> Self {
        Self { charge: line.charge.into(), product_id: line.product_id, product_name: line.product_name }
    }
}

impl From<&Invoice> for Row {
    fn from(invoice: &Invoice) -> Self {
        let voided = invoice.voided();
        Self {
            id: invoice.id,
            number_year: invoice.number.year,
            number_sequence: invoice.number.sequence,
            customer_id: invoice.customer_id,
            bill_to: Json(invoice.bill_to.clone()),
            currency: invoice.total.currency,
            total: invoice.total.amount,
            line_count: invoice.line_count,
            through: invoice.through,
            status: invoice.status(),
            emailed_at: invoice.emailed_at(),
            paid_at: invoice.paid_at(),
            voided_at: voided.map(|(at, _)| at),
            voided_reason: voided.and_then(|(_, reason)| reason.cloned()),
            version: invoice.version,
            created_at: invoice.created_at,
            updated_at: invoice.updated_at,
        }
    }
}

impl TryFrom<Row> for Invoice {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let state = match (row.status, row.emailed_at, row.paid_at, row.voided_at) {
            (InvoiceStatus::Created, None, None, None) => State::Created,
            (InvoiceStatus::Emailed, Some(at), None, None) => State::Emailed { at },
            (InvoiceStatus::Paid, Some(emailed_at), Some(at), None) => State::Paid { emailed_at, at },
            (InvoiceStatus::Void, emailed_at, None, Some(at)) => {
                State::Void { emailed_at, at, reason: row.voided_reason }
            }
            _ => return Err(Error::Corrupt { table: "invoices", reason: "the columns do not match the status" }),
        };
        Ok(Self {
            id: row.id,
            number: InvoiceNumber { year: row.number_year, sequence: row.number_sequence },
            customer_id: row.customer_id,
            bill_to: row.bill_to.0,
            total: Money { amount: row.total, currency: row.currency },
            line_count: row.line_count,
            through: row.through,
            state,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Returns an invoice in scope with its lines. Every invoice has at least one.
pub async fn find_with_lines(
    mut conn: &Conn,
    scope: Scope,
    id: InvoiceId,
) -> Result<Option<(Invoice, Vec<InvoiceLine>)>> {
    let lines = invoice_lines::table.inner_join(charges::table.inner_join(subscriptions::table));
    let query = lines
        .inner_join(invoices::table)
        .filter(invoice_lines::invoice_id.eq(id))
        .filter(invoices::id.eq(id))
        .order(invoice_lines::position)
        .select((Row::as_select(), LineColumns::as_select()))
        .into_boxed();
    let rows: Vec<(Row, LineColumns)> = visible!(query, invoices::customer_id, scope).load(&mut conn).await?;
    let (mut invoices, lines): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let lines = lines.into_iter().map(InvoiceLine::from).collect();
    invoices.pop().map(|row| Ok((row.try_into()?, lines))).transpose()
}

/// Returns an invoice in scope, and locks it for update until the transaction ends.
pub async fn lock(mut conn: &Conn, scope: Scope, id: InvoiceId) -> Result<Option<Invoice>> {
    // The filter stands next to the lock, so that an invoice out of scope is not waited for.
    let query = invoices::table.find(id).select(Row::as_select());
    let row: Option<Row> = match scope.reseller() {
        None => query.for_update().first(&mut conn).await.optional()?,
        Some(_) => {
            let visible = query.filter(invoices::customer_id.eq_any(ids_in_scope(scope)));
            visible.for_update().first(&mut conn).await.optional()?
        }
    };
    row.map(Invoice::try_from).transpose()
}

/// Lists invoices in scope, newest first.
pub async fn list(mut conn: &Conn, scope: Scope, filter: &InvoiceFilter, window: &Window) -> Result<Page<Invoice>> {
    let mut query =
        invoices::table.order(invoices::id.desc()).limit(window.limit + 1).select(Row::as_select()).into_boxed();
    query = visible!(query, invoices::customer_id, scope);
    if let Some(customer_id) = filter.customer_id {
        query = query.filter(invoices::customer_id.eq(customer_id));
    }
    query = one_of!(query, invoices::status, filter.status);
    if let Some(InvoiceNumber { year, sequence }) = filter.number {
        query = query.filter(invoices::number_year.eq(year)).filter(invoices::number_sequence.eq(sequence));
    }
    query = made_between!(query, invoices::id, invoices::created_at, filter.created_after, filter.created_before);
    if let Some(after) = &window.after {
        query = query.filter(invoices::id.lt(after.id));
    }
    let rows: Vec<Row> = query.load(&mut conn).await?;
    let page = Page::cut(rows, window.limit, |row| Position { value: SortValue::Id, id: row.id.0 });
    page.try_map(Invoice::try_from)
}

/// Lists the lines of an invoice, in order. Get the invoice first: this function takes no scope.
pub async fn lines(mut conn: &Conn, id: InvoiceId) -> Result<Vec<InvoiceLine>> {
    let rows: Vec<LineColumns> = invoice_lines::table
        .inner_join(charges::table.inner_join(subscriptions::table))
        .filter(invoice_lines::invoice_id.eq(id))
        .order(invoice_lines::position)
        .select(LineColumns::as_select())
        .load(&mut conn)
        .await?;
    Ok(rows.into_iter().map(InvoiceLine::from).collect())
}

/// Inserts an invoice with its lines, and assigns their charges to it. The charges must be locked and pending.
#[must_use]
pub fn insert(invoice: &Invoice, lines: &[InvoiceLine]) -> [Write; 3] {
    let rows = (0..).zip(lines).map(|(position, line)| LineRow {
        customer_id: invoice.customer_id,
        invoice_id: invoice.id,
        position,
        charge_id: line.charge.id,
        product_name: line.product_name.clone(),
    });
    let charges = lines.iter().map(|line| &line.charge);
    [
        rows::insert([Row::from(invoice)]),
        rows::insert(rows),
        orders::save_charges(charges, ChargeStatus::Invoiced, Some(invoice.id)),
    ]
}

/// Updates an invoice that was locked, and releases the charges that are pending again.
#[must_use]
pub fn save<'a>(invoice: &Invoice, reopened: impl IntoIterator<Item = &'a Charge>) -> Vec<Write> {
    vec![rows::update([Row::from(invoice)]), orders::save_charges(reopened, ChargeStatus::Pending, None)]
}
