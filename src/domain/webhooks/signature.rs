//! Secrets and signatures according to the Standard Webhooks specification.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The number of random bytes in a secret.
pub const SECRET_BYTES: usize = 32;

/// The prefix of a secret in its visible form.
const PREFIX: &str = "whsec_";

/// The block length of SHA-256. A shorter key is padded with zeros (RFC 2104).
const BLOCK: usize = 64;

/// The maximum number of secrets of an endpoint.
const MOST_SECRETS: usize = 5;

/// The secret that an endpoint shares with the service.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

/// Never shows the secret in a log.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Creates a secret from random bytes.
    #[must_use]
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random)
    }

    /// The bytes to store.
    #[must_use]
    pub fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// The visible form, which the owner sees once.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.0))
    }

    /// Whether one of the signatures in the header of a message was made with this secret. Every receiver must check
    /// this.
    #[must_use]
    pub fn verifies(&self, id: &str, timestamp: i64, body: &[u8], signatures: &str) -> bool {
        let theirs = signatures.split(' ').filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok());
        theirs.into_iter().any(|theirs| self.mac(id, timestamp, body).verify_slice(&theirs).is_ok())
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut key = [0; BLOCK];
        key[..SECRET_BYTES].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        mac
    }
}

/// The text is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the secret of a webhook endpoint: `whsec_` followed by base64")]
pub struct NotASecret;

impl std::str::FromStr for Secret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let bytes = text.strip_prefix(PREFIX).and_then(|rest| STANDARD.decode(rest).ok()).ok_or(NotASecret)?;
        bytes.try_into().map(Self).map_err(|_| NotASecret)
    }
}

/// The secrets that sign the messages of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The secret since the last rotation.
    pub current: Secret,
    /// Earlier secrets with their expiry dates, newest first. They also sign until they expire.
    pub previous: Vec<(Secret, DateTime<Utc>)>,
}

impl Secrets {
    /// Returns the secrets that are valid at an instant.
    #[must_use]
    pub fn valid(&self, at: DateTime<Utc>) -> Vec<&Secret> {
        let previous = self.previous.iter().filter(|(_, until)| *until > at).map(|(secret, _)| secret);
        std::iter::once(&self.current).chain(previous).collect()
    }

    /// Returns when the last of the previous secrets expires, if any is valid at the instant.
    #[must_use]
    pub fn previous_end(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.previous.iter().map(|(_, until)| *until).filter(|until| *until > at).max()
    }

    /// Adds a new secret. The previous secrets stay valid for the overlap, but never longer than before.
    #[must_use]
    pub fn rotate(&self, secret: Secret, overlap: TimeDelta, at: DateTime<Utc>) -> Self {
        let end = at + overlap;
        let before = std::iter::once((self.current.clone(), end));
        let older = self.previous.iter().map(|(secret, until)| (secret.clone(), (*until).min(end)));
        let previous = before.chain(older).filter(|(_, until)| *until > at).take(MOST_SECRETS - 1).collect();
        Self { current: secret, previous }
    }
}

/// Returns the header `webhook-signature` of a message: one signature for each secret. `timestamp` is in seconds since
/// 1970.
#[must_use]
pub fn sign(secrets: &[&Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let sign = |secret: &&Secret| STANDARD.encode(secret.mac(id, timestamp, body).finalize().into_bytes());
    let signatures: Vec<_> = secrets.iter().map(|secret| format!("v1,{}", sign(secret))).collect();
    signatures.join(" ")
}
