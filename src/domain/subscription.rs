//! Subscriptions: one state machine. [`Subscription::guard`] decides whether an action is allowed, and
//! [`Subscription::apply`] applies it. The `actions` of the API come from the same guard.

pub mod allocation;
mod command;
pub mod inventory;
mod milestone;
pub mod renewal_failure;

use chrono::{DateTime, NaiveDate, Utc};

pub use command::{Action, Command, LISTED_ACTIONS};
pub use milestone::{Due, Milestone};

use crate::domain::authorization::Right;
use crate::domain::catalog::product::UnitPrices;
use crate::domain::id::{CustomerId, ProductId, ResellerId, SubscriptionId, Version};
use crate::domain::label::label;
use crate::domain::machine::{Outcome, Possibility, Verdict};
use crate::domain::money::Currency;
use crate::domain::parties::customer::Customer;
use crate::domain::refusal::{Refusal, Violation, ViolationCode, none_of};
use crate::domain::subscription::inventory::Line;
use crate::domain::text::{Code, ExternalId, Reason};
use crate::domain::time::Schedule;

label! {
    /// State of a subscription. `pending`: confirmed, starts in the future; `active`: in its term; `suspended`:
    /// switched off by a user, can be enabled again; `expired`: final, the term ended without renewal; `cancelled`:
    /// final, cancelled before it started. More values may be added.
    SubscriptionStatus {
        Pending = "pending",
        Active = "active",
        Suspended = "suspended",
        Expired = "expired",
        Cancelled = "cancelled",
    }
}

/// A subscription with its inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub customer_id: CustomerId,
    pub product_id: ProductId,
    pub product_code: Code,
    pub external_id: Option<ExternalId>,
    pub currency: Currency,
    pub state: State,
    /// Whether the subscription renews at the end of a term. Always false when cancelled or expired.
    pub auto_renew: bool,
    pub schedule: Schedule,
    /// The current term, or the first term of a pending subscription.
    pub term: Term,
    /// Sorted by certificate type.
    pub lines: Vec<Line>,
    /// Allocations do not change the version.
    pub version: Version,
    /// When the subscription was ordered.
    pub created_at: DateTime<Utc>,
    /// Allocations do not change this instant.
    pub updated_at: DateTime<Utc>,
}

/// The state of a subscription, with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Pending,
    Active,
    Suspended(Suspension),
    Expired,
    Cancelled(Cancellation),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    pub at: DateTime<Utc>,
    /// Why, in the words of the person who cancelled it.
    pub reason: Option<Reason>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    pub at: DateTime<Utc>,
    /// Why, in the words of the person who suspended it.
    pub reason: Option<Reason>,
    /// Whether the term has ended since the suspension.
    pub lapsed: bool,
}

/// One term: `[start_date, end_date)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Starts at 1.
    pub number: i32,
    pub start_date: NaiveDate,
    /// The day after the last day.
    pub end_date: NaiveDate,
    /// The prices at the start of the term. Later price changes do not affect them.
    pub unit_prices: UnitPrices,
}

impl Term {
    /// Creates the term with a number in a schedule.
    #[must_use]
    pub fn of(schedule: &Schedule, number: i32, unit_prices: UnitPrices) -> Self {
        Self { number, start_date: schedule.start(number), end_date: schedule.end(number), unit_prices }
    }
}

/// The editable part of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    pub auto_renew: bool,
    pub external_id: Option<ExternalId>,
}

/// The data of a new subscription.
#[derive(Debug, Clone)]
pub struct Opening {
    pub product_id: ProductId,
    pub product_code: Code,
    pub external_id: Option<ExternalId>,
    pub auto_renew: bool,
    /// The length of a term, in months.
    pub term_months: i32,
    pub start_date: NaiveDate,
    /// The initial inventory, sorted by certificate type.
    pub lines: Vec<Line>,
    /// The prices of the first term.
    pub unit_prices: UnitPrices,
}

