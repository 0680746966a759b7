//! Invoices: what a customer is billed. An invoice is written once; from then on only its state changes.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::access::Right;
use super::billing::Draft;
use super::company::{Address, Contact};
use super::id::{CustomerId, InvoiceId, InvoiceNumber, ProductId, Version};
use super::label::label;
use super::machine::{Outcome, Possibility, Verdict};
use super::money::Money;
use super::order::Charge;
use super::refusal::Refusal;
use super::text::{CompanyName, Line, Reason, stored};

label! {
    /// State of an invoice. `created`: has its number; `emailed`: is with the customer; `paid`: settled,
    /// final; `void`: never to be paid, final, and its charges are pending again. Expect more values.
    InvoiceStatus {
        /// Has its number.
        Created = "created",
        /// Is with the customer.
        Emailed = "emailed",
        /// Settled.
        Paid = "paid",
        /// Never to be paid.
        Void = "void",
    }
}

label! {
    /// What can be done with an invoice.
    Action {
        /// Say that the customer has it.
        MarkEmailed = "mark_emailed",
        /// Say that it is settled.
        MarkPaid = "mark_paid",
        /// Take it back; its charges become pending again.
        Void = "void",
    }
}

/// An invoice, without its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Its number.
    pub number: InvoiceNumber,
    /// Who pays.
    pub customer_id: CustomerId,
    /// Who pays, as it was when the invoice was issued.
    pub bill_to: BillTo,
    /// The sum of the lines.
    pub total: Money,
    /// How many lines it has.
    pub line_count: i32,
    /// It took what was due on this day or before.
    pub through: NaiveDate,
    /// How far it has come.
    pub state: State,
    /// How often it has changed.
    pub version: Version,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Whom an invoice is for: the customer as it was when the invoice was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillTo {
    /// Name of the company.
    #[serde(deserialize_with = "stored")]
    pub company_name: CompanyName,
    /// Where it resides.
    pub address: Address,
    /// Whom to talk to.
    pub contact: Option<Contact>,
}

/// A charge on an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceLine {
    /// The charge.
    pub charge: Charge,
    /// The product of its subscription.
    pub product_id: ProductId,
    /// What the product was called when the invoice was issued.
    pub product_name: Line,
}

/// How far an invoice has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It has its number.
    Created,
    /// It is with the customer.
    Emailed {
        /// Since when.
        at: DateTime<Utc>,
    },
    /// It is settled.
    Paid {
        /// Since when it was with the customer.
        emailed_at: DateTime<Utc>,
        /// Since when it is settled.
        at: DateTime<Utc>,
    },
    /// It was taken back.
    Void {
        /// Since when it was with the customer, if it was.
        emailed_at: Option<DateTime<Utc>>,
        /// When it was taken back.
        at: DateTime<Utc>,
        /// Why, in the words of who did it.
        reason: Option<Reason>,
    },
}

/// What is to be done with an invoice.
#[derive(Debug, Clone)]
pub enum Command {
    /// Say that the customer has it.
    MarkEmailed,
    /// Say that it is settled.
    MarkPaid,
    /// Take it back.
    Void {
        /// Why.
        reason: Option<Reason>,
    },
}

impl Command {
    fn action(&self) -> Action {
        match self {
            Self::MarkEmailed => Action::MarkEmailed,
            Self::MarkPaid => Action::MarkPaid,
            Self::Void { .. } => Action::Void,
        }
    }
}

impl Invoice {
    /// A new invoice.
    #[must_use]
    pub fn issue(
        id: InvoiceId,
        number: InvoiceNumber,
        bill_to: BillTo,
        draft: &Draft,
        through: NaiveDate,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            number,
            customer_id: draft.customer_id,
            bill_to,
            total: draft.total,
            line_count: i32::try_from(draft.lines.len()).unwrap_or(i32::MAX),
            through,
            state: State::Created,
            version: Version::FIRST,
            created_at: at,
            updated_at: at,
        }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> InvoiceStatus {
        match self.state {
            State::Created => InvoiceStatus::Created,
            State::Emailed { .. } => InvoiceStatus::Emailed,
            State::Paid { .. } => InvoiceStatus::Paid,
            State::Void { .. } => InvoiceStatus::Void,
        }
    }

    /// Since when it was with the customer.
    #[must_use]
    pub fn emailed_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Created => None,
            State::Emailed { at } => Some(at),
            State::Paid { emailed_at, .. } => Some(emailed_at),
            State::Void { emailed_at, .. } => emailed_at,
        }
    }

    /// Since when it is settled.
    #[must_use]
    pub fn paid_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Paid { at, .. } => Some(at),
            State::Created | State::Emailed { .. } | State::Void { .. } => None,
        }
    }

    /// When and why it was taken back.
    #[must_use]
    pub fn voided(&self) -> Option<(DateTime<Utc>, Option<&Reason>)> {
        match &self.state {
            State::Void { at, reason, .. } => Some((*at, reason.as_ref())),
            State::Created | State::Emailed { .. } | State::Paid { .. } => None,
        }
    }

    /// Whether an action is possible.
    ///
    /// # Errors
    /// The state does not allow it.
    pub fn guard(&self, action: Action) -> Result<Verdict, Refusal> {
        self.verdict(action).ok_or_else(|| self.invalid(action))
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// The state does not allow it.
    pub fn apply(&self, command: Command, at: DateTime<Utc>) -> Result<Outcome<Self>, Refusal> {
        if self.guard(command.action())? == Verdict::AlreadySo {
            return Ok(Outcome::Unchanged);
        }
        let emailed_at = self.emailed_at();
        let state = match command {
            Command::MarkEmailed => State::Emailed { at },
            Command::MarkPaid => State::Paid { emailed_at: emailed_at.unwrap_or(at), at },
            Command::Void { reason } => State::Void { emailed_at, at, reason },
        };
        Ok(Outcome::Changed(Self { state, version: self.version.next(), updated_at: at, ..self.clone() }))
    }

    /// What may be done next, with the right that it needs.
    #[must_use]
    pub fn possibilities(&self) -> Vec<(Right, Possibility)> {
        Action::ALL
            .iter()
            .map(|&action| {
                let already_so = || self.invalid(action);
                (Right::WriteInvoices, Possibility::of(action.as_str(), self.guard(action), already_so))
            })
            .collect()
    }

    /// What becomes of an action; `None` where it is refused.
    fn verdict(&self, action: Action) -> Option<Verdict> {
        use InvoiceStatus::{Created, Emailed, Paid, Void};
        match (action, self.status()) {
            (Action::MarkEmailed, Created) | (Action::MarkPaid, Emailed) | (Action::Void, Created | Emailed) => {
                Some(Verdict::Proceed)
            }
            (Action::MarkEmailed, Emailed) | (Action::MarkPaid, Paid) | (Action::Void, Void) => {
                Some(Verdict::AlreadySo)
            }
            (Action::MarkEmailed, Paid | Void) | (Action::MarkPaid, Created | Void) | (Action::Void, Paid) => None,
        }
    }

    fn invalid(&self, action: Action) -> Refusal {
        let proceeds = |action: &&Action| self.verdict(**action) == Some(Verdict::Proceed);
        Refusal::InvalidTransition {
            resource: "invoice",
            state: self.status().as_str(),
            action: action.as_str(),
            allowed: Action::ALL.iter().filter(proceeds).map(|action| action.as_str()).collect(),
        }
    }
}
