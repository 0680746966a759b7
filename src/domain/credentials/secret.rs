//! The secret of an API key: created once, shown once, stored as a hash. A hash of 256 random bits cannot be reversed,
//! and an index lookup by this hash reveals nothing to an attacker.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// The number of random bytes in a secret.
pub const RANDOM_BYTES: usize = 32;

/// The default overlap after a rotation: how long the previous secret of an API key or webhook endpoint stays
/// valid.
pub const DEFAULT_OVERLAP: TimeDelta = TimeDelta::days(1);

/// The prefix of every secret, so that secret scanners can recognize it.
const PREFIX: &str = "ppk_";

/// The prefix of every token: `{"` in base64.
const TOKEN_PREFIX: &str = "eyJ";

/// The number of random characters that may be shown at each end. The hidden characters contain 210 bits.
const SHOWN: usize = 4;

/// A text with the form of a secret.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

/// SHA-256 of all characters of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

/// The visible part of a secret, so that people can tell keys apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The first characters.
    pub prefix: String,
    /// The last characters.
    pub last_four: String,
}

impl Secret {
    /// Creates a secret from random bytes.
    #[must_use]
    pub fn new(random: [u8; RANDOM_BYTES]) -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)).into())
    }

    /// Returns the text as a secret, if it has the form of one. Other texts need no lookup.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let random = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (random.len() == RANDOM_BYTES).then(|| Self(text.into()))
    }

    /// Whether a text has the prefix of a secret.
    #[must_use]
    pub fn looks_like(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.expose_secret()).into())
    }

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

/// Removes keys and tokens from a text for the log, wherever they are.
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

/// If the text starts with a credential, returns its length and its replacement.
fn credential(text: &str) -> Option<(usize, &'static str)> {
    let length = |signs: &[char]| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !signs.contains(&c));
        end.unwrap_or(text.len())
    };
    if text.starts_with(PREFIX) {
        return Some((length(&['-', '_']), "[key]"));
    }
    let length = length(&['-', '_', '.']);
    // Header, claims and signature. A word with fewer parts is not a token.
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
