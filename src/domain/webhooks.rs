//! Webhook endpoints: URLs of a tenant that its events are sent to. Each event for an endpoint is a [`delivery`].

pub mod address;
pub mod delivery;
pub mod schedule;
pub mod signature;
mod told;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::authorization::{Right, Scope};
use crate::domain::events::EventType;
use crate::domain::id::{ResellerId, Version, WebhookEndpointId};
use crate::domain::label::label;
use crate::domain::machine::{Outcome, Possibility, Verdict};
use crate::domain::refusal::Refusal;
use crate::domain::text::{Line, Reason, WebhookUrl};
use delivery::Attempt;
use schedule::{LONGEST_GAP, PATIENCE};
use signature::{Secret, Secrets};

label! {
    /// State of a webhook endpoint. `enabled`: receives events; `disabled`: events are queued until it is enabled. More
    /// values may be added.
    WebhookEndpointStatus {
        Enabled = "enabled",
        Disabled = "disabled",
    }
}

label! {
    /// An action on a webhook endpoint.
    Action {
        /// Stop deliveries. Events are queued.
        Disable = "disable",
        /// Resume deliveries, oldest first.
        Enable = "enable",
        RotateSecret = "rotate_secret",
        /// Send a test message.
        Test = "test",
    }
}

/// The maximum number of endpoints of a tenant.
pub const MOST_ENDPOINTS: i64 = 20;

/// The reason if an endpoint is disabled after [`PATIENCE`] without a successful delivery.
const UNREACHABLE: &str = "No successful delivery for three days";

/// The reason if an endpoint is disabled because it responded with 410.
const GONE: &str = "The receiver responded with 410 Gone";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub id: WebhookEndpointId,
    /// `None` for an endpoint of the provider.
    pub partner_id: Option<ResellerId>,
    pub details: Details,
    /// The secrets that sign its messages.
    pub secrets: Secrets,
    pub state: State,
    /// Set while deliveries fail. Deliveries change it without a new version.
    pub failing: Option<Failing>,
    pub version: Version,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The editable part of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    pub url: WebhookUrl,
    pub description: Option<Line>,
    /// An empty list means all event types.
    pub event_types: Vec<EventType>,
}

/// The state of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Enabled,
    /// Events are queued.
    Disabled {
        at: DateTime<Utc>,
        /// Given by a user, or `UNREACHABLE` or `GONE`.
        reason: Option<Reason>,
    },
}

/// A period in which all deliveries failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// The start of the period. It is moved forward by any time without attempts, because the reseller was disabled or
    /// the service was down.
    pub since: DateTime<Utc>,
    /// The last attempt.
    pub last: DateTime<Utc>,
}

impl Failing {
    fn again(self, at: DateTime<Utc>) -> Self {
        let untried = (at - self.last - LONGEST_GAP).max(TimeDelta::zero());
        Self { since: self.since + untried, last: self.last.max(at) }
    }
}

/// A command to an endpoint.
#[derive(Debug, Clone)]
pub enum Command {
    Disable {
        reason: Option<Reason>,
    },
    /// Resumes deliveries, oldest first.
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
    /// Creates an endpoint. It receives the events from now on.
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

    /// The part of the feed that is sent to the endpoint: the events that its tenant can see.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.partner_id.map_or(Scope::Partner, Scope::Reseller)
    }

    #[must_use]
    pub fn status(&self) -> WebhookEndpointStatus {
        match self.state {
            State::Enabled => WebhookEndpointStatus::Enabled,
            State::Disabled { .. } => WebhookEndpointStatus::Disabled,
        }
    }

    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.status() == WebhookEndpointStatus::Enabled
    }

    /// Checks whether an action changes something. All actions are always allowed.
    #[must_use]
    pub fn guard(&self, action: Action) -> Verdict {
        match (action, self.status()) {
            (Action::Disable, WebhookEndpointStatus::Disabled) | (Action::Enable, WebhookEndpointStatus::Enabled) => {
                Verdict::AlreadySo
            }
            (Action::Disable | Action::Enable | Action::RotateSecret | Action::Test, _) => Verdict::Proceed,
        }
    }

    /// Applies a command.
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

    /// Returns the endpoint with other details.
    #[must_use]
    pub fn edit(&self, details: Details, at: DateTime<Utc>) -> Outcome<Self> {
        let details = details.tidy();
        if details == self.details {
            return Outcome::Unchanged;
        }
        // Failures of the old URL say nothing about the new URL.
        let failing = self.failing.filter(|_| details.url == self.details.url);
        Outcome::Changed(Self { details, failing, ..self.changed(at) })
    }

    /// Returns the endpoint with a new secret. The previous secrets stay valid for the overlap. `now` is the real time,
    /// which a sandbox does not change.
    #[must_use]
    pub fn rotate(&self, secret: Secret, overlap: TimeDelta, now: DateTime<Utc>, at: DateTime<Utc>) -> Self {
        Self { secrets: self.secrets.rotate(secret, overlap, now), ..self.changed(at) }
    }

    /// Returns the endpoint after a failed attempt. The endpoint is disabled after a response 410, or after
    /// [`PATIENCE`] without a successful delivery. Time without any attempts does not count.
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

    /// Returns all actions with the right that each requires, and whether the state allows them.
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
    /// Sorts the event types and removes duplicates: they are a set.
    fn tidy(mut self) -> Self {
        self.event_types.sort_unstable();
        self.event_types.dedup();
        self
    }
}

#[derive(Debug, Clone, Default)]
pub struct WebhookEndpointFilter {
    pub partner_id: Option<ResellerId>,
    /// An empty list means all states.
    pub status: Vec<WebhookEndpointStatus>,
}
