//! Safe retries: the first answer to a request that had an `Idempotency-Key`, kept for whoever sends it again.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::event::ResourceType;
use super::label::label;

label! {
    /// State of a request: `in_progress`, or `completed`: it was answered. Expect more values.
    IdempotencyState {
        /// It is under way.
        InProgress = "in_progress",
        /// It was answered.
        Completed = "completed",
    }
}

/// How long an answer is kept, in hours.
pub const KEPT_HOURS: i64 = 24;

/// The most characters of a key; they are visible ASCII.
pub const MAX_KEY: usize = 255;

/// That a request can be told from others: whose it is, under which key, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who sent it: what is kept is for the same caller only.
    pub caller: String,
    /// What the caller calls it.
    pub key: String,
    /// SHA-256 of everything that makes it the request that it is.
    pub fingerprint: Vec<u8>,
}

/// An answer, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: i32,
    /// The headers that are not made anew for each answer.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What is kept of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which request.
    pub claim: Claim,
    /// The operation's id.
    pub operation: String,
    /// What it was about, or what it created.
    pub resource: Option<(ResourceType, Uuid)>,
    /// Its answer.
    pub answer: Answer,
    /// When it was answered.
    pub created_at: DateTime<Utc>,
}

impl Kept {
    /// Until when it is kept.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.created_at + TimeDelta::hours(KEPT_HOURS)
    }
}

/// Whether a request is dealt with by an answer: what failed, and who nobody knows, is not.
#[must_use]
pub fn is_final(status: i32) -> bool {
    status < 500 && ![401, 429].contains(&status)
}

/// Whether an answer is kept for whoever sends the request again: not one that says to send the same with other
/// headers.
#[must_use]
pub fn is_kept(status: i32) -> bool {
    is_final(status) && status != 415
}
