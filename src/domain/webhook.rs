//! Webhooks: endpoints of a tenant that are sent its events. A resource like any other, with a state; what is on its
//! way to it are [`delivery`]s.

pub mod address;
pub mod delivery;
pub mod schedule;
pub mod signature;
mod told;

use chrono::{DateTime, TimeDelta, Utc};

use super::access::{Right, Scope};
use super::event::EventType;
use super::id::{ResellerId, Version, WebhookEndpointId};
use super::label::label;
use super::machine::{Outcome, Possibility, Verdict};
use super::refusal::Refusal;
use super::text::{Line, Reason, WebhookUrl};
use delivery::Attempt;
use schedule::{LONGEST_GAP, PATIENCE};
use signature::{Secret, Secrets};

label! {
    /// State of a webhook endpoint. `enabled`: it is sent events; `disabled`: they wait for it. Expect more values.
    WebhookEndpointStatus {
        /// It is sent events.
        Enabled = "enabled",
        /// Events wait for it.
        Disabled = "disabled",
    }
}

label! {
    /// What can be done with a webhook endpoint.
    Action {
        /// Let events wait.
        Disable = "disable",
        /// Send it events.
        Enable = "enable",
        /// Give it another secret.
        RotateSecret = "rotate_secret",
        /// Try whether it is there.
        Test = "test",
    }
}

/// The most endpoints of a tenant.
pub const MOST_ENDPOINTS: i64 = 20;

/// Why an endpoint is disabled when nothing got there for as long as it is tried.
const UNREACHABLE: &str = "Nothing could be delivered for three days";

/// Why an endpoint is disabled that says so itself.
const GONE: &str = "The receiver responded with 410 Gone";

/// Where a tenant's events are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// The reseller whose it is; the partner's when there is none.
    pub partner_id: Option<ResellerId>,
    /// What can be edited.
    pub details: Details,
    /// What its messages are signed with.
    pub secrets: Secrets,
    /// Whether it is sent events.
    pub state: State,
    /// That nothing gets there, if so. Deliveries move it and no version.
    pub failing: Option<Failing>,
    /// How often it has changed.
    pub version: Version,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What can be edited of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Where events are sent.
    pub url: WebhookUrl,
    /// What it is for.
    pub description: Option<Line>,
    /// Which events; all when empty.
    pub event_types: Vec<EventType>,
}

/// Whether an endpoint is sent events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is.
    Enabled,
    /// They wait.
    Disabled {
        /// Since when.
        at: DateTime<Utc>,
        /// Why, in the words of who did it.
        reason: Option<Reason>,
    },
}

/// That nothing gets to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// Since when, less the time in which nothing was tried: while its reseller was disabled, or the service away.
    pub since: DateTime<Utc>,
    /// When it was last tried.
    pub last: DateTime<Utc>,
}

impl Failing {
    fn again(self, at: DateTime<Utc>) -> Self {
        let untried = (at - self.last - LONGEST_GAP).max(TimeDelta::zero());
        Self { since: self.since + untried, last: self.last.max(at) }
    }
}

/// What is to be done with an endpoint.
#[derive(Debug, Clone)]
pub enum Command {
    /// Let events wait.
    Disable {
        /// Why.
        reason: Option<Reason>,
    },
    /// Send it events, those that wait first.
    Enable,
}

impl Command {
    fn action(&self) -> Action {
        match self {
            Self::Disable { .. } => Action::Disable,
            Self::Enable => Action::Enable,
        }
    }
}

