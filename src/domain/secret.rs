//! The secret of an API key: made once, shown once, kept as a hash. A hash of 256 random bits cannot be turned
//! back, and comparing it in an index tells an attacker nothing.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// How many random bytes are in a secret.
pub const RANDOM_BYTES: usize = 32;

/// How long a secret goes on beside the one that replaces it when nothing is said: a key's, and a webhook endpoint's.
pub const DEFAULT_OVERLAP: TimeDelta = TimeDelta::days(1);

/// What every secret starts with, so that it is recognised where it should not be.
const PREFIX: &str = "ppk_";

/// How many random characters may be shown at each end; those between are 210 bits.
const SHOWN: usize = 4;

/// A secret, or what somebody presents as one and could be.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

/// SHA-256 of a secret, every character of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

/// What may be shown of a secret, for people to tell keys apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// How it starts.
    pub prefix: String,
    /// How it ends.
    pub last_four: String,
}

impl Secret {
    /// The secret of random bytes.
    #[must_use]
    pub fn new(random: [u8; RANDOM_BYTES]) -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)).into())
    }

    /// The secret that a text could be; nobody has to look for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let random = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (random.len() == RANDOM_BYTES).then(|| Self(text.into()))
    }

    /// Whether a text is meant to be one.
    #[must_use]
    pub fn looks_like(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.expose_secret()).into())
    }

    /// What may be shown of it.
    #[must_use]
    pub fn hint(&self) -> Hint {
        let text = self.0.expose_secret();
        let (start, end) = (PREFIX.len() + SHOWN, text.len().saturating_sub(SHOWN));
        Hint { prefix: text.chars().take(start).collect(), last_four: text.chars().skip(end).collect() }
    }
}

impl ExposeSecret<str> for Secret {
    fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A text for the logs: without a key, wherever somebody put it.
#[must_use]
pub fn without_keys(text: &str) -> Cow<'_, str> {
    if !text.contains(PREFIX) {
        return text.into();
    }
    let mut parts = text.split(PREFIX);
    let start = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    rest.fold(start, |text, rest| text + "[key]" + rest).into()
}
