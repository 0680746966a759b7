//! API keys: made once, shown once, kept as a hash.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::{Context, Error, Result};
use crate::db::Db;
use crate::domain::access::Role;
use crate::domain::id::ResellerId;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::domain::text::KeyName;
use crate::store::api_keys::{self, ApiKey, Presented};
use crate::store::{self, resellers};

/// What every key starts with, so that it is recognised where it should not be.
pub const PREFIX: &str = "ppk_";

const SECRET_BYTES: usize = 32;

/// Makes a key, the partner's or a reseller's, and answers its secret.
///
/// # Errors
/// There is no such reseller.
pub async fn create(cx: &Context, role: Role, reseller_id: Option<ResellerId>, name: KeyName) -> Result<SecretString> {
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| store::Error::Unavailable(format!("randomness: {error}")))?;
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    cx.write(async |tx| {
        if let Some(id) = reseller_id
            && resellers::find(tx, cx.actor.scope, id).await?.is_none()
        {
            let detail = format!("There is no reseller {id}.");
            let violation = Violation::new("/reseller_id", ViolationCode::UnknownReference, detail);
            return Err(Error::from(Refusal::from(violation)));
        }
        let key = ApiKey { id: cx.new_id(), name, role, reseller_id, secret_sha256: hash(&secret), created_at: cx.at };
        Ok(api_keys::insert(tx, key).await?)
    })
    .await?;
    Ok(secret.into())
}

/// The key with a secret, if there is one.
///
/// # Errors
/// The database fails.
pub async fn find(db: &Db, secret: &str) -> Result<Option<Presented>> {
    // What cannot be a key costs no query.
    let random = secret.strip_prefix(PREFIX).and_then(|random| URL_SAFE_NO_PAD.decode(random).ok());
    if random.is_none_or(|random| random.len() != SECRET_BYTES) {
        return Ok(None);
    }
    db.statement(async |conn| Ok(api_keys::find(conn, &hash(secret)).await?)).await
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

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
