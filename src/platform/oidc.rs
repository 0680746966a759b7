//! OpenID Connect: verifies the tokens of an issuer and reads their claims. Fetches and caches the keys of the issuer.

mod cache;
mod claims;
mod keys;
mod signature;

use std::sync::Arc;

use chrono::{DateTime, Utc};
pub use jsonwebtoken::Algorithm;
use jsonwebtoken::{AlgorithmFamily, Header, Validation, decode, decode_header};
use reqwest::Url;

use crate::domain::authorization::Role;
use crate::domain::id::ResellerId;
use crate::platform::outbound;
use cache::Cache;
use claims::{PARTNER, Sent};
use keys::Keys;

/// The maximum length of a token. No real token is longer.
const LONGEST: usize = 8 * 1024;

/// The types of access tokens and id tokens. Other tokens that the same keys sign, such as logout tokens, do not
/// identify the caller.
const TYPES: &[&str] = &["JWT", "at+jwt", "application/at+jwt"];

/// The requirements for the tokens of an issuer.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The issuer.
    pub issuer: Issuer,
    /// The required audience.
    pub audience: String,
    /// The claim that contains the role.
    pub role_claim: String,
    /// The claim that contains the id of the user's reseller, or `partner` for users of the provider.
    pub reseller_claim: String,
    /// The accepted signature algorithms.
    pub algorithms: Vec<Algorithm>,
}

/// The claims of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The subject: 1 to 255 characters, no control characters.
    pub subject: String,
    /// The role of the subject.
    pub role: Role,
    /// The reseller of the subject; `None` for users of the provider.
    pub reseller_id: Option<ResellerId>,
}

/// Why a token is rejected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token is invalid. The reason is only for the log.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// The token is valid, but does not name the user's reseller. The caller is authenticated, so the error may say
    /// this.
    #[error(
        "The claim `{claim}` of this token does not name the user's reseller. Let the issuer put the reseller's id \
         there, or `{PARTNER}` for users of the provider."
    )]
    Unassigned {
        /// The claim that must name the reseller.
        claim: String,
    },
    /// The keys of the issuer are not available, so the token cannot be verified.
    #[error("the keys of the issuer are not available")]
    Unavailable,
}

impl Error {
    fn invalid(reason: impl ToString) -> Self {
        Self::Invalid(reason.to_string())
    }
}

/// An issuer, with its address exactly as in its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    text: String,
    discovery: Url,
}

impl Issuer {
    /// The name, exactly as configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn discovery(&self) -> Url {
        self.discovery.clone()
    }
}

impl std::str::FromStr for Issuer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let discovery = format!("{}/.well-known/openid-configuration", text.trim_end_matches('/'));
        let discovery: Url = discovery.parse().map_err(|error| format!("{error}"))?;
        if !outbound::is_confidential(&discovery) {
            return Err("the issuer must use https, or http on this machine".to_owned());
        }
        if text.contains(['?', '#']) || !discovery.username().is_empty() || discovery.password().is_some() {
            return Err("the issuer must not contain an account, query or fragment".to_owned());
        }
        Ok(Self { text: text.to_owned(), discovery })
    }
}

/// Returns the algorithm of this name, if it is allowed for tokens. Symmetric algorithms are not allowed: with them,
/// everyone who can verify tokens could also sign them.
///
/// # Errors
/// The algorithm does not exist or is not asymmetric.
pub fn algorithm(name: &str) -> Result<Algorithm, String> {
    let algorithm = name.parse().ok().filter(|algorithm: &Algorithm| algorithm.family() != AlgorithmFamily::Hmac);
    algorithm.ok_or_else(|| "must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA".to_owned())
}

/// Verifies tokens of one issuer.
#[derive(Clone)]
pub struct Oidc(Arc<Inner>);

struct Inner {
    settings: Settings,
    cache: Arc<Cache>,
}

impl Oidc {
    /// Creates a verifier. The keys of the issuer are fetched when the first token arrives.
    ///
    /// # Errors
    /// The HTTP client cannot be created.
    pub fn new(settings: Settings) -> Result<Self, outbound::Error> {
        signature::install();
        let cache = Arc::new(Cache::new(settings.issuer.clone(), settings.algorithms.clone())?);
        Ok(Self(Arc::new(Inner { settings, cache })))
    }

    /// Verifies a token and returns its claims.
    ///
    /// # Errors
    /// The token is rejected, or the keys of the issuer are not available.
    pub async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, Error> {
        let Inner { settings, cache } = &*self.0;
        // Tokens that cannot be valid do not cause a request to the issuer.
        let header = header(token, &settings.algorithms)?;
        let id = header.kid.as_deref();
        let keys = cache.keys(|keys| keys.has(id), now).await?;
        let sent = match signed(token, &header, &keys) {
            // The token does not name its key, so it may be signed by a new one.
            Err(_) if id.is_none() => signed(token, &header, &*cache.keys(|_| false, now).await?),
            sent => sent,
        };
        sent?.check(settings, now)
    }
}

/// Returns the header of a token, if everything in it is supported.
fn header(token: &str, allowed: &[Algorithm]) -> Result<Header, Error> {
    if token.len() > LONGEST {
        return Err(Error::invalid("it is too long"));
    }
    let header = decode_header(token).map_err(Error::invalid)?;
    if !allowed.contains(&header.alg) {
        return Err(Error::invalid("its algorithm is not allowed"));
    }
    if header.typ.as_ref().is_some_and(|typ| !TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ))) {
        return Err(Error::invalid("it has another type"));
    }
    if header.jwk.is_some() || header.jku.is_some() || header.x5c.is_some() || header.x5u.is_some() {
        return Err(Error::invalid("it contains its own key"));
    }
    if header.crit.is_some() {
        return Err(Error::invalid("it requires an extension that is not supported"));
    }
    Ok(header)
}

/// Verifies the signature of a token with the keys. The claims are checked later, because the library would compare
/// them with the machine's clock.
fn signed(token: &str, header: &Header, keys: &Keys) -> Result<Sent, Error> {
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let mut sent = Err(Error::invalid("no key of the issuer matches"));
    for key in keys.fitting(header.kid.as_deref(), header.alg) {
        sent = decode(token, key, &validation).map(|token| token.claims).map_err(Error::invalid);
        if sent.is_ok() {
            break;
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_named_to_the_letter_and_found_beneath() {
        let discovery = "https://login.example.com/realms/a/.well-known/openid-configuration";
        for name in ["https://login.example.com/realms/a", "https://login.example.com/realms/a/"] {
            let issuer: Issuer = name.parse().unwrap();
            assert_eq!((issuer.as_str(), issuer.discovery().as_str()), (name, discovery));
        }
        for name in ["", "login", "http://login.example.com", "https://a:b@login.example.com", "https://login/#a"] {
            assert!(name.parse::<Issuer>().is_err(), "{name}");
        }
    }
}
