//! Billing: which invoices are issued for the due charges, and when monthly billing runs.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};

use crate::domain::billing::invoice::InvoiceLine;
use crate::domain::id::CustomerId;
use crate::domain::money::{self, AmountOutOfRange, Currency, Money};
use crate::domain::time::add_months;

/// The maximum number of lines of an invoice.
pub const MAX_LINES: usize = 1000;

/// An invoice before it is issued: charges of one customer in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub customer_id: CustomerId,
    /// At least one.
    pub lines: Vec<InvoiceLine>,
    pub total: Money,
}

/// Splits charges into invoices: by customer and currency, oldest first, with at most [`MAX_LINES`] lines and a total
/// that can be billed. The remaining charges go on the next invoice.
#[must_use]
pub fn split(mut lines: Vec<InvoiceLine>) -> Vec<Draft> {
    lines.sort_by_key(|InvoiceLine { charge, .. }| {
        (charge.customer_id, charge.amount.currency, charge.due_date, charge.id)
    });
    let mut drafts: Vec<Draft> = Vec::new();
    for line in lines {
        let with_line = drafts.last().and_then(|draft| draft.total_with(&line));
        match (drafts.last_mut(), with_line) {
            (Some(draft), Some(amount)) => {
                draft.total.amount = amount;
                draft.lines.push(line);
            }
            _ => drafts.push(Draft {
                customer_id: line.charge.customer_id,
                total: line.charge.amount,
                lines: vec![line],
            }),
        }
    }
    drafts
}

impl Draft {
    /// The total with one more line; `None` if the line does not fit.
    fn total_with(&self, line: &InvoiceLine) -> Option<i64> {
        let charge = &line.charge;
        let fits = charge.customer_id == self.customer_id
            && charge.amount.currency == self.total.currency
            && self.lines.len() < MAX_LINES;
        money::total([self.total.amount, charge.amount.amount]).ok().filter(|_| fits)
    }
}

/// The result of a billing run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    pub invoices: i64,
    /// The number of charges on these invoices.
    pub charges: i64,
    /// The totals by currency, in minor units.
    pub totals: BTreeMap<Currency, i64>,
    /// Whether all due charges are billed. If not, another run is needed.
    pub complete: bool,
}

impl Run {
    /// Adds an invoice to the totals.
    ///
    /// # Errors
    /// The total of the run would be out of range. The invoice is left for another run.
    pub fn count(&mut self, draft: &Draft) -> Result<(), AmountOutOfRange> {
        let total = self.totals.entry(draft.total.currency).or_default();
        *total = money::total([*total, draft.total.amount])?;
        self.invoices += 1;
        self.charges += i64::try_from(draft.lines.len()).unwrap_or(i64::MAX);
        Ok(())
    }
}

/// A month to bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    /// The first day of the month.
    pub first: NaiveDate,
    /// The invoice day. Charges that are due on or before this day are billed.
    pub through: NaiveDate,
}

/// Returns the months to bill as of a day, oldest first: the months after the last billed month whose invoice day has
/// come. If no month was billed before, only the current month counts. If a month is shorter than the invoice day, its
/// last day is the invoice day.
#[must_use]
pub fn months_due(last: Option<NaiveDate>, invoice_day: u32, today: NaiveDate) -> Vec<Month> {
    let first = last.map_or_else(|| first_of_month(today), |last| add_months(last, 1));
    (0..)
        .map(|months| add_months(first, months))
        .map(|first| Month { first, through: day_of_month(first, invoice_day) })
        .take_while(|month| month.through <= today)
        .collect()
}

/// Returns the first invoice day after a day.
#[must_use]
pub fn next_invoice_day(invoice_day: u32, today: NaiveDate) -> Option<NaiveDate> {
    let first = first_of_month(today);
    (0..2).map(|months| day_of_month(add_months(first, months), invoice_day)).find(|day| *day > today)
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

/// The given day of the month, or the last day if the month is shorter.
fn day_of_month(first: NaiveDate, day: u32) -> NaiveDate {
    (1..=day.min(31)).rev().find_map(|day| first.with_day(day)).unwrap_or(first)
}
