//! An invoice as an HTML page, to print, to save as PDF, or to send. It is self-contained: no scripts and no external
//! files.

use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use chrono::{DateTime, NaiveDate, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use utoipa::ToSchema;

use crate::api::contract::path::Id;
use crate::api::contract::problem::Problem;
use crate::api::contract::query::NoQuery;
use crate::api::middleware::authenticate::{Permit, Read};
use crate::api::state::AppState;
use crate::domain::billing::invoice::{BillTo, Invoice, InvoiceLine, State};
use crate::domain::billing::proration::Calculation;
use crate::domain::id::InvoiceId;
use crate::domain::money::{Currency, Money};
use crate::ops::invoices;

/// The page runs and loads nothing, whatever text a customer's name contains.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const STYLE: &str = include_str!("invoice_document.css");

/// An HTML page.
#[derive(ToSchema)]
#[schema(max_length = 10_000_000, example = "<!DOCTYPE html><html lang=\"en\">…</html>")]
#[allow(dead_code, reason = "this is documentation")]
pub struct InvoiceDocument(String);

/// Get an invoice as a page
///
/// Returns a complete HTML page with a print style. The customer and the products appear as they were when the invoice
/// was issued. A paid or void invoice is marked as such.
#[utoipa::path(tag = "Invoices", responses(
    (status = 200, description = "The page.", body = InvoiceDocument, content_type = "text/html")
))]
#[get("/invoices/{invoice_id}/document")]
pub async fn get_invoice_document(
    permit: Permit<Read>,
    state: web::Data<AppState>,
    id: Id<InvoiceId>,
    _: NoQuery,
) -> Result<HttpResponse, Problem> {
    let (invoice, lines) = invoices::get(&permit.cx, id.0).await?;
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(page(&state.issuer, &invoice, &lines).into_string()))
}

fn page(issuer: &str, invoice: &Invoice, lines: &[InvoiceLine]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Invoice " (invoice.number) " – " (issuer) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (mark(&invoice.state))
                header {
                    p.issuer { (issuer) }
                    h1 { "Invoice " (invoice.number) }
                }
                div.about {
                    (recipient(&invoice.bill_to))
                    (dates(invoice))
                }
                (table(invoice, lines))
                footer {
                    p {
                        "Each line is rounded separately to the smallest unit of the currency, halves away from zero. "
                        "Days are counted in UTC."
                    }
                }
            }
        }
    }
}

fn mark(state: &State) -> Markup {
    match state {
        State::Created | State::Emailed { .. } => html! {},
        State::Paid { at, .. } => html! { p.mark.paid { "PAID" span { (moment(*at)) } } },
        State::Void { at, .. } => html! { p.mark.void { "VOID" span { (moment(*at)) } } },
    }
}

fn recipient(bill_to: &BillTo) -> Markup {
    let address = &bill_to.address;
    let streets = [Some(&address.line1), address.line2.as_ref(), address.line3.as_ref()];
    let contact = bill_to.contact.as_ref();
    let attention = contact.and_then(|contact| contact.name.as_ref());
    html! {
        section {
            h2 { "Bill to" }
            address {
                strong { (bill_to.company_name) } br;
                @if let Some(name) = attention { (name) br; }
                @for street in streets.into_iter().flatten() { (street) br; }
                @if let Some(code) = &address.postal_code { (code) " " }
                (address.city) br;
                @if let Some(state) = &address.state { (state) br; }
                (address.country.as_str())
                @if let Some(email) = contact.and_then(|contact| contact.email.as_ref()) { br; (email) }
            }
        }
    }
}

fn dates(invoice: &Invoice) -> Markup {
    html! {
        dl {
            dt { "Number" } dd { (invoice.number) }
            dt { "Date" } dd { (moment(invoice.created_at)) }
            dt { "Charges through" } dd { (day(invoice.through)) }
            dt { "Customer" } dd.id { (invoice.customer_id) }
            dt { "Currency" } dd { (invoice.total.currency) }
        }
    }
}

fn table(invoice: &Invoice, lines: &[InvoiceLine]) -> Markup {
    html! {
        table {
            thead { tr { th { "Due" } th { "For" } th { "How it is computed" } th.amount { "Amount" } } }
            tbody {
                @for InvoiceLine { charge, product_name, .. } in lines {
                    tr {
                        td.day { (day(charge.due_date)) }
                        td { (product_name) br; span.code { (charge.certificate_type) } }
                        td { (arithmetic(&charge.calculation, charge.amount.currency)) }
                        td.amount { (charge.amount) }
                    }
                }
            }
            tfoot { tr { th colspan="3" { "Total" } td.amount { (invoice.total) } } }
        }
    }
}

/// `10 certificates at USD 99.00 each, for 275 of 365 days`.
fn arithmetic(calculation: &Calculation, currency: Currency) -> String {
    let Calculation { unit_price, quantity, remaining_days, term_days } = *calculation;
    let price = Money { amount: unit_price, currency };
    let certificates = if quantity == 1 { "certificate" } else { "certificates" };
    let share = if remaining_days == term_days {
        format!("the whole term of {term_days} days")
    } else {
        format!("{remaining_days} of {term_days} days")
    };
    format!("{quantity} {certificates} at {price} each, for {share}")
}

fn moment(at: DateTime<Utc>) -> String {
    day(at.date_naive())
}

fn day(date: NaiveDate) -> String {
    date.format("%-d %B %Y").to_string()
}
