//! Whether a presented secret is accepted.

use chrono::{DateTime, Utc};

use crate::domain::authorization::Role;
use crate::domain::id::{ApiKeyId, ResellerId};

/// The key that a presented secret belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub id: ApiKeyId,
    pub role: Role,
    /// `None` for a key of the provider.
    pub partner_id: Option<ResellerId>,
    pub is_revoked: bool,
    pub expires_at: Option<DateTime<Utc>>,
    /// When the secret becomes invalid, if the key was rotated. In the distant past if the rotation had no overlap.
    pub secret_ends_at: Option<DateTime<Utc>>,
    pub reseller_is_disabled: bool,
}

/// Why a secret of a known key is rejected. The reason may be shown: nobody can guess a valid secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("This key was revoked. Use another key, or ask an administrator to create one.")]
    Revoked,
    #[error("This key has expired. Use another key, or ask an administrator to set a new `expires_at`.")]
    Expired,
    #[error("This secret was replaced when its key was rotated, and has expired. Use the key's new secret.")]
    Replaced,
    #[error("The reseller of this key is disabled. Ask the provider to enable it.")]
    ResellerDisabled,
}

impl Credential {
    /// Checks whether the secret is valid at an instant.
    ///
    /// # Errors
    /// The reason why it is not.
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

/// Whether an end has passed. The end itself counts as passed.
pub(super) fn is_over(end: Option<DateTime<Utc>>, at: DateTime<Utc>) -> bool {
    end.is_some_and(|end| end <= at)
}
