//! Lists invoices, and marks them as emailed, paid or void.

use tokio::try_join;

use super::work::{Entity, Saved, refused};
use super::{Context, Named, Precondition, Result, found};
use crate::domain::authorization::{Right, Scope};
use crate::domain::billing::invoice::{Command, Invoice, InvoiceFilter, InvoiceLine, InvoiceStatus};
use crate::domain::billing::order::{Charge, ChargeStatus};
use crate::domain::id::{InvoiceId, Version};
use crate::domain::listing::{Page, Window};
use crate::domain::machine::{Outcome, Possibility};
use crate::store::{self, Conn, Write, invoices};

/// An invoice with its lines.
pub type Invoiced = (Invoice, Vec<InvoiceLine>);

/// Lists the invoices in the tenant, newest first.
///
/// # Errors
/// The filter names a resource that does not exist.
pub async fn list(cx: &Context, filter: &InvoiceFilter, window: &Window) -> Result<Page<Invoice>> {
    let named = [("customer_id", Named::Customer(filter.customer_id))];
    cx.db
        .statement(async |conn| cx.checked(conn, &named, invoices::list(conn, cx.actor.scope, filter, window)).await)
        .await
}

/// Returns the invoice with its lines.
///
/// # Errors
/// The invoice does not exist.
pub async fn get(cx: &Context, id: InvoiceId) -> Result<Invoiced> {
    cx.db.statement(async |conn| found(invoices::find_with_lines(conn, cx.actor.scope, id).await?, "invoice")).await
}

/// Marks an invoice as emailed or paid, or voids it. The charges of a void invoice become pending again.
///
/// # Errors
/// The invoice does not exist, has another version, or a rule denies the change.
pub async fn transition(
    cx: &Context,
    id: InvoiceId,
    precondition: &Precondition,
    command: Command,
) -> Result<Invoiced> {
    cx.write(async |work| {
        let before: Invoiced = work.lock(cx, id, precondition).await?;
        let outcome = before.0.apply(command, cx.at).map_err(|refusal| refused(cx, &before, refusal))?;
        let Outcome::Changed(invoice) = outcome else { return Ok(before) };
        let lines = if invoice.status() == InvoiceStatus::Void { reopened(&before) } else { before.1.clone() };
        Ok(work.save(cx, before, Outcome::Changed((invoice, lines))))
    })
    .await
}

/// The lines of a voided invoice. Their charges become pending again, except those that are already on another invoice.
fn reopened((invoice, lines): &Invoiced) -> Vec<InvoiceLine> {
    let mut lines = lines.clone();
    for InvoiceLine { charge, .. } in &mut lines {
        if charge.invoice_id == Some(invoice.id) {
            (charge.status, charge.invoice_id) = (ChargeStatus::Pending, None);
        }
    }
    lines
}

/// The charges of an invoice that have changed, before and after.
fn changed<'a>(before: &'a Invoiced, after: &'a Invoiced) -> impl Iterator<Item = (&'a Charge, &'a Charge)> {
    let charges = before.1.iter().zip(&after.1).map(|(before, after)| (&before.charge, &after.charge));
    charges.filter(|(before, after)| before != after)
}

impl Entity for Invoiced {
    type Id = InvoiceId;

    const NAME: &'static str = "invoice";

    async fn lock(conn: &Conn, scope: Scope, id: InvoiceId) -> store::Result<Option<Self>> {
        let (invoice, lines) = try_join!(biased; invoices::lock(conn, scope, id), invoices::lines(conn, id))?;
        Ok(invoice.map(|invoice| (invoice, lines)))
    }

    fn version(&self) -> Version {
        self.0.version
    }

    fn possibilities(&self, _: &Context) -> Vec<(Right, Possibility)> {
        self.0.possibilities()
    }

    fn rows(&self, _: &Context, before: &Self) -> Vec<Write> {
        invoices::save(&self.0, changed(before, self).map(|(_, charge)| charge))
    }

    fn told(&self, cx: &Context, before: &Self) -> Vec<Saved> {
        let charges = changed(before, self).map(|(before, after)| Saved::new(cx, Some(before), after));
        std::iter::once(Saved::new(cx, Some(before), self)).chain(charges).collect()
    }
}
