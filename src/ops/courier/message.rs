//! Sends an event as a signed message, and evaluates the response.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::events::{Event, Shown};
use crate::domain::webhooks::Endpoint;
use crate::domain::webhooks::address::Addresses;
use crate::domain::webhooks::delivery::Attempt;
use crate::domain::webhooks::signature::sign;
use crate::ops::work::Work;
use crate::ops::{Context, Result};
use crate::platform::outbound::guarded::{Answered, Called, Caller};

/// The maximum number of concurrent transactions for deliveries on an instance. Leaves connections for requests.
const TRANSACTIONS: usize = 4;

/// The headers of a message according to the Standard Webhooks specification.
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Sends messages to webhook endpoints.
#[derive(Clone)]
pub struct Courier {
    caller: Caller,
    /// A permit for each message that may be in progress. Each message has a connection.
    slots: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// The maximum number of concurrent messages of a process.
pub const MOST_SENDS: usize = 400;

/// A permit for one message. Dropping it releases the permit.
pub(in crate::ops) struct Slot(#[allow(dead_code, reason = "it is held")] Option<OwnedSemaphorePermit>);

/// An event, and the endpoint that it is sent to.
pub(in crate::ops) struct Message<'a> {
    pub(in crate::ops) endpoint: Endpoint,
    pub(in crate::ops) event: &'a Event,
}

impl Courier {
    /// Creates a courier that sends with `caller`.
    #[must_use]
    pub fn new(caller: Caller) -> Self {
        Self::bounded(caller, MOST_SENDS)
    }

    /// Creates a courier that sends at most `most_sends` messages at the same time.
    #[must_use]
    pub fn bounded(caller: Caller, most_sends: usize) -> Self {
        Self { caller, slots: Arc::new(Semaphore::new(most_sends)), turns: Arc::new(Semaphore::new(TRANSACTIONS)) }
    }

    /// Waits for a permit to send a message. Deliveries and tests share the same limit.
    pub(in crate::ops) async fn slot(&self) -> Slot {
        // The semaphore is never closed.
        Slot(self.slots.clone().acquire_owned().await.ok())
    }

    /// The addresses that messages may be sent to.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        self.caller.addresses()
    }

    /// Sends a message. Returns the attempt, and the delay that the receiver asks for with `Retry-After`. Timestamps
    /// are those of the machine's clock, because a sandbox does not move the clock of the receivers. Requires a permit,
    /// so that nothing is sent without one.
    pub(in crate::ops) async fn send(
        &self,
        cx: &Context,
        message: &Message<'_>,
        slot: Slot,
    ) -> (Attempt, Option<TimeDelta>) {
        let Message { endpoint, event } = message;
        let at = cx.clock.machine();
        let (id, timestamp) = (event.id.to_string(), at.timestamp());
        let body = serde_json::to_vec(&event.shown(event.occurred_at)).unwrap_or_default();
        let signature = sign(&endpoint.secrets.valid(at), &id, timestamp, &body);
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for (name, value) in [(ID, id), (TIMESTAMP, timestamp.to_string()), (SIGNATURE, signature)] {
            headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
        }
        let Called { answer, duration } = self.caller.post(&endpoint.details.url, headers, body).await;
        drop(slot);
        let duration_ms = i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        let (http_status, error, retry_after) = match answer {
            Ok(Answered { status, retry_after }) => {
                let asked = retry_after.and_then(|text| until(&text, at));
                (Some(status.into()), complaint(status), asked)
            }
            Err(error) => (None, Some(error), None),
        };
        (Attempt { at, duration_ms, http_status, error }, retry_after)
    }

    pub(super) async fn write<T>(&self, cx: &Context, work: impl AsyncFnOnce(&mut Work<'_>) -> Result<T>) -> Result<T> {
        let turn = self.turns.acquire().await;
        let outcome = cx.write(work).await;
        drop(turn);
        outcome
    }
}

/// The error of a response, if any: only 2xx is a success.
fn complaint(status: u16) -> Option<String> {
    match status {
        200..300 => None,
        300..400 => Some(format!("The receiver responded with {status}; redirects are not followed.")),
        _ => Some(format!("The receiver responded with {status}.")),
    }
}

/// The time until the instant in `Retry-After` (RFC 9110, section 10.2.3): a number of seconds, or a date in one of the
/// three HTTP formats.
fn until(text: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that is too large is replaced by the maximum. The schedule has its own maximum.
        TimeDelta::seconds(text.parse::<u32>().unwrap_or(u32::MAX).into())
    } else {
        DateTime::<Utc>::from(httpdate::parse_http_date(text).ok()?) - now
    };
    (wait > TimeDelta::zero()).then_some(wait)
}
