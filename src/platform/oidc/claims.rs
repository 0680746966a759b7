//! The claims of a token (RFC 7519), checked after its signature was verified.

use std::slice;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Map, Number, Value};
use uuid::Uuid;

use super::{Claims, Error, Settings};
use crate::domain::authorization::Role;
use crate::domain::id::ResellerId;

/// The maximum difference between the clocks of the issuer and of this machine.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);

/// The maximum length of a subject (OpenID Connect Core 1.0, section 2).
const SUBJECT_LENGTH: usize = 255;

/// The value of the reseller claim for users of the provider. It is required for them, so that a missing or misnamed
/// claim cannot turn a reseller's user into a user of the provider.
pub(super) const PARTNER: &str = "partner";

/// The claims as received.
#[derive(Deserialize)]
pub(super) struct Sent {
    iss: String,
    sub: String,
    aud: Audience,
    exp: Number,
    nbf: Option<Number>,
    iat: Option<Number>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Sent {
    pub(super) fn check(self, settings: &Settings, now: DateTime<Utc>) -> Result<Claims, Error> {
        if self.iss != settings.issuer.as_str() {
            return Err(Error::invalid("it is from another issuer"));
        }
        if !self.aud.has(&settings.audience) {
            return Err(Error::invalid("it is for another audience"));
        }
        if instant(&self.exp)? <= now - LEEWAY {
            return Err(Error::invalid("it has expired"));
        }
        for start in [self.nbf, self.iat].iter().flatten() {
            if instant(start)? > now + LEEWAY {
                return Err(Error::invalid("it is not valid yet"));
            }
        }
        if !(1..=SUBJECT_LENGTH).contains(&self.sub.chars().count()) || self.sub.chars().any(char::is_control) {
            return Err(Error::invalid("its subject is invalid"));
        }
        Ok(Claims {
            role: role(self.others.get(&settings.role_claim))?,
            reseller_id: reseller(self.others.get(&settings.reseller_claim))
                .ok_or_else(|| Error::Unassigned { claim: settings.reseller_claim.clone() })?,
            subject: self.sub,
        })
    }
}

impl Audience {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Several(names) => names.iter().any(|one| one == name),
        }
    }
}

/// Reads a date in seconds, which may have a fraction.
fn instant(seconds: &Number) -> Result<DateTime<Utc>, Error> {
    let seconds = seconds.as_i64().or_else(|| seconds.as_f64().map(|seconds| seconds as i64));
    let instant = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    instant.ok_or_else(|| Error::invalid("it contains an invalid date"))
}

/// Reads the role from a name, or from a list in which exactly one name is a role. Other names are allowed in the list,
/// because the issuer may have roles for other services.
fn role(claim: Option<&Value>) -> Result<Role, Error> {
    let names = match claim {
        Some(Value::Array(names)) => names,
        Some(name) => slice::from_ref(name),
        None => &[],
    };
    let roles: Vec<Role> = names.iter().filter_map(|name| name.as_str()?.parse().ok()).collect();
    match roles[..] {
        [role] => Ok(role),
        [] => Err(Error::invalid("it has none of the roles")),
        _ => Err(Error::invalid("it has several roles")),
    }
}

/// Reads the reseller. `Some(None)` means the provider; `None` means that the claim names neither.
fn reseller(claim: Option<&Value>) -> Option<Option<ResellerId>> {
    match claim?.as_str()? {
        PARTNER => Some(None),
        id => Some(Some(ResellerId(Uuid::try_parse(id).ok()?))),
    }
}
