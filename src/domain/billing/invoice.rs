//! Invoices. The content of an issued invoice never changes; only its state does.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::authorization::Right;
use crate::domain::billing::invoice_run::Draft;
use crate::domain::billing::order::Charge;
use crate::domain::id::{CustomerId, InvoiceId, InvoiceNumber, ProductId, Version};
use crate::domain::label::label;
use crate::domain::machine::{Outcome, Possibility, Verdict};
use crate::domain::money::Money;
use crate::domain::parties::company::{Address, Contact};
use crate::domain::refusal::Refusal;
use crate::domain::text::{CompanyName, Line, Reason, stored};

label! {
    /// State of an invoice. `created`: issued, with a number; `emailed`: sent to the customer; `paid`: final; `void`:
    /// final, will not be paid, and its charges are pending again. More values may be added.
    InvoiceStatus {
        Created = "created",
        Emailed = "emailed",
        Paid = "paid",
        Void = "void",
    }
}

label! {
    /// An action on an invoice.
    Action {
        MarkEmailed = "mark_emailed",
        MarkPaid = "mark_paid",
        /// Void the invoice; its charges become pending again.
        Void = "void",
    }
}

/// An invoice, without its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    pub id: InvoiceId,
    pub number: InvoiceNumber,
    pub customer_id: CustomerId,
    /// The customer's data when the invoice was issued.
    pub bill_to: BillTo,
    pub total: Money,
    pub line_count: i32,
    /// The invoice contains charges that were due on this day or before.
    pub through: NaiveDate,
    pub state: State,
    pub version: Version,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The recipient of an invoice: the customer's data when the invoice was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillTo {
    #[serde(deserialize_with = "stored")]
    pub company_name: CompanyName,
    pub address: Address,
    pub contact: Option<Contact>,
}

/// A charge on an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceLine {
    pub charge: Charge,
    pub product_id: ProductId,
    /// The name of the product when the invoice was issued.
    pub product_name: Line,
}

/// The state of an invoice, with its instants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Created,
    Emailed {
        at: DateTime<Utc>,
    },
    Paid {
        emailed_at: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    Void {
        /// `None` if the invoice was voided before it was emailed.
        emailed_at: Option<DateTime<Utc>>,
        at: DateTime<Utc>,
        /// Why, in the words of the person who voided it.
        reason: Option<Reason>,
    },
}

/// A command to an invoice.
#[derive(Debug, Clone)]
pub enum Command {
    MarkEmailed,
    MarkPaid,
    Void { reason: Option<Reason> },
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
    /// Issues an invoice.
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

    #[must_use]
    pub fn status(&self) -> InvoiceStatus {
        match self.state {
            State::Created => InvoiceStatus::Created,
            State::Emailed { .. } => InvoiceStatus::Emailed,
            State::Paid { .. } => InvoiceStatus::Paid,
            State::Void { .. } => InvoiceStatus::Void,
        }
    }

    /// When the invoice was emailed.
    #[must_use]
    pub fn emailed_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Created => None,
            State::Emailed { at } => Some(at),
            State::Paid { emailed_at, .. } => Some(emailed_at),
            State::Void { emailed_at, .. } => emailed_at,
        }
    }

    /// When the invoice was paid.
    #[must_use]
    pub fn paid_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Paid { at, .. } => Some(at),
            State::Created | State::Emailed { .. } | State::Void { .. } => None,
        }
    }

    /// When and why the invoice was voided.
    #[must_use]
    pub fn voided(&self) -> Option<(DateTime<Utc>, Option<&Reason>)> {
        match &self.state {
            State::Void { at, reason, .. } => Some((*at, reason.as_ref())),
            State::Created | State::Emailed { .. } | State::Paid { .. } => None,
        }
    }

    /// Checks whether an action is allowed.
    ///
    /// # Errors
    /// [`Refusal::InvalidTransition`].
    pub fn guard(&self, action: Action) -> Result<Verdict, Refusal> {
        self.verdict(action).ok_or_else(|| self.invalid(action))
    }

    /// Applies a command.
    ///
    /// # Errors
    /// [`Refusal::InvalidTransition`].
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

    /// Returns all actions with the right that each requires, and whether the state allows them.
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

    /// The result of an action; `None` if the state does not allow it.
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

#[derive(Debug, Clone, Default)]
pub struct InvoiceFilter {
    pub customer_id: Option<CustomerId>,
    /// An empty list means all states.
    pub status: Vec<InvoiceStatus>,
    pub number: Option<InvoiceNumber>,
    /// Inclusive.
    pub created_after: Option<DateTime<Utc>>,
    /// Exclusive.
    pub created_before: Option<DateTime<Utc>>,
}
