//! API keys. A key keeps its id when its secret is rotated; the previous secret stays valid for an overlap.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::authorization::{Right, Role};
use crate::domain::credentials::credential::is_over;
use crate::domain::credentials::secret::{Hint, Secret, SecretHash};
use crate::domain::id::{ApiKeyId, ResellerId, Version};
use crate::domain::label::label;
use crate::domain::machine::{Outcome, Possibility, Verdict};
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::domain::text::{KeyName, Reason};
use crate::domain::time::{as_kept, written};

/// The maximum time until a key expires, in days: ten years.
pub const MAX_VALIDITY_DAYS: i64 = 3653;

/// The maximum number of live keys of a tenant (neither revoked nor expired). Each key has its own limits, so without a
/// maximum more keys would multiply the limits of the tenant.
pub const MOST_LIVE_KEYS: i64 = 50;

label! {
    /// State of an API key. `active`: accepted, unless its reseller is disabled; `expired`: `expires_at` has passed,
    /// and a later `expires_at` makes the key active again; `revoked`: final. More values may be added.
    ApiKeyStatus {
        Active = "active",
        Expired = "expired",
        Revoked = "revoked",
    }
}

label! {
    /// An action on an API key.
    Action {
        Rotate = "rotate",
        Revoke = "revoke",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub details: Details,
    pub role: Role,
    /// `None` for a key of the provider.
    pub partner_id: Option<ResellerId>,
    pub secret: Fingerprint,
    /// The last rotation of the secret.
    pub rotated: Option<Rotation>,
    pub state: State,
    /// When it was last used, with a precision of one minute. Updated some seconds later, without a new version.
    pub last_used_at: Option<DateTime<Utc>>,
    pub created_by: String,
    pub version: Version,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The editable part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    pub name: KeyName,
    /// An API key without an expiry date never expires.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The stored form of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    pub hash: SecretHash,
    /// What may be shown of the secret; `None` for keys that were created before hints were stored.
    pub hint: Option<Hint>,
}

/// A rotation of the secret of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    pub at: DateTime<Utc>,
    /// The hash of the previous secret.
    pub previous: SecretHash,
    /// The last characters of the previous secret; `None` if they were not stored.
    pub previous_last_four: Option<String>,
    /// Until when the previous secret is valid.
    pub previous_ends_at: DateTime<Utc>,
}

/// Whether a key was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Open,
    Revoked {
        at: DateTime<Utc>,
        /// Why, in the words of the person who revoked it.
        reason: Option<Reason>,
    },
}

/// A command to an API key.
#[derive(Debug, Clone)]
pub enum Command {
    Rotate {
        secret: Fingerprint,
        /// How long the previous secret stays valid. An older secret becomes invalid at once, so that at most two
        /// secrets are valid.
        overlap: TimeDelta,
    },
    Revoke {
        reason: Option<Reason>,
    },
}

impl Command {
    fn action(&self) -> Action {
        match self {
            Self::Rotate { .. } => Action::Rotate,
            Self::Revoke { .. } => Action::Revoke,
        }
    }
}

impl From<&Secret> for Fingerprint {
    fn from(secret: &Secret) -> Self {
        Self { hash: secret.hash(), hint: Some(secret.hint()) }
    }
}

