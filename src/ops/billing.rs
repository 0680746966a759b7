//! Runs, which bill what is due.

use std::time::{Duration, Instant};

use chrono::{Datelike, NaiveDate};

use super::record::Saved;
use super::{Context, Error, Result, found, milestones};
use crate::domain::billing::{self, Draft, Month, Run};
use crate::domain::id::CustomerId;
use crate::domain::invoice::{Invoice, InvoiceLine};
use crate::domain::listing::Whose;
use crate::domain::order::Charge;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::store::{self, Conn, invoices};

/// The most charges that one transaction of a run takes: enough for the longest invoice.
const BATCH: usize = billing::MAX_LINES;

/// Bills every customer what is due on a day or before. However often and wherever it runs, each charge is
/// billed once: a batch is one transaction, which locks the charges that it takes. With a budget it stops
/// after the batch in which that is used up; another run goes on.
///
/// # Errors
/// The day is still to come, or the database fails: what was billed by then stands.
pub async fn run(cx: &Context, through: NaiveDate, budget: Option<Duration>) -> Result<Run> {
    if through > cx.today() {
        let detail = format!("Only what is due can be billed; the latest possible is {}.", cx.today());
        let violation = Violation::new("/through", ViolationCode::OutOfRange, detail);
        return Err(Error::from(Refusal::from(violation)));
    }
    let started = Instant::now();
    // What fell due is charged before it is billed.
    match budget {
        Some(_) => milestones::settle(cx, Whose::Everyones).await?,
        None => milestones::settle_all(cx).await?,
    }
    let mut run = Run::default();
    let mut after = None;
    loop {
        let rest;
        (run, rest) = cx.db.transaction(async |tx| bill(tx, cx, through, after, run).await).await?;
        match rest {
            Rest::Nothing => return Ok(Run { complete: true, ..run }),
            Rest::Behind(customer) => after = customer,
            Rest::ForAnotherRun => return Ok(run),
        }
        if budget.is_some_and(|budget| started.elapsed() >= budget) {
            return Ok(run);
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

/// Bills one batch, and counts it in.
async fn bill(
    tx: &mut Conn,
    cx: &Context,
    through: NaiveDate,
    after: Option<CustomerId>,
    mut run: Run,
) -> Result<(Run, Rest)> {
    let mut charges = store::billing::due_charges(tx, through, after, i64::try_from(BATCH).unwrap_or(i64::MAX)).await?;
    let mut rest = Rest::Nothing;
    if charges.len() == BATCH {
        rest = Rest::Behind(leave_last_customer(&mut charges).or(after));
    }
    let mut drafts = billing::split(with_products(tx, charges).await?);
    let billed = drafts.iter().take_while(|draft| run.count(draft).is_ok()).count();
    if billed < drafts.len() {
        drafts.truncate(billed);
        rest = Rest::ForAnotherRun;
    }
    if !drafts.is_empty() {
        issue(tx, cx, through, drafts).await?;
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

async fn with_products(tx: &mut Conn, charges: Vec<Charge>) -> Result<Vec<InvoiceLine>> {
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

async fn issue(tx: &mut Conn, cx: &Context, through: NaiveDate, drafts: Vec<Draft>) -> Result<()> {
    let ids: Vec<_> = drafts.iter().map(|draft| draft.customer_id).collect();
    let bill_to = store::billing::bill_to(tx, &ids).await?;
    let count = i32::try_from(drafts.len()).unwrap_or(i32::MAX);
    // Last, as whoever else issues invoices waits from here on.
    let numbers = store::billing::take_numbers(tx, cx.at.year(), count).await?;
    let mut issued = Vec::new();
    for (draft, number) in drafts.into_iter().zip(numbers) {
        let bill_to = found(bill_to.get(&draft.customer_id).cloned(), "customer")?;
        let invoice = Invoice::issue(cx.new_id(), number, bill_to, &draft, through, cx.at);
        issued.push((invoice, draft.lines));
    }
    let taken = invoices::insert(tx, &issued).await?;
    let mut saved: Vec<_> = issued.iter().map(|invoice| Saved::new(cx, None, invoice)).collect();
    saved.extend(taken.iter().map(|charge| Saved::new(cx, Some(charge), charge)));
    cx.record(tx, saved).await
}

/// Bills the months whose invoice day has come: all since the last one that was billed, or the current one
/// when none was. It can be called at any time and by many instances; a run that was cut short is gone on
/// with. Answers what it billed.
///
/// # Errors
/// The database fails: what was billed by then stands.
pub async fn run_monthly(cx: &Context, invoice_day: u32) -> Result<Vec<(Month, Run)>> {
    let last = cx.db.read(async |tx| Ok::<_, Error>(store::billing::last_month(tx).await?)).await?;
    let mut runs = Vec::new();
    for month in billing::months_due(last, invoice_day, cx.today()) {
        loop {
            let done = run(cx, month.through, None).await?;
            let is_complete = done.complete;
            runs.push((month, done));
            if is_complete {
                break;
            }
        }
        cx.db.transaction(async |tx| Ok::<_, Error>(store::billing::record_month(tx, month, cx.at).await?)).await?;
    }
    Ok(runs)
}
