//! Billing: which invoices are made of the charges that are due, and when the monthly ones are.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};

use super::id::CustomerId;
use super::invoice::InvoiceLine;
use super::money::{self, AmountOutOfRange, Currency, Money};
use super::time::add_months;

/// The most lines of an invoice.
pub const MAX_LINES: usize = 1000;

/// An invoice to be: charges of one customer in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Who pays.
    pub customer_id: CustomerId,
    /// What for, at least one.
    pub lines: Vec<InvoiceLine>,
    /// The sum of the lines.
    pub total: Money,
}

/// Puts each charge on an invoice: by customer and currency, oldest first, up to [`MAX_LINES`] and to
/// what can be billed at once; the rest goes on the next.
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
    /// The total with one more line; `None` when it does not fit.
    fn total_with(&self, line: &InvoiceLine) -> Option<i64> {
        let charge = &line.charge;
        let fits = charge.customer_id == self.customer_id
            && charge.amount.currency == self.total.currency
            && self.lines.len() < MAX_LINES;
        money::total([self.total.amount, charge.amount.amount]).ok().filter(|_| fits)
    }
}

/// What a run has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// How many invoices it issued.
    pub invoices: i64,
    /// How many charges they took.
    pub charges: i64,
    /// What they come to, by currency, in minor units.
    pub totals: BTreeMap<Currency, i64>,
    /// Whether everything that was due is billed; otherwise another run goes on.
    pub complete: bool,
}

impl Run {
    /// Counts an invoice in.
    ///
    /// # Errors
    /// The run's total would be out of range; the invoice is left for another run.
    pub fn count(&mut self, draft: &Draft) -> Result<(), AmountOutOfRange> {
        let total = self.totals.entry(draft.total.currency).or_default();
        *total = money::total([*total, draft.total.amount])?;
        self.invoices += 1;
        self.charges += i64::try_from(draft.lines.len()).unwrap_or(i64::MAX);
        Ok(())
    }
}

/// A month that is to be billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    /// Its first day.
    pub first: NaiveDate,
    /// Its invoice day: what is due by then is billed.
    pub through: NaiveDate,
}

/// The months to be billed as of a day, oldest first: those after the last that was, or this one when none
/// was, whose invoice day has come. In a month that is too short for the invoice day, it is the last day.
#[must_use]
pub fn months_due(last: Option<NaiveDate>, invoice_day: u32, today: NaiveDate) -> Vec<Month> {
    let first = last.map_or_else(|| first_of_month(today), |last| add_months(last, 1));
    (0..)
        .map(|months| add_months(first, months))
        .map(|first| Month { first, through: day_of_month(first, invoice_day) })
        .take_while(|month| month.through <= today)
        .collect()
}

/// The first invoice day after a day.
#[must_use]
pub fn next_invoice_day(invoice_day: u32, today: NaiveDate) -> Option<NaiveDate> {
    let first = first_of_month(today);
    (0..2).map(|months| day_of_month(add_months(first, months), invoice_day)).find(|day| *day > today)
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

/// A day of the month, or its last where it has no such day.
fn day_of_month(first: NaiveDate, day: u32) -> NaiveDate {
    (1..=day.min(31)).rev().find_map(|day| first.with_day(day)).unwrap_or(first)
}
