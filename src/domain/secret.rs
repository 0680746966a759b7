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

/// What every token starts with: `{"` in base64.
const TOKEN_PREFIX: &str = "eyJ";

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

/// A text for the logs: without a key or a token, wherever somebody put it.
#[must_use]
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    if !text.contains(PREFIX) && !text.contains(TOKEN_PREFIX) {
        return text.into();
    }
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        match credential(rest) {
            Some((length, kind)) => {
                shown.push_str(kind);
                rest = &rest[length..];
            }
            None => {
                shown.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    shown.into()
}

/// How long the credential is that a text starts with, if it does, and what is said in its place.
fn credential(text: &str) -> Option<(usize, &'static str)> {
    let length = |signs: &[char]| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !signs.contains(&c));
        end.unwrap_or(text.len())
    };
    if text.starts_with(PREFIX) {
        return Some((length(&['-', '_']), "[key]"));
    }
    let length = length(&['-', '_', '.']);
    // Head, claims and signature. With fewer parts it is a word like others.
    let is_token = text.starts_with(TOKEN_PREFIX) && text[..length].matches('.').count() >= 2;
    is_token.then_some((length, "[token]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tokens_are_left_out_and_all_else_stays() {
        for (text, shown) in [
            ("", ""),
            ("/v1/customers", "/v1/customers"),
            ("/ppk_a-b_c/é", "/[key]/é"),
            ("ppk_", "[key]"),
            ("xppk_appk_b.c", "x[key].c"),
            ("/eyJhbGci.eyJz-dWI.c_2ln/x", "/[token]/x"),
            ("Bearer%20eyJhbGci.eyJzdWI.", "Bearer%20[token]"),
            ("eyJhbGci.a.b.c.d", "[token]"),
            ("é/eyJhbGci.eyJzdWI/ppk_a", "é/eyJhbGci.eyJzdWI/[key]"),
            ("keyJ.eyJ.x", "k[token]"),
            ("eyJhbGci", "eyJhbGci"),
        ] {
            assert_eq!(without_credentials(text), shown, "{text}");
        }
    }
}
