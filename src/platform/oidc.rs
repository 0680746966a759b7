//! OpenID Connect: the tokens of an issuer, verified and understood. Its keys are fetched and kept here.

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

/// More than any token has.
const LONGEST: usize = 8 * 1024;

/// What tokens of access and of identity call themselves, if anything. Others that the same keys sign, as for
/// logging out, are no proof of who asks.
const TYPES: &[&str] = &["JWT", "at+jwt", "application/at+jwt"];

/// What an issuer's tokens have to be like.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who issues them.
    pub issuer: Issuer,
    /// Whom they are for.
    pub audience: String,
    /// The claim that has the role.
    pub role_claim: String,
    /// The claim that has the id of the user's reseller, or says that the user is the partner's own.
    pub reseller_claim: String,
    /// How they may be signed.
    pub algorithms: Vec<Algorithm>,
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whom the issuer means: 1 to 255 characters, none of control.
    pub subject: String,
    /// What the subject may do.
    pub role: Role,
    /// The reseller whom the subject works for; the partner when there is none.
    pub reseller_id: Option<ResellerId>,
}

/// Why a token is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no good; why is for the log alone.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// It is the issuer's, and does not tell whom its user works for: who has it may know.
    #[error(
        "The claim `{claim}` of this token does not name the user's reseller. Let the issuer put the reseller's id \
         there, or `{PARTNER}` for users of the provider."
    )]
    Unassigned {
        /// The claim that has to tell.
        claim: String,
    },
    /// The issuer's keys cannot be had, so nobody can tell.
    #[error("the keys of the issuer cannot be had")]
    Unavailable,
}

impl Error {
    fn invalid(reason: impl ToString) -> Self {
        Self::Invalid(reason.to_string())
    }
}

/// An issuer: its address as its tokens have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    text: String,
    discovery: Url,
}

impl Issuer {
    /// The name, to the letter.
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
            return Err("an issuer is reached by https, or by http on this machine".to_owned());
        }
        if text.contains(['?', '#']) || !discovery.username().is_empty() || discovery.password().is_some() {
            return Err("an issuer's address has no account, query or fragment".to_owned());
        }
        Ok(Self { text: text.to_owned(), discovery })
    }
}

/// The algorithm of a name, if tokens may be signed by it: where the same key signs and verifies, whoever can
/// verify could sign.
///
/// # Errors
/// There is none, or it is not asymmetric.
pub fn algorithm(name: &str) -> Result<Algorithm, String> {
    let algorithm = name.parse().ok().filter(|algorithm: &Algorithm| algorithm.family() != AlgorithmFamily::Hmac);
    algorithm.ok_or_else(|| "none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA".to_owned())
}

/// Verifies tokens of one issuer.
#[derive(Clone)]
pub struct Oidc(Arc<Inner>);

struct Inner {
    settings: Settings,
    cache: Arc<Cache>,
}

impl Oidc {
    /// Gets ready; the issuer is asked when the first token comes.
    ///
    /// # Errors
    /// No calls can be made to the outside.
    pub fn new(settings: Settings) -> Result<Self, outbound::Error> {
        signature::install();
        let cache = Arc::new(Cache::new(settings.issuer.clone(), settings.algorithms.clone())?);
        Ok(Self(Arc::new(Inner { settings, cache })))
    }

    /// What a token says, if it is good now.
    ///
    /// # Errors
    /// It is not, or the issuer's keys cannot be had.
    pub async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, Error> {
        let Inner { settings, cache } = &*self.0;
        // What cannot be good costs no question.
        let header = header(token, &settings.algorithms)?;
        let id = header.kid.as_deref();
        let keys = cache.keys(|keys| keys.has(id), now).await?;
        let sent = match signed(token, &header, &keys) {
            // It may be signed by a new key: it does not say by which.
            Err(_) if id.is_none() => signed(token, &header, &*cache.keys(|_| false, now).await?),
            sent => sent,
        };
        sent?.check(settings, now)
    }
}

/// The head of a token, if it is one that is understood to the end.
fn header(token: &str, allowed: &[Algorithm]) -> Result<Header, Error> {
    if token.len() > LONGEST {
        return Err(Error::invalid("it is too long"));
    }
    let header = decode_header(token).map_err(Error::invalid)?;
    if !allowed.contains(&header.alg) {
        return Err(Error::invalid("its algorithm is not allowed"));
    }
    if header.typ.as_ref().is_some_and(|typ| !TYPES.iter().any(|known| known.eq_ignore_ascii_case(typ))) {
        return Err(Error::invalid("it is of another type"));
    }
    if header.jwk.is_some() || header.jku.is_some() || header.x5c.is_some() || header.x5u.is_some() {
        return Err(Error::invalid("it brings a key of its own"));
    }
    if header.crit.is_some() {
        return Err(Error::invalid("it demands what is not understood here"));
    }
    Ok(header)
}

/// What one of the keys has signed. What it means is not looked at here, least of all by the machine's clock.
fn signed(token: &str, header: &Header, keys: &Keys) -> Result<Sent, Error> {
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let mut sent = Err(Error::invalid("no key of the issuer fits"));
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
