//! Billing: charges that are due, invoice numbers, and the months that were billed.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::dsl::max;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::columns::Json;
use super::filters::Is;
use super::orders::ChargeRow;
use super::run::{Prepared, Statement, Write};
use super::schema::{charges, customers, invoice_numbers, invoice_runs, products, subscriptions};
use super::{Conn, Result};
use crate::domain::billing::invoice::BillTo;
use crate::domain::billing::invoice_run::Month;
use crate::domain::billing::order::{Charge, ChargeStatus};
use crate::domain::id::{CustomerId, InvoiceNumber, ProductId, SubscriptionId};
use crate::domain::parties::company::{Address, Contact};
use crate::domain::text::{CompanyName, Line};

/// The details of a customer that are on an invoice.
#[derive(Queryable, Selectable)]
#[diesel(table_name = customers, check_for_backend(diesel::pg::Pg))]
struct CustomerRow {
    id: CustomerId,
    company_name: CompanyName,
    address: Json<Address>,
    contact: Option<Json<Contact>>,
}

/// Returns the next pending charges that are due on or before a day, ordered by customer, after the given one, and
/// locks them. Charges that another run has invoiced meanwhile are left out. This function takes no scope: a run bills
/// all customers, and only the provider can start one.
pub async fn due_charges(
    mut conn: &Conn,
    through: NaiveDate,
    after: Option<CustomerId>,
    limit: i64,
) -> Result<Vec<Charge>> {
    // All transactions lock charges in this order, so that there is no deadlock.
    let query = charges::table
        .filter(Is { column: charges::status, label: ChargeStatus::Pending.as_str() })
        .filter(charges::due_date.le(through))
        .filter(charges::customer_id.gt(after.unwrap_or(CustomerId(uuid::Uuid::nil()))))
        .order((charges::customer_id, charges::id))
        .limit(limit)
        .select(ChargeRow::as_select())
        .for_update();
    let rows: Vec<ChargeRow> = query.load(&mut conn).await?;
    Ok(rows.into_iter().map(Charge::from).collect())
}

/// Returns the products of subscriptions with their current names.
pub async fn products_of(
    mut conn: &Conn,
    ids: &[SubscriptionId],
) -> Result<HashMap<SubscriptionId, (ProductId, Line)>> {
    let rows: Vec<(SubscriptionId, ProductId, Line)> = subscriptions::table
        .inner_join(products::table)
        .filter(subscriptions::id.eq_any(ids))
        .select((subscriptions::id, products::id, products::name))
        .load(&mut conn)
        .await?;
    Ok(rows.into_iter().map(|(id, product_id, name)| (id, (product_id, name))).collect())
}

/// Returns the billing details of customers.
pub async fn bill_to(mut conn: &Conn, ids: &[CustomerId]) -> Result<HashMap<CustomerId, BillTo>> {
    let query = customers::table.filter(customers::id.eq_any(ids)).select(CustomerRow::as_select());
    let rows: Vec<CustomerRow> = query.load(&mut conn).await?;
    let bill_to = |row: CustomerRow| BillTo {
        company_name: row.company_name,
        address: row.address.0,
        contact: row.contact.map(|Json(contact)| contact),
    };
    Ok(rows.into_iter().map(|row| (row.id, bill_to(row))).collect())
}

/// Takes the next invoice numbers of a year. Concurrent callers wait until the transaction ends; after a rollback, they
/// get these numbers.
pub async fn take_numbers(mut conn: &Conn, year: i32, count: i32) -> Result<impl Iterator<Item = InvoiceNumber>> {
    let take = diesel::insert_into(invoice_numbers::table)
        .values((invoice_numbers::year.eq(year), invoice_numbers::last.eq(count)))
        .on_conflict(invoice_numbers::year)
        .do_update()
        .set(invoice_numbers::last.eq(invoice_numbers::last + count))
        .returning(invoice_numbers::last);
    let last: i32 = Prepared(take).get_result(&mut conn).await?;
    Ok((last - count + 1..=last).map(move |sequence| InvoiceNumber { year, sequence }))
}

/// The first day of the last month that was billed completely.
pub async fn last_month(mut conn: &Conn) -> Result<Option<NaiveDate>> {
    Ok(invoice_runs::table.select(max(invoice_runs::month)).first(&mut conn).await?)
}

/// Records that a month was billed completely, unless another instance has recorded it.
#[must_use]
pub fn record_month(month: Month, completed_at: DateTime<Utc>) -> Write {
    diesel::insert_into(invoice_runs::table)
        .values((
            invoice_runs::month.eq(month.first),
            invoice_runs::through.eq(month.through),
            invoice_runs::completed_at.eq(completed_at),
        ))
        .on_conflict_do_nothing()
        .later()
}
