//! Safe retries: the first response to a request with an `Idempotency-Key` is stored, and returned when the request is
//! sent again.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::domain::events::ResourceType;
use crate::domain::label::label;

label! {
    /// State of a request: `in_progress`, or `completed` when it has a response. More values may be added.
    IdempotencyState {
        InProgress = "in_progress",
        Completed = "completed",
    }
}

/// How long a response is stored, in hours.
pub const KEPT_HOURS: i64 = 24;

/// The maximum length of a key, in characters. A key consists of visible ASCII.
pub const MAX_KEY: usize = 255;

/// Identifies a request: its caller, its key and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The sender. A stored response is returned only to the same caller.
    pub caller: String,
    /// The `Idempotency-Key`.
    pub key: String,
    /// SHA-256 of everything that defines the request.
    pub fingerprint: Vec<u8>,
}

/// A stored response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: i32,
    /// The stored headers. All other headers are created again for each response.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A completed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub claim: Claim,
    /// The `operationId`.
    pub operation: String,
    /// The resource in the path of the request, or the resource that it created.
    pub resource: Option<(ResourceType, Uuid)>,
    pub answer: Answer,
    pub created_at: DateTime<Utc>,
}

impl Kept {
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.created_at + TimeDelta::hours(KEPT_HOURS)
    }
}

/// Whether a response completes the request. Server errors, 401 and 429 do not.
#[must_use]
pub fn is_final(status: i32) -> bool {
    status < 500 && ![401, 429].contains(&status)
}

/// Whether the response is stored for retries. Not if it asks the client to send the same request with other headers.
#[must_use]
pub fn is_kept(status: i32) -> bool {
    is_final(status) && status != 415
}