impl ApiKey {
    /// Creates a key that is active at once.
    ///
    /// # Errors
    /// The expiry date is not in the future, or more than [`MAX_VALIDITY_DAYS`] ahead.
    pub fn create(
        id: ApiKeyId,
        details: Details,
        role: Role,
        partner_id: Option<ResellerId>,
        secret: Fingerprint,
        created_by: String,
        at: DateTime<Utc>,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            id,
            details: Details { expires_at: checked_end(details.expires_at, at)?, ..details },
            role,
            partner_id,
            secret,
            rotated: None,
            state: State::Open,
            last_used_at: None,
            created_by,
            version: Version::FIRST,
            created_at: at,
            updated_at: at,
        })
    }

    #[must_use]
    pub fn status(&self, at: DateTime<Utc>) -> ApiKeyStatus {
        match self.state {
            State::Revoked { .. } => ApiKeyStatus::Revoked,
            State::Open if is_over(self.details.expires_at, at) => ApiKeyStatus::Expired,
            State::Open => ApiKeyStatus::Active,
        }
    }

    /// Returns the key with other details.
    ///
    /// # Errors
    /// The key is revoked, or the expiry date is not in the future or more than [`MAX_VALIDITY_DAYS`] ahead.
    pub fn edit(&self, details: Details, at: DateTime<Utc>) -> Result<Outcome<Self>, Refusal> {
        let details = Details { expires_at: details.expires_at.map(as_kept), ..details };
        if details == self.details {
            return Ok(Outcome::Unchanged);
        }
        if self.status(at) == ApiKeyStatus::Revoked {
            return Err(self.invalid("edit", at));
        }
        let expires_at = match details.expires_at {
            end if end == self.details.expires_at => end,
            end => checked_end(end, at)?,
        };
        let details = Details { expires_at, ..details };
        Ok(Outcome::Changed(Self { details, version: self.version.next(), updated_at: at, ..self.clone() }))
    }

    /// Checks whether an action is allowed.
    ///
    /// # Errors
    /// [`Refusal::InvalidTransition`].
    pub fn guard(&self, action: Action, at: DateTime<Utc>) -> Result<Verdict, Refusal> {
        self.verdict(action, at).ok_or_else(|| self.invalid(action.as_str(), at))
    }

    /// Applies a command.
    ///
    /// # Errors
    /// [`Refusal::InvalidTransition`].
    pub fn apply(&self, command: Command, at: DateTime<Utc>) -> Result<Outcome<Self>, Refusal> {
        if self.guard(command.action(), at)? == Verdict::AlreadySo {
            return Ok(Outcome::Unchanged);
        }
        let changed = Self { version: self.version.next(), updated_at: at, ..self.clone() };
        Ok(Outcome::Changed(match command {
            Command::Rotate { secret, overlap } => {
                let rotation = Rotation {
                    at,
                    previous: self.secret.hash,
                    previous_last_four: self.secret.hint.as_ref().map(|hint| hint.last_four.clone()),
                    previous_ends_at: at + overlap,
                };
                Self { secret, rotated: Some(rotation), ..changed }
            }
            Command::Revoke { reason } => Self { state: State::Revoked { at, reason }, ..changed },
        }))
    }

    /// Returns all actions with the right that each requires, and whether the state allows them.
    #[must_use]
    pub fn possibilities(&self, at: DateTime<Utc>) -> Vec<(Right, Possibility)> {
        Action::ALL
            .iter()
            .map(|&action| {
                let already_so = || self.invalid(action.as_str(), at);
                (Right::ManageApiKeys, Possibility::of(action.as_str(), self.guard(action, at), already_so))
            })
            .collect()
    }

    /// The result of an action; `None` if the state does not allow it.
    fn verdict(&self, action: Action, at: DateTime<Utc>) -> Option<Verdict> {
        use ApiKeyStatus::{Active, Expired, Revoked};
        match (action, self.status(at)) {
            (Action::Rotate, Active) | (Action::Revoke, Active | Expired) => Some(Verdict::Proceed),
            (Action::Revoke, Revoked) => Some(Verdict::AlreadySo),
            (Action::Rotate, Expired | Revoked) => None,
        }
    }

    fn invalid(&self, action: &'static str, at: DateTime<Utc>) -> Refusal {
        let proceeds = |action: &&Action| self.verdict(**action, at) == Some(Verdict::Proceed);
        Refusal::InvalidTransition {
            resource: "API key",
            state: self.status(at).as_str(),
            action,
            allowed: Action::ALL.iter().filter(proceeds).map(|action| action.as_str()).collect(),
        }
    }
}

/// Checks an expiry date, and rounds it to the precision of the database.
fn checked_end(end: Option<DateTime<Utc>>, at: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Violation> {
    let end = end.map(as_kept);
    let latest = at + TimeDelta::days(MAX_VALIDITY_DAYS);
    if is_over(end, at) || end.is_some_and(|end| end > latest) {
        let detail = format!(
            "A key must expire after {} (now) and not later than {}. Change `expires_at`.",
            written(at),
            written(latest)
        );
        return Err(Violation::new("/expires_at", ViolationCode::OutOfRange, detail));
    }
    Ok(end)
}

#[derive(Debug, Clone, Default)]
pub struct ApiKeyFilter {
    /// An empty list means all states.
    pub status: Vec<ApiKeyStatus>,
    /// An empty list means all roles.
    pub role: Vec<Role>,
    pub partner_id: Option<ResellerId>,
}