impl Subscription {
    /// Creates a subscription. It is active, or pending if it starts in the future.
    #[must_use]
    pub fn open(id: SubscriptionId, customer: &Customer, opening: Opening, at: DateTime<Utc>) -> Self {
        let schedule = Schedule { anchor: opening.start_date, first: 1, months: opening.term_months };
        Self {
            id,
            customer_id: customer.id,
            product_id: opening.product_id,
            product_code: opening.product_code,
            external_id: opening.external_id,
            currency: customer.currency,
            state: if opening.start_date > at.date_naive() { State::Pending } else { State::Active },
            auto_renew: opening.auto_renew,
            schedule,
            term: Term::of(&schedule, 1, opening.unit_prices),
            lines: opening.lines,
            version: Version::FIRST,
            created_at: at,
            updated_at: at,
        }
    }

    #[must_use]
    pub fn status(&self) -> SubscriptionStatus {
        match self.state {
            State::Pending => SubscriptionStatus::Pending,
            State::Active => SubscriptionStatus::Active,
            State::Suspended(_) => SubscriptionStatus::Suspended,
            State::Expired => SubscriptionStatus::Expired,
            State::Cancelled(_) => SubscriptionStatus::Cancelled,
        }
    }

    #[must_use]
    pub fn suspension(&self) -> Option<&Suspension> {
        match &self.state {
            State::Suspended(suspension) => Some(suspension),
            _ => None,
        }
    }

    /// Whether the subscription is suspended and its term has ended as of a day.
    #[must_use]
    pub fn is_lapsed(&self, today: NaiveDate) -> bool {
        self.suspension().is_some_and(|suspension| suspension.lapsed || today >= self.term.end_date)
    }

    #[must_use]
    pub fn cancellation(&self) -> Option<&Cancellation> {
        match &self.state {
            State::Cancelled(cancellation) => Some(cancellation),
            _ => None,
        }
    }

