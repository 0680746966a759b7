//! A second implementation of the rules, as simple as possible: day by day, with integers, without code of the service.

use std::collections::BTreeMap;

use chrono::{Datelike, Days, Months, NaiveDate};

/// Everything that a customer has.
#[derive(Debug, Default, Clone)]
pub struct Customer {
    pub subscriptions: Vec<Subscription>,
    pub charges: Vec<Charge>,
    pub invoices: Vec<Invoice>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub status: &'static str,
    pub lapsed: bool,
    pub auto_renew: bool,
    pub months: u32,
    /// The first day of the terms that are counted from the anchor, and the number of that term.
    pub anchor: NaiveDate,
    pub anchor_term: u32,
    pub number: u32,
    pub start: NaiveDate,
    pub end: NaiveDate,
    pub lines: BTreeMap<&'static str, Line>,
    pub prices: BTreeMap<&'static str, i64>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub current: i64,
    pub renewal: Option<i64>,
    pub used: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub subscription: usize,
    pub kind: &'static str,
    pub amount: i64,
    pub due: NaiveDate,
    pub status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    pub status: &'static str,
    /// The customer's charges, by index.
    pub charges: Vec<usize>,
}

/// The price of one certificate, by type and months.
pub type Prices = BTreeMap<(&'static str, u32), i64>;

/// The error code of a rejected request.
pub type Refused = &'static str;

impl Line {
    pub fn effective(self) -> i64 {
        self.renewal.unwrap_or(self.current)
    }
}

fn amount(price: i64, quantity: i64, from: NaiveDate, start: NaiveDate, end: NaiveDate) -> i64 {
    let (days, remaining) = ((end - start).num_days(), (end - from.max(start)).num_days());
    // Doubled, so that one half is an integer.
    (2 * price * quantity * remaining + days) / (2 * days)
}

impl Subscription {
    pub fn open(
        today: NaiveDate,
        start: NaiveDate,
        months: u32,
        auto_renew: bool,
        lines: BTreeMap<&'static str, Line>,
        prices: &Prices,
    ) -> Self {
        let mut new = Self {
            status: if start > today { "pending" } else { "active" },
            lapsed: false,
            auto_renew,
            months,
            anchor: start,
            anchor_term: 1,
            number: 1,
            start,
            end: start,
            lines,
            prices: of_months(prices, months),
        };
        new.end = new.first_day(2);
        new
    }

    fn first_day(&self, number: u32) -> NaiveDate {
        self.anchor + Months::new((number - self.anchor_term) * self.months)
    }

    fn is_open(&self) -> bool {
        ["pending", "active", "suspended"].contains(&self.status)
    }

    fn renews_nothing(&self) -> bool {
        self.lines.values().all(|line| line.effective() == 0)
    }

    fn start_next(&mut self, prices: &Prices) {
        self.number += 1;
        (self.start, self.end) = (self.first_day(self.number), self.first_day(self.number + 1));
        (self.status, self.lapsed) = ("active", false);
        self.prices.extend(of_months(prices, self.months));
        self.lines.values_mut().for_each(|line| line.current = line.effective());
    }
}

fn of_months(prices: &Prices, months: u32) -> BTreeMap<&'static str, i64> {
    prices.iter().filter(|((_, of), _)| *of == months).map(|((kind, _), price)| (*kind, *price)).collect()
}

impl Customer {
    pub fn add(&mut self, today: NaiveDate, new: Subscription) {
        let quantities: Vec<_> = new.lines.iter().map(|(kind, line)| (*kind, line.current)).collect();
        self.subscriptions.push(new);
        self.charge(self.subscriptions.len() - 1, today, &quantities);
    }

