//! Deliveries: an event for an endpoint, with its attempts until it is delivered or given up.

use chrono::{DateTime, TimeDelta, Utc};

use super::schedule::{Pacing, wait};
use crate::domain::events::EventType;
use crate::domain::id::{EventId, WebhookDeliveryId, WebhookEndpointId};
use crate::domain::label::label;
use crate::domain::refusal::Refusal;

label! {
    /// State of a delivery. `pending`: it is retried until it is delivered; `succeeded`: delivered; `failed`: given up.
    /// More values may be added.
    DeliveryStatus {
        Pending = "pending",
        Succeeded = "succeeded",
        Failed = "failed",
    }
}

/// The action on a delivery.
pub const REDELIVER: &str = "redeliver";

/// The length of a lease, which is longer than an attempt can take. After this time the worker is considered lost, and
/// another one continues.
const LEASE: TimeDelta = TimeDelta::seconds(60);

/// The delivery of an event to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: WebhookDeliveryId,
    pub endpoint_id: WebhookEndpointId,
    pub event_id: EventId,
    pub event_type: EventType,
    pub state: State,
    /// The total number of attempts.
    pub attempts: i32,
    pub last_attempt: Option<Attempt>,
    pub created_at: DateTime<Utc>,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waiting for an attempt, or being attempted.
    Pending {
        /// The number of failed attempts since the delivery was queued.
        failures: i32,
        next_attempt_at: DateTime<Utc>,
    },
    Succeeded,
    Failed,
}

/// A delivery attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The start of the attempt.
    pub at: DateTime<Utc>,
    pub duration_ms: i32,
    /// The status of the response, if there was one.
    pub http_status: Option<i32>,
    /// Why the attempt failed; `None` if it succeeded.
    pub error: Option<String>,
}

impl Attempt {
    #[must_use]
    pub fn has_succeeded(&self) -> bool {
        self.error.is_none()
    }

    /// Whether the receiver says that the endpoint was removed permanently.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.http_status == Some(410)
    }

    fn ended_at(&self) -> DateTime<Utc> {
        self.at + TimeDelta::milliseconds(self.duration_ms.into())
    }
}

impl Delivery {
    /// Queues an event for an endpoint.
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

    /// The finished delivery of a test message. It is not retried.
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

    #[must_use]
    pub fn status(&self) -> DeliveryStatus {
        match self.state {
            State::Pending { .. } => DeliveryStatus::Pending,
            State::Succeeded => DeliveryStatus::Succeeded,
            State::Failed => DeliveryStatus::Failed,
        }
    }

    /// The time of the next attempt, if there will be one.
    #[must_use]
    pub fn next_attempt_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Pending { next_attempt_at, .. } => Some(next_attempt_at),
            State::Succeeded | State::Failed => None,
        }
    }

    /// Reserves the delivery for a worker. No other worker takes it during the lease.
    #[must_use]
    pub fn lease(&self, at: DateTime<Utc>) -> Self {
        match self.state {
            State::Pending { failures, .. } => {
                Self { state: State::Pending { failures, next_attempt_at: at + LEASE }, ..self.clone() }
            }
            State::Succeeded | State::Failed => self.clone(),
        }
    }

    /// Returns the delivery after an attempt. If the endpoint was disabled in the meantime, the delivery stays queued
    /// and the failure does not count.
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
            // Another worker has finished the delivery in the meantime.
            ended => ended,
        };
        Self { state, attempts: self.attempts.saturating_add(1), last_attempt: Some(attempt), ..self.clone() }
    }

    /// Gives up a delivery, because there is nothing left to deliver.
    #[must_use]
    pub fn give_up(&self, attempt: Attempt) -> Self {
        Self { state: State::Failed, last_attempt: Some(attempt), ..self.clone() }
    }

    /// Queues the delivery again, whatever its state. A delivery that is already due keeps its place in the queue.
    ///
    /// # Errors
    /// The delivery is a test, or its endpoint is disabled.
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

#[derive(Debug, Clone, Default)]
pub struct WebhookDeliveryFilter {
    /// An empty list means all states.
    pub status: Vec<DeliveryStatus>,
    /// An empty list means all event types.
    pub event_type: Vec<EventType>,
}