    /// Whether the subscription is cancelled or expired. Both are final: it never renews.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Expired | State::Cancelled(_))
    }

    /// Checks whether an action is allowed on a day.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn guard(&self, action: Action, today: NaiveDate) -> Result<Verdict, Refusal> {
        self.rule(action, today).unwrap_or_else(|| Err(self.invalid(action, today)))
    }

    /// The specification of the state machine. `None` for an action that the state never allows.
    fn rule(&self, action: Action, today: NaiveDate) -> Option<Result<Verdict, Refusal>> {
        use Action as A;
        use State as S;
        use Verdict::{AlreadySo, Proceed};

        let started = today >= self.term.start_date;
        let term_over = today >= self.term.end_date;
        let lapse_over = today >= self.lapse_end();
        let lapsing = term_over && !lapse_over;
        let ended = || Refusal::TermEnded(self.term.end_date);

        Some(match (action, &self.state) {
            (A::Suspend, S::Active) => Ok(Proceed),
            (A::Suspend, S::Suspended(_)) => Ok(AlreadySo),

            (A::Enable, S::Suspended(_)) if term_over => Err(ended()),
            (A::Enable, S::Suspended(_)) => Ok(Proceed),
            (A::Enable, S::Active) => Ok(AlreadySo),

            (A::Cancel, S::Pending) if !started => Ok(Proceed),
            (A::Cancel, S::Cancelled(_)) => Ok(AlreadySo),

            (A::Renew, S::Suspended(_)) if lapsing && self.renews_nothing() => Err(Refusal::NothingToRenew),
            (A::Renew, S::Suspended(_)) if lapsing => Ok(Proceed),

            (A::SetAutoRenew | A::SetRenewalInventory | A::SetThresholds, S::Pending | S::Active | S::Suspended(_)) => {
                Ok(Proceed)
            }

            (A::AddCurrentInventory | A::Allocate, S::Active) if term_over => Err(ended()),
            (A::AddCurrentInventory | A::Allocate, S::Active) => Ok(Proceed),
            (A::AddCurrentInventory | A::Allocate, S::Suspended(_)) => Err(Refusal::SubscriptionSuspended),

            (A::Release, _) => Ok(Proceed),

            (A::Activate, S::Pending) if started => Ok(Proceed),
            (A::Activate, S::Active) => Ok(AlreadySo),

            (A::EndTerm, S::Active) if term_over => Ok(Proceed),
            (A::EndTerm, S::Suspended(Suspension { lapsed: true, .. })) => Ok(AlreadySo),
            (A::EndTerm, S::Suspended(_)) if term_over => Ok(Proceed),

            (A::Expire, S::Suspended(Suspension { lapsed: true, .. })) if lapse_over => Ok(Proceed),
            (A::Expire, S::Expired) => Ok(AlreadySo),

            _ => return None,
        })
    }

    /// Applies a command at an instant.
    ///
    /// # Errors
    /// The errors of [`Self::guard`], and [`Refusal::InventoryExhausted`] if an allocation exceeds the available
    /// quantity.
    pub fn apply(&self, command: Command, at: DateTime<Utc>) -> Result<Outcome<Self>, Refusal> {
        let today = at.date_naive();
        if self.guard(command.action(), today)? == Verdict::AlreadySo {
            return Ok(Outcome::Unchanged);
        }
        let mut next = self.clone();
        match command {
            Command::Suspend { reason } => next.state = State::Suspended(Suspension { at, reason, lapsed: false }),
            Command::Enable | Command::Activate => next.state = State::Active,
            Command::Cancel { reason } => {
                next.state = State::Cancelled(Cancellation { at, reason });
                next.lines.iter_mut().for_each(|line| line.current = 0);
            }
            Command::Renew(unit_prices) => {
                next.schedule = Schedule { anchor: today, first: self.term.number + 1, ..self.schedule };
                next.start_next_term(unit_prices);
            }
            Command::AddCurrentInventory(additions) => {
                for (certificate_type, add) in additions {
                    next.lines = inventory::with(next.lines, &certificate_type, |line| {
                        line.current = line.current.saturating_add(add);
                    });
                }
            }
            Command::SetRenewalInventory(quantities) => {
                for (certificate_type, quantity) in quantities {
                    if quantity.is_none() && inventory::find(&next.lines, &certificate_type).is_none() {
                        continue; // There is no line yet, and `None` needs none.
                    }
                    next.lines = inventory::with(next.lines, &certificate_type, |line| line.renewal = quantity);
                }
            }
            Command::SetThresholds(thresholds) => next.lines = self.with_thresholds(&thresholds)?,
            Command::Allocate(certificate_type, quantity) => {
                let available = inventory::find(&self.lines, &certificate_type).map_or(0, Line::available);
                if quantity > available {
                    return Err(Refusal::InventoryExhausted { certificate_type, requested: quantity, available });
                }
                next.lines = inventory::with(next.lines, &certificate_type, |line| line.used += quantity);
                return Ok(Outcome::Changed(next));
            }
            Command::Release(certificate_type, quantity) => {
                next.lines = inventory::with(next.lines, &certificate_type, |line| line.used -= quantity);
                return Ok(Outcome::Changed(next));
            }
            Command::EndTerm(unit_prices) => match &mut next.state {
                State::Suspended(suspension) => suspension.lapsed = true,
                _ if self.auto_renew && !self.renews_nothing() => next.start_next_term(unit_prices),
                state => *state = State::Expired,
            },
            Command::Expire => next.state = State::Expired,
        }
        if next.has_ended() {
            next.auto_renew = false;
        }
        if next == *self {
            return Ok(Outcome::Unchanged);
        }
        next.version = self.version.next();
        next.updated_at = at;
        Ok(Outcome::Changed(next))
    }

    #[must_use]
    pub fn details(&self) -> Details {
        Details { auto_renew: self.auto_renew, external_id: self.external_id.clone() }
    }

    /// Returns the subscription with other details. The external id can change in every state.
    ///
    /// # Errors
    /// The errors of [`Self::guard`] for a change of automatic renewal.
    pub fn edit(&self, details: Details, at: DateTime<Utc>) -> Result<Outcome<Self>, Refusal> {
        if details == self.details() {
            return Ok(Outcome::Unchanged);
        }
        if details.auto_renew != self.auto_renew {
            self.guard(Action::SetAutoRenew, at.date_naive())?;
        }
        let Details { auto_renew, external_id } = details;
        Ok(Outcome::Changed(Self {
            auto_renew,
            external_id,
            version: self.version.next(),
            updated_at: at,
            ..self.clone()
        }))
    }

    /// Returns the listed actions with the right that each requires, and whether the state allows them.
    #[must_use]
    pub fn possibilities(&self, today: NaiveDate) -> Vec<(Right, Possibility)> {
        LISTED_ACTIONS
            .iter()
            .map(|&action| {
                let already_so = || self.invalid(action, today);
                (action.right(), Possibility::of(action.as_str(), self.guard(action, today), already_so))
            })
            .collect()
    }

    fn start_next_term(&mut self, unit_prices: UnitPrices) {
        self.state = State::Active;
        self.term = Term::of(&self.schedule, self.term.number + 1, unit_prices);
        self.lines = self.lines.iter().map(Line::renewed).collect();
    }

    fn with_thresholds(&self, thresholds: &[(Code, Option<i32>)]) -> Result<Vec<Line>, Refusal> {
        let mut lines = self.lines.clone();
        let mut violations = Vec::new();
        for (index, (certificate_type, threshold)) in thresholds.iter().enumerate() {
            let mut wrong = |code, detail| {
                violations.push(Violation::new(format!("/lines/{index}/certificate_type"), code, detail));
            };
            if thresholds[..index].iter().any(|(earlier, _)| earlier == certificate_type) {
                wrong(
                    ViolationCode::Duplicate,
                    "This certificate type is listed twice. Combine the two lines into one.",
                );
            }
            match lines.iter_mut().find(|line| line.certificate_type == *certificate_type) {
                Some(line) => line.low_threshold = *threshold,
                None => wrong(
                    ViolationCode::UnknownReference,
                    "The subscription has no certificates of this type. Add some first.",
                ),
            }
        }
        none_of(violations).map(|()| lines)
    }

    fn renews_nothing(&self) -> bool {
        self.lines.iter().all(|line| line.effective_renewal() == 0)
    }

    fn invalid(&self, action: Action, today: NaiveDate) -> Refusal {
        let proceeds = |action: &&Action| self.rule(**action, today) == Some(Ok(Verdict::Proceed));
        Refusal::InvalidTransition {
            resource: "subscription",
            state: self.status().as_str(),
            action: action.as_str(),
            allowed: LISTED_ACTIONS.iter().filter(proceeds).map(|action| action.as_str()).collect(),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriptionFilter {
    pub customer_id: Option<CustomerId>,
    /// The reseller that manages the customers.
    pub partner_id: Option<ResellerId>,
    pub product_id: Option<ProductId>,
    /// An empty list means all states.
    pub status: Vec<SubscriptionStatus>,
    pub auto_renew: Option<bool>,
    /// Inclusive end of the term.
    pub ends_after: Option<NaiveDate>,
    /// Exclusive end of the term.
    pub ends_before: Option<NaiveDate>,
}

label! {
    /// Sort order of subscriptions: by the end of the term or by creation, descending with `-`. Rows with the same
    /// value are sorted by id.
    SubscriptionSort {
        EndAscending = "end_date",
        EndDescending = "-end_date",
        CreatedAscending = "created_at",
        CreatedDescending = "-created_at",
    }
}

/// Which subscriptions to include.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// One subscription.
    Its(SubscriptionId),
    /// The subscriptions of a customer.
    OfCustomer(CustomerId),
    /// All visible subscriptions.
    Everyones,
}

impl From<Option<CustomerId>> for Whose {
    fn from(customer_id: Option<CustomerId>) -> Self {
        customer_id.map_or(Self::Everyones, Self::OfCustomer)
    }
}
