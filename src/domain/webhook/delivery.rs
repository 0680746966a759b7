//! Deliveries: an event on its way to an endpoint, until it has got there or it is given up.

use chrono::{DateTime, TimeDelta, Utc};

use super::schedule::{Pacing, wait};
use crate::domain::event::EventType;
use crate::domain::id::{EventId, WebhookDeliveryId, WebhookEndpointId};
use crate::domain::label::label;
use crate::domain::refusal::Refusal;

label! {
    /// State of a delivery. `pending`: it is tried until it gets there; `succeeded`: it got there; `failed`: it was
    /// given up. Expect more values.
    DeliveryStatus {
        /// It is tried until it gets there.
        Pending = "pending",
        /// It got there.
        Succeeded = "succeeded",
        /// It was given up.
        Failed = "failed",
    }
}

/// What can be done with a delivery.
pub const REDELIVER: &str = "redeliver";

/// How long whoever takes a delivery up has it alone: longer than an attempt takes. Then it is taken for lost, and
/// another goes on.
const LEASE: TimeDelta = TimeDelta::seconds(60);

/// An event for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: WebhookDeliveryId,
    /// To which endpoint.
    pub endpoint_id: WebhookEndpointId,
    /// Of which event.
    pub event_id: EventId,
    /// What that tells.
    pub event_type: EventType,
    /// How far it has come.
    pub state: State,
    /// How often it was tried.
    pub attempts: i32,
    /// How that ended last.
    pub last_attempt: Option<Attempt>,
    /// Since when it is to be delivered.
    pub created_at: DateTime<Utc>,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits to be tried, or is being tried.
    Pending {
        /// How often it has failed since it was put in line.
        failures: i32,
        /// When it is tried next.
        next_attempt_at: DateTime<Utc>,
    },
    /// It got there.
    Succeeded,
    /// It was given up.
    Failed,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub duration_ms: i32,
    /// What the receiver answered, if it did.
    pub http_status: Option<i32>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

impl Attempt {
    /// Whether the receiver took it.
    #[must_use]
    pub fn has_succeeded(&self) -> bool {
        self.error.is_none()
    }

    /// Whether the receiver says that it is no more and never will be again.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.http_status == Some(410)
    }

    fn ended_at(&self) -> DateTime<Utc> {
        self.at + TimeDelta::milliseconds(self.duration_ms.into())
    }
}

impl Delivery {
    /// An event that is to be delivered.
    #[must_use]
    pub fn queue(
        id: WebhookDeliveryId,
        endpoint_id: WebhookEndpointId,
        (event_id, event_type): (EventId, EventType),
        at: DateTime<Utc>,
    ) -> Self {
        let state = State::Pending { failures: 0, next_attempt_at: at };
        Self { id, endpoint_id, event_id, event_type, state, attempts: 0, last_attempt: None, created_at: at }
    }

    /// A test, as it went. It is not tried again.
    #[must_use]
    pub fn test(id: WebhookDeliveryId, endpoint_id: WebhookEndpointId, event_id: EventId, attempt: Attempt) -> Self {
        Self {
            id,
            endpoint_id,
            event_id,
            event_type: EventType::WebhookEndpointTest,
            state: if attempt.has_succeeded() { State::Succeeded } else { State::Failed },
            attempts: 1,
            created_at: attempt.at,
            last_attempt: Some(attempt),
        }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> DeliveryStatus {
        match self.state {
            State::Pending { .. } => DeliveryStatus::Pending,
            State::Succeeded => DeliveryStatus::Succeeded,
            State::Failed => DeliveryStatus::Failed,
        }
    }

    /// When it is tried next, if it is.
    #[must_use]
    pub fn next_attempt_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Pending { next_attempt_at, .. } => Some(next_attempt_at),
            State::Succeeded | State::Failed => None,
        }
    }

    /// The delivery for whoever takes it up: nobody else does for a while.
    #[must_use]
    pub fn lease(&self, at: DateTime<Utc>) -> Self {
        match self.state {
            State::Pending { failures, .. } => {
                Self { state: State::Pending { failures, next_attempt_at: at + LEASE }, ..self.clone() }
            }
            State::Succeeded | State::Failed => self.clone(),
        }
    }

    /// The delivery after an attempt. At an endpoint that is disabled meanwhile it waits; it is never given up there.
    #[must_use]
    pub fn attempted(&self, attempt: Attempt, endpoint_is_enabled: bool, pacing: Pacing) -> Self {
        let ended_at = attempt.ended_at();
        let state = match self.state {
            _ if attempt.has_succeeded() => State::Succeeded,
            State::Pending { failures, .. } if !endpoint_is_enabled => {
                State::Pending { failures, next_attempt_at: ended_at }
            }
            State::Pending { failures, .. } => {
                let failures = failures.saturating_add(1);
                let again = |wait| State::Pending { failures, next_attempt_at: ended_at + wait };
                wait(failures, pacing).map_or(State::Failed, again)
            }
            // Two were at it, and the other got through.
            ended => ended,
        };
        Self { state, attempts: self.attempts.saturating_add(1), last_attempt: Some(attempt), ..self.clone() }
    }

    /// The delivery when there is nothing left to deliver.
    #[must_use]
    pub fn give_up(&self, attempt: Attempt) -> Self {
        Self { state: State::Failed, last_attempt: Some(attempt), ..self.clone() }
    }

    /// The delivery in line again, however it ended; one that was due already keeps its place.
    ///
    /// # Errors
    /// It is a test, or its endpoint is disabled.
    pub fn redeliver(&self, endpoint_is_enabled: bool, at: DateTime<Utc>) -> Result<Self, Refusal> {
        let refused =
            |resource, state, allowed| Err(Refusal::InvalidTransition { resource, state, action: REDELIVER, allowed });
        if self.event_type == EventType::WebhookEndpointTest {
            return refused("webhook delivery", "a test", Vec::new());
        }
        if !endpoint_is_enabled {
            return refused("webhook endpoint", "disabled", vec!["enable"]);
        }
        let next_attempt_at = self.next_attempt_at().map_or(at, |next| next.min(at));
        Ok(Self { state: State::Pending { failures: 0, next_attempt_at }, ..self.clone() })
    }
}