    fn charge(&mut self, index: usize, today: NaiveDate, quantities: &[(&'static str, i64)]) {
        let of = &self.subscriptions[index];
        for (kind, quantity) in quantities {
            let amount = amount(of.prices[kind], *quantity, today, of.start, of.end);
            if amount != 0 {
                let due = today.max(of.start);
                self.charges.push(Charge { subscription: index, kind, amount, due, status: "pending" });
            }
        }
    }

    fn charge_term(&mut self, index: usize, today: NaiveDate) {
        let lines: Vec<_> = self.subscriptions[index].lines.iter().map(|(kind, line)| (*kind, line.current)).collect();
        self.charge(index, today, &lines);
    }

    /// Applies the transitions at the start of a day.
    pub fn dawn(&mut self, today: NaiveDate, prices: &Prices) {
        for index in 0..self.subscriptions.len() {
            let it = &mut self.subscriptions[index];
            match it.status {
                "pending" if today == it.start => it.status = "active",
                "active" if today == it.end && it.auto_renew && !it.renews_nothing() => {
                    it.start_next(prices);
                    self.charge_term(index, today);
                }
                "active" if today == it.end => (it.status, it.auto_renew) = ("expired", false),
                "suspended" if !it.lapsed && today == it.end => it.lapsed = true,
                "suspended" if it.lapsed && today == it.end + Days::new(90) => {
                    (it.status, it.lapsed, it.auto_renew) = ("expired", false, false);
                }
                _ => {}
            }
        }
        if today.day() == 1 {
            self.bill(today);
        }
    }

    pub fn bill(&mut self, through: NaiveDate) {
        let is_due = |charge: &Charge| charge.status == "pending" && charge.due <= through;
        let due: Vec<_> = (0..self.charges.len()).filter(|index| is_due(&self.charges[*index])).collect();
        due.iter().for_each(|index| self.charges[*index].status = "invoiced");
        if !due.is_empty() {
            self.invoices.push(Invoice { status: "created", charges: due });
        }
    }

    pub fn add_current(
        &mut self,
        index: usize,
        today: NaiveDate,
        kind: &'static str,
        more: i64,
    ) -> Result<(), Refused> {
        let it = &mut self.subscriptions[index];
        in_use(it)?;
        it.lines.entry(kind).or_default().current += more;
        self.charge(index, today, &[(kind, more)]);
        Ok(())
    }

    pub fn set_renewal(&mut self, index: usize, kind: &'static str, quantity: Option<i64>) -> Result<(), Refused> {
        let it = &mut self.subscriptions[index];
        if !it.is_open() {
            return Err("invalid_transition");
        }
        if quantity.is_some() || it.lines.contains_key(kind) {
            it.lines.entry(kind).or_default().renewal = quantity;
        }
        Ok(())
    }

    pub fn allocate(&mut self, index: usize, kind: &'static str, quantity: i64) -> Result<(), Refused> {
        let it = &mut self.subscriptions[index];
        in_use(it)?;
        match it.lines.get_mut(kind) {
            Some(line) if line.used + quantity <= line.current => line.used += quantity,
            _ => return Err("inventory_exhausted"),
        }
        Ok(())
    }

    pub fn release(&mut self, index: usize, kind: &'static str, quantity: i64) {
        self.subscriptions[index].lines.get_mut(kind).unwrap().used -= quantity;
    }

    pub fn suspend(&mut self, index: usize) -> Result<(), Refused> {
        let it = &mut self.subscriptions[index];
        match it.status {
            "active" | "suspended" => it.status = "suspended",
            _ => return Err("invalid_transition"),
        }
        Ok(())
    }

    pub fn enable(&mut self, index: usize) -> Result<(), Refused> {
        let it = &mut self.subscriptions[index];
        match it.status {
            "suspended" if it.lapsed => return Err("term_ended"),
            "active" | "suspended" => it.status = "active",
            _ => return Err("invalid_transition"),
        }
        Ok(())
    }

    pub fn cancel(&mut self, index: usize) -> Result<(), Refused> {
        let it = &mut self.subscriptions[index];
        match it.status {
            "pending" => (it.status, it.auto_renew) = ("cancelled", false),
            "cancelled" => {}
            _ => return Err("invalid_transition"),
        }
        it.lines.values_mut().for_each(|line| line.current = 0);
        self.charges.iter_mut().filter(|charge| charge.subscription == index).for_each(|it| it.status = "voided");
        Ok(())
    }

    pub fn set_auto_renew(&mut self, index: usize, auto_renew: bool) -> Result<(), Refused> {
        let it = &mut self.subscriptions[index];
        if it.auto_renew != auto_renew && !it.is_open() {
            return Err("invalid_transition");
        }
        it.auto_renew = auto_renew;
        Ok(())
    }

    pub fn renew(&mut self, index: usize, today: NaiveDate, prices: &Prices) -> Result<(), Refused> {
        let it = &mut self.subscriptions[index];
        if it.status != "suspended" || !it.lapsed {
            return Err("invalid_transition");
        }
        if it.renews_nothing() {
            return Err("nothing_to_renew");
        }
        (it.anchor, it.anchor_term) = (today, it.number + 1);
        it.start_next(prices);
        self.charge_term(index, today);
        Ok(())
    }

    pub fn move_invoice(&mut self, index: usize, action: &str) -> Result<(), Refused> {
        let it = &mut self.invoices[index];
        let status = match (it.status, action) {
            ("created" | "emailed", "mark-emailed") => "emailed",
            ("emailed" | "paid", "mark-paid") => "paid",
            ("created" | "emailed" | "void", "void") => "void",
            _ => return Err("invalid_transition"),
        };
        if status == "void" && it.status != "void" {
            it.charges.iter().for_each(|charge| self.charges[*charge].status = "pending");
        }
        it.status = status;
        Ok(())
    }
}

fn in_use(it: &Subscription) -> Result<(), Refused> {
    match it.status {
        "active" => Ok(()),
        "suspended" => Err("subscription_suspended"),
        _ => Err("invalid_transition"),
    }
}
