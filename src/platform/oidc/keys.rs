//! The keys of an issuer (RFC 7517) that can verify tokens with the accepted algorithms.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Keys to verify tokens.
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Keys {
    /// Reads the keys in a document that match the accepted algorithms. Other keys are ignored, because an issuer may
    /// have keys for other purposes.
    pub(super) fn parse(document: &[u8], allowed: &[Algorithm]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(document)?;
        Ok(Self(document.keys.into_iter().filter_map(|key| Key::read(key, allowed)).collect()))
    }

    /// Whether there is a key with this id. Without an id, whether there is any key.
    pub(super) fn has(&self, id: Option<&str>) -> bool {
        self.0.iter().any(|key| key.is(id))
    }

    /// The keys that may have signed a token: those with its algorithm, and with its key id if it has one.
    pub(super) fn fitting(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let fitting = self.0.iter().filter(move |key| key.is(id) && key.algorithms.contains(&algorithm));
        fitting.map(|key| &key.key)
    }
}

impl Key {
    fn read(key: Value, allowed: &[Algorithm]) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(key).ok()?;
        let algorithms: Vec<_> = allowed.iter().copied().filter(|algorithm| fits(&jwk, *algorithm)).collect();
        if algorithms.is_empty() || !is_for_signatures(&jwk) {
            return None;
        }
        Some(Self { key: DecodingKey::from_jwk(&jwk).ok()?, id: jwk.common.key_id, algorithms })
    }

    fn is(&self, id: Option<&str>) -> bool {
        id.is_none_or(|id| self.id.as_deref() == Some(id))
    }
}

/// Whether a key can be used with an algorithm. A symmetric key matches none, because everyone who can verify with it
/// could also sign.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let is_of_its_kind = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), RS256 | RS384 | RS512 | PS256 | PS384 | PS512) => true,
        (AlgorithmParameters::EllipticCurve(key), ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(key), ES384) => key.curve == EllipticCurve::P384,
        (AlgorithmParameters::OctetKeyPair(key), EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    is_of_its_kind && jwk.common.key_algorithm.is_none_or(|own| own == KeyAlgorithm::from(algorithm))
}

fn is_for_signatures(jwk: &Jwk) -> bool {
    let operations = jwk.common.key_operations.as_ref();
    jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
        && operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_no_key_even_where_somebody_allows_it() {
        let document = r#"{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0", "alg": "HS256"}]}"#;
        let keys = Keys::parse(document.as_bytes(), &[Algorithm::HS256, Algorithm::RS256]).unwrap();
        assert!(!keys.has(None) && keys.fitting(Some("a"), Algorithm::HS256).next().is_none());
    }
}