impl Endpoint {
    /// A new endpoint; it is sent what happens from now on.
    #[must_use]
    pub fn create(
        id: WebhookEndpointId,
        partner_id: Option<ResellerId>,
        details: Details,
        secret: Secret,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            partner_id,
            details: details.tidy(),
            secrets: Secrets { current: secret, previous: Vec::new() },
            state: State::Enabled,
            failing: None,
            version: Version::FIRST,
            created_at: at,
            updated_at: at,
        }
    }

    /// What of the feed it is sent: what its tenant sees.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.partner_id.map_or(Scope::Partner, Scope::Reseller)
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> WebhookEndpointStatus {
        match self.state {
            State::Enabled => WebhookEndpointStatus::Enabled,
            State::Disabled { .. } => WebhookEndpointStatus::Disabled,
        }
    }

    /// Whether it is sent events.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.status() == WebhookEndpointStatus::Enabled
    }

    /// Whether an action is possible.
    #[must_use]
    pub fn guard(&self, action: Action) -> Verdict {
        match (action, self.status()) {
            (Action::Disable, WebhookEndpointStatus::Disabled) | (Action::Enable, WebhookEndpointStatus::Enabled) => {
                Verdict::AlreadySo
            }
            (Action::Disable | Action::Enable | Action::RotateSecret | Action::Test, _) => Verdict::Proceed,
        }
    }

    /// Carries a command out.
    #[must_use]
    pub fn apply(&self, command: Command, at: DateTime<Utc>) -> Outcome<Self> {
        if self.guard(command.action()) == Verdict::AlreadySo {
            return Outcome::Unchanged;
        }
        Outcome::Changed(match command {
            Command::Disable { reason } => Self { state: State::Disabled { at, reason }, ..self.changed(at) },
            Command::Enable => Self { state: State::Enabled, failing: None, ..self.changed(at) },
        })
    }

    /// The endpoint with other details.
    #[must_use]
    pub fn edit(&self, details: Details, at: DateTime<Utc>) -> Outcome<Self> {
        let details = details.tidy();
        if details == self.details {
            return Outcome::Unchanged;
        }
        // What went wrong elsewhere says nothing of the new place.
        let failing = self.failing.filter(|_| details.url == self.details.url);
        Outcome::Changed(Self { details, failing, ..self.changed(at) })
    }

    /// The endpoint with another secret; what it had goes on for a while. `now` is the receivers' time, which a
    /// sandbox does not move.
    #[must_use]
    pub fn rotate(&self, secret: Secret, overlap: TimeDelta, now: DateTime<Utc>, at: DateTime<Utc>) -> Self {
        Self { secrets: self.secrets.rotate(secret, overlap, now), ..self.changed(at) }
    }

    /// The endpoint after an attempt has failed. It is disabled when it is gone, and when nothing has got there for
    /// as long as one tries. Time in which nobody did says nothing of it.
    #[must_use]
    pub fn failed(&self, attempt: &Attempt, at: DateTime<Utc>) -> Self {
        let first = Failing { since: attempt.at, last: attempt.at };
        let Failing { since, last } = self.failing.map_or(first, |failing| failing.again(attempt.at));
        let failing = Self { failing: Some(Failing { since, last }), ..self.clone() };
        let why = if attempt.is_gone() {
            GONE
        } else if attempt.at - since >= PATIENCE {
            UNREACHABLE
        } else {
            return failing;
        };
        match failing.apply(Command::Disable { reason: why.parse().ok() }, at) {
            Outcome::Changed(disabled) => disabled,
            Outcome::Unchanged => failing,
        }
    }

    fn changed(&self, at: DateTime<Utc>) -> Self {
        Self { version: self.version.next(), updated_at: at, ..self.clone() }
    }

    /// What may be done next, with the right that it needs.
    #[must_use]
    pub fn possibilities(&self) -> Vec<(Right, Possibility)> {
        let possibility = |&action: &Action| {
            let already_so = || self.already_so(action);
            (Right::ManageWebhooks, Possibility::of(action.as_str(), Ok(self.guard(action)), already_so))
        };
        Action::ALL.iter().map(possibility).collect()
    }

    fn already_so(&self, action: Action) -> Refusal {
        let proceeds = |action: &&Action| self.guard(**action) == Verdict::Proceed;
        Refusal::InvalidTransition {
            resource: "webhook endpoint",
            state: self.status().as_str(),
            action: action.as_str(),
            allowed: Action::ALL.iter().filter(proceeds).map(|action| action.as_str()).collect(),
        }
    }
}

impl Details {
    /// Each type once, in one order: it is a set.
    fn tidy(mut self) -> Self {
        self.event_types.sort_unstable();
        self.event_types.dedup();
        self
    }
}
