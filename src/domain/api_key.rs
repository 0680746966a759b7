//! API keys. A key keeps its id when its secret is replaced; the secret that it had goes on for a while.

use chrono::{DateTime, TimeDelta, Utc};

use super::access::{Right, Role};
use super::credential::is_over;
use super::id::{ApiKeyId, ResellerId, Version};
use super::label::label;
use super::machine::{Outcome, Possibility, Verdict};
use super::refusal::{Refusal, Violation, ViolationCode};
use super::secret::{Hint, Secret, SecretHash};
use super::text::{KeyName, Reason};
use super::time::{as_kept, written};

/// How far ahead the end of a key may lie, in days: ten years.
pub const MAX_VALIDITY_DAYS: i64 = 3653;

/// The most live keys of a tenant, neither revoked nor expired: more keys would be more of every limit that is a key's.
pub const MOST_LIVE_KEYS: i64 = 50;

label! {
    /// State of an API key. `active`: works, unless its reseller is disabled; `expired`: its time is over, and
    /// another `expires_at` brings it back; `revoked`: ended for good. Expect more values.
    ApiKeyStatus {
        /// Works.
        Active = "active",
        /// Its time is over.
        Expired = "expired",
        /// Ended for good.
        Revoked = "revoked",
    }
}

label! {
    /// What can be done with an API key.
    Action {
        /// Give it another secret.
        Rotate = "rotate",
        /// End it.
        Revoke = "revoke",
    }
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What can be edited of it.
    pub details: Details,
    /// What it may do.
    pub role: Role,
    /// Whose it is; the partner's when there is none.
    pub partner_id: Option<ResellerId>,
    /// Its secret.
    pub secret: Fingerprint,
    /// When its secret was last replaced.
    pub rotated: Option<Rotation>,
    /// Whether it was ended.
    pub state: State,
    /// When it was last used, to the minute; known some seconds later, and apart from the version.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Who made it.
    pub created_by: String,
    /// How often it has changed.
    pub version: Version,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What can be edited of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// What it is for.
    pub name: KeyName,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What is kept of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Tells it from any other.
    pub hash: SecretHash,
    /// What may be shown of it; of older keys, nobody took a note.
    pub hint: Option<Hint>,
}

/// That the secret of a key was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// When.
    pub at: DateTime<Utc>,
    /// The secret of before.
    pub previous: SecretHash,
    /// How it ends, if that is known.
    pub previous_last_four: Option<String>,
    /// Until when it works.
    pub previous_ends_at: DateTime<Utc>,
}

/// Whether a key was ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It was not.
    Open,
    /// It was.
    Revoked {
        /// When.
        at: DateTime<Utc>,
        /// Why, in the words of who did it.
        reason: Option<Reason>,
    },
}

/// What is to be done with a key.
#[derive(Debug, Clone)]
pub enum Command {
    /// Give it another secret.
    Rotate {
        /// The new one.
        secret: Fingerprint,
        /// How long the one of before goes on. One from before that ends at once: two work at the most.
        overlap: TimeDelta,
    },
    /// End it.
    Revoke {
        /// Why.
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
    /// A new key; it works at once.
    ///
    /// # Errors
    /// It would end too soon or too late.
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

    /// Its status at an instant.
    #[must_use]
    pub fn status(&self, at: DateTime<Utc>) -> ApiKeyStatus {
        match self.state {
            State::Revoked { .. } => ApiKeyStatus::Revoked,
            State::Open if is_over(self.details.expires_at, at) => ApiKeyStatus::Expired,
            State::Open => ApiKeyStatus::Active,
        }
    }

    /// The key with other details.
    ///
    /// # Errors
    /// It was revoked, or would end too soon or too late.
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

    /// Whether an action is possible.
    ///
    /// # Errors
    /// The state does not allow it.
    pub fn guard(&self, action: Action, at: DateTime<Utc>) -> Result<Verdict, Refusal> {
        self.verdict(action, at).ok_or_else(|| self.invalid(action.as_str(), at))
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// The state does not allow it.
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

    /// What may be done next, with the right that it needs.
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

    /// What becomes of an action; `None` where it is refused.
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

/// An end, as it is kept.
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
