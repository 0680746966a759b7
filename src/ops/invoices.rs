//! Invoices, and what becomes of them.

use tokio::try_join;

use super::record::Saved;
use super::{Context, Error, Named, Precondition, Result, found};
use crate::domain::id::InvoiceId;
use crate::domain::invoice::{Command, Invoice, InvoiceLine};
use crate::domain::listing::{InvoiceFilter, Page, Window};
use crate::domain::machine::Outcome;
use crate::domain::order::ChargeStatus;
use crate::store::invoices;

/// Invoices in the tenant, newest first.
///
/// # Errors
/// The filter names what is not there.
pub async fn list(cx: &Context, filter: &InvoiceFilter, window: &Window) -> Result<Page<Invoice>> {
    cx.db
        .statement(async |conn| {
            cx.check_filter(conn, &[("customer_id", Named::Customer(filter.customer_id))]).await?;
            Ok(invoices::list(conn, cx.actor.scope, filter, window).await?)
        })
        .await
}

/// An invoice with its lines.
///
/// # Errors
/// Not found.
pub async fn get(cx: &Context, id: InvoiceId) -> Result<(Invoice, Vec<InvoiceLine>)> {
    cx.db
        .read(async |tx| {
            let find = invoices::find(tx, cx.actor.scope, id);
            let (invoice, lines) = try_join!(biased; find, invoices::lines(tx, id))?;
            Ok((found(invoice, "invoice")?, lines))
        })
        .await
}

/// Marks an invoice as emailed or paid, or voids it; the charges of a void one are pending again.
///
/// # Errors
/// Not found, another version, or what the domain refuses.
pub async fn transition(
    cx: &Context,
    id: InvoiceId,
    precondition: &Precondition,
    command: Command,
) -> Result<(Invoice, Vec<InvoiceLine>)> {
    cx.write(async |tx| {
        let before = found(invoices::lock(tx, cx.actor.scope, id).await?, "invoice")?;
        precondition.check(before.version)?;
        let refused = |refusal| Error::Refused { refusal, offers: cx.actor.offers(before.possibilities()) };
        let Outcome::Changed(after) = before.apply(command, cx.at).map_err(refused)? else {
            let lines = invoices::lines(tx, id).await?;
            return Ok((before, lines));
        };
        let reopened = invoices::save(tx, &after).await?;
        let lines = invoices::lines(tx, id).await?;
        let (before, after) = ((before, lines.clone()), (after, lines));
        let mut saved = vec![Saved::new(cx, Some(&before), &after)];
        saved.extend(reopened.iter().map(|charge| Saved::charge(cx, ChargeStatus::Invoiced, Some(id), charge)));
        cx.record(tx, saved).await?;
        Ok(after)
    })
    .await
}
