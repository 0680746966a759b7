//! Runs, which bill what is due.

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

/// The most charges that one transaction of the monthly run takes: enough for the longest invoice.
const BATCH: usize = invoice_run::MAX_LINES;

/// The most charges that a run takes which somebody asks for, and waits for.
const RUN: usize = 3 * BATCH;

/// Bills customers what is due on a day or before, as much as fits in one transaction; another run goes on.
/// However often and wherever it runs, each charge is billed once: it locks the charges that it takes.
///
/// # Errors
/// The day is still to come, there is too much to do first, or the database fails: then nothing is billed.
pub async fn run(cx: &Context, through: NaiveDate) -> Result<Run> {
    if through > cx.today() {
        let detail = format!("Only charges that are due can be billed. The latest possible day is {}.", cx.today());
        let violation = Violation::new("/through", ViolationCode::OutOfRange, detail);
        return Err(Error::from(Refusal::from(violation)));
    }
    // What fell due is charged before it is billed.
    cx.change(Whose::Everyones, async |work| {
        let (run, rest) = bill(work, cx, through, None, Run::default(), RUN).await?;
        Ok(Run { complete: matches!(rest, Rest::Nothing), ..run })
    })
    .await
}

/// Bills everything that is due on a day or before, in transactions short enough that nobody waits long for one,
/// or as much as the totals of a run can hold.
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

/// What a batch leaves.
enum Rest {
    Nothing,
    /// Charges of the customers behind this one.
    Behind(Option<CustomerId>),
    /// More than the totals of one run can hold.
    ForAnotherRun,
}

/// Bills one batch of at most so many charges, and counts it in.
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

/// Leaves the last customer of a full batch to the next one, as it may have more charges, and answers the
/// customer before. A customer that fills the batch by itself stays, and is gone on with.
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
    // Last, as whoever else issues invoices waits from here on.
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

/// Bills the months whose invoice day has come: all since the last one that was billed, or the current one
/// when none was. It can be called at any time and by many instances; a run that was cut short is gone on
/// with. Answers what it billed.
///
/// # Errors
/// The database fails: what was billed by then stands.
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
