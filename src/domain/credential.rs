//! What a secret that somebody presents is worth.

use chrono::{DateTime, Utc};

use super::access::Role;
use super::id::{ApiKeyId, ResellerId};

/// What a presented secret stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its key.
    pub id: ApiKeyId,
    /// What the key may do.
    pub role: Role,
    /// Whose it is; the partner's when there is none.
    pub partner_id: Option<ResellerId>,
    /// Whether the key was ended.
    pub is_revoked: bool,
    /// When the key ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When the secret ends, if the key has another by now; before all time where it was given none to go on.
    pub secret_ends_at: Option<DateTime<Utc>>,
    /// Whether the key's reseller is disabled.
    pub reseller_is_disabled: bool,
}

/// Why a secret that was a key's is refused. Who has it may know: nobody can guess one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The key was ended.
    #[error("This key was revoked. Use another key, or ask an administrator to create one.")]
    Revoked,
    /// The key's time is over.
    #[error("This key has expired. Use another key, or ask an administrator to set a new `expires_at`.")]
    Expired,
    /// The key has another secret by now.
    #[error("This secret was replaced when its key was rotated, and has expired. Use the key's new secret.")]
    Replaced,
    /// The reseller is cut off.
    #[error("The reseller of this key is disabled. Ask the provider to enable it.")]
    ResellerDisabled,
}

impl Credential {
    /// Succeeds when the secret works at an instant.
    ///
    /// # Errors
    /// Says why it does not.
    pub fn check(&self, at: DateTime<Utc>) -> Result<(), Rejection> {
        match self {
            Self { is_revoked: true, .. } => Err(Rejection::Revoked),
            _ if is_over(self.expires_at, at) => Err(Rejection::Expired),
            _ if is_over(self.secret_ends_at, at) => Err(Rejection::Replaced),
            Self { reseller_is_disabled: true, .. } => Err(Rejection::ResellerDisabled),
            _ => Ok(()),
        }
    }
}

/// Whether an end has come. At that very instant, it has.
pub(super) fn is_over(end: Option<DateTime<Utc>>, at: DateTime<Utc>) -> bool {
    end.is_some_and(|end| end <= at)
}
