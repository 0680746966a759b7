//! Secrets and signatures, as the Standard Webhooks specification has them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How many random bytes a secret has.
pub const SECRET_BYTES: usize = 32;

/// What every secret starts with when it is shown.
const PREFIX: &str = "whsec_";

/// How long the blocks of SHA-256 are: a shorter key is filled up with zeros (RFC 2104).
const BLOCK: usize = 64;

/// The most secrets that an endpoint has at a time.
const MOST_SECRETS: usize = 5;

/// What an endpoint and the service both know, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

/// A secret is not to stand in a log.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The secret of random bytes.
    #[must_use]
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random)
    }

    /// Its bytes, to be kept.
    #[must_use]
    pub fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// As its owner sees it, once.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.0))
    }

    /// Whether one of the signatures of a message, as its header has them, was made with the secret: what every
    /// receiver has to look at.
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

/// The text is no secret.
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

/// What an endpoint's messages are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// What they are signed with from now on.
    pub current: Secret,
    /// What they are signed with besides, each until its end; newest first.
    pub previous: Vec<(Secret, DateTime<Utc>)>,
}

impl Secrets {
    /// What to sign with at an instant.
    #[must_use]
    pub fn valid(&self, at: DateTime<Utc>) -> Vec<&Secret> {
        let previous = self.previous.iter().filter(|(_, until)| *until > at).map(|(secret, _)| secret);
        std::iter::once(&self.current).chain(previous).collect()
    }

    /// Until when something is signed with older secrets, too, if it is at an instant.
    #[must_use]
    pub fn previous_end(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.previous.iter().map(|(_, until)| *until).filter(|until| *until > at).max()
    }

    /// Another one, beside which those of before go on for a while; none longer than it would have.
    #[must_use]
    pub fn rotate(&self, secret: Secret, overlap: TimeDelta, at: DateTime<Utc>) -> Self {
        let end = at + overlap;
        let before = std::iter::once((self.current.clone(), end));
        let older = self.previous.iter().map(|(secret, until)| (secret.clone(), (*until).min(end)));
        let previous = before.chain(older).filter(|(_, until)| *until > at).take(MOST_SECRETS - 1).collect();
        Self { current: secret, previous }
    }
}

/// The header `webhook-signature` of a message: one signature a secret. `timestamp` is in seconds since 1970.
#[must_use]
pub fn sign(secrets: &[&Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let sign = |secret: &&Secret| STANDARD.encode(secret.mac(id, timestamp, body).finalize().into_bytes());
    let signatures: Vec<_> = secrets.iter().map(|secret| format!("v1,{}", sign(secret))).collect();
    signatures.join(" ")
}
