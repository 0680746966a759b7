//! Billing runs, which issue invoices for due charges: on request, or monthly.

use chrono::{Datelike, NaiveDate};

use super::work::{Saved, Work};
use super::{Context, Error, Result, found, milestones};
use crate::domain::billing::invoice::{Invoice, InvoiceLine};
use crate::domain::billing::invoice_run::{self, Draft, Month, Run};
use crate::domain::billing::order::{Charge, ChargeStatus};
use crate::domain::id::CustomerId;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::domain::subscription::Whose;
use crate::store::{self, Conn, invoices};

/// The maximum number of charges in one transaction of the monthly run. Enough for the longest invoice.
const BATCH: usize = invoice_run::MAX_LINES;

/// The maximum number of charges in a run on request. The caller waits for it.
const RUN: usize = 3 * BATCH;

/// Bills the charges that are due on or before a day, up to the maximum of one transaction. Another run continues. Each
/// charge is billed exactly once, also by concurrent runs, because a run locks its charges.
///
/// # Errors
/// The day is in the future, there are too many due transitions, or the database fails. Nothing is billed then.
pub async fn run(cx: &Context, through: NaiveDate) -> Result<Run> {
    if through > cx.today() {
        let detail = format!("Only charges that are due can be billed. The latest possible day is {}.", cx.today());
        let violation = Violation::new("/through", ViolationCode::OutOfRange, detail);
        return Err(Error::from(Refusal::from(violation)));
    }
    // Due transitions create charges, so they are processed before billing.
    cx.change(Whose::Everyones, async |work| {
        let (run, rest) = bill(work, cx, through, None, Run::default(), RUN).await?;
        Ok(Run { complete: matches!(rest, Rest::Nothing), ..run })
    })
    .await
}

/// Bills all charges that are due on or before a day, or as many as the totals of a run can hold. Uses several short
/// transactions, so that others do not wait long for one.
async fn run_on(cx: &Context, through: NaiveDate) -> Result<Run> {
    milestones::settle_all(cx).await?;
    let mut run = Run::default();
    let mut after = None;
    loop {
        let rest;
        (run, rest) = cx.write(async |work| bill(work, cx, through, after, run, BATCH).await).await?;
        match rest {
            Rest::Nothing => return Ok(Run { complete: true, ..run }),
            Rest::Behind(customer) => after = customer,
            Rest::ForAnotherRun => return Ok(run),
        }
    }
}

/// The charges that remain after a batch.
enum Rest {
    Nothing,
    /// Charges of the customers after this one.
    Behind(Option<CustomerId>),
    /// More charges than the totals of one run can hold.
    ForAnotherRun,
}

/// Bills one batch of at most `limit` charges, and adds it to the totals of the run.
async fn bill(
    work: &mut Work<'_>,
    cx: &Context,
    through: NaiveDate,
    after: Option<CustomerId>,
    mut run: Run,
    limit: usize,
) -> Result<(Run, Rest)> {
    let mut charges =
        store::billing::due_charges(work.conn, through, after, i64::try_from(limit).unwrap_or(i64::MAX)).await?;
    let mut rest = Rest::Nothing;
    if charges.len() == limit {
        rest = Rest::Behind(leave_last_customer(&mut charges).or(after));
    }
    let mut drafts = invoice_run::split(with_products(work.conn, charges).await?);
    let billed = drafts.iter().take_while(|draft| run.count(draft).is_ok()).count();
    if billed < drafts.len() {
        drafts.truncate(billed);
        rest = Rest::ForAnotherRun;
    }
    if !drafts.is_empty() {
        issue(work, cx, through, drafts).await?;
    }
    Ok((run, rest))
}

/// Removes the last customer from a full batch, because that customer may have more charges. The next batch starts with
/// it. Returns the customer before it. If all charges are of one customer, they stay in the batch, and the next batch
/// continues with that customer.
fn leave_last_customer(charges: &mut Vec<Charge>) -> Option<CustomerId> {
    let last = charges.last()?.customer_id;
    let whole = charges.iter().take_while(|charge| charge.customer_id != last).count();
    if whole > 0 {
        charges.truncate(whole);
        return charges.last().map(|charge| charge.customer_id);
    }
    None
}

async fn with_products(tx: &Conn, charges: Vec<Charge>) -> Result<Vec<InvoiceLine>> {
    let ids: Vec<_> = charges.iter().map(|charge| charge.subscription_id).collect();
    let products = store::billing::products_of(tx, &ids).await?;
    charges
        .into_iter()
        .map(|charge| {
            let (product_id, product_name) = found(products.get(&charge.subscription_id).cloned(), "subscription")?;
            Ok(InvoiceLine { charge, product_id, product_name })
        })
        .collect()
}

async fn issue(work: &mut Work<'_>, cx: &Context, through: NaiveDate, drafts: Vec<Draft>) -> Result<()> {
    let ids: Vec<_> = drafts.iter().map(|draft| draft.customer_id).collect();
    let bill_to = store::billing::bill_to(work.conn, &ids).await?;
    let count = i32::try_from(drafts.len()).unwrap_or(i32::MAX);
    // Taken last, because other transactions that issue invoices wait from here on.
    let numbers = store::billing::take_numbers(work.conn, cx.at.year(), count).await?;
    for (draft, number) in drafts.into_iter().zip(numbers) {
        let bill_to = found(bill_to.get(&draft.customer_id).cloned(), "customer")?;
        let invoice = Invoice::issue(cx.new_id_of(draft.customer_id), number, bill_to, &draft, through, cx.at);
        work.write(invoices::insert(&invoice, &draft.lines));
        let charges = draft.lines.iter().map(|line| &line.charge);
        let taken: Vec<_> =
            charges.map(|charge| Saved::charge(cx, charge, ChargeStatus::Invoiced, Some(invoice.id))).collect();
        let issued = (invoice, draft.lines);
        work.record(cx, std::iter::once(Saved::new(cx, None, &issued)).chain(taken));
    }
    Ok(())
}

/// Bills all months whose invoice day has passed since the last billed month; if no month was billed yet, only the
/// current one. It may run at any time and on many instances. The next call continues an interrupted run. Returns what
/// was billed.
///
/// # Errors
/// The database fails. What was billed before stays billed.
pub async fn run_monthly(cx: &Context, invoice_day: u32) -> Result<Vec<(Month, Run)>> {
    let last = cx.db.statement(async |conn| Ok::<_, Error>(store::billing::last_month(conn).await?)).await?;
    let mut runs = Vec::new();
    for month in invoice_run::months_due(last, invoice_day, cx.today()) {
        loop {
            let done = run_on(cx, month.through).await?;
            let is_complete = done.complete;
            runs.push((month, done));
            if is_complete {
                break;
            }
        }
        cx.db.send(vec![store::billing::record_month(month, cx.at)]).await?;
    }
    Ok(runs)
}
