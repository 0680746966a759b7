//! What the credential of a request permits, with the version of the credentials. Only for the service itself: these
//! functions take no scope, because scopes are made from their results.

use chrono::{DateTime, Utc};
use diesel::dsl::SingleValue;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::rows::{self, record};
use super::run::Write;
use super::schema::{access_version, api_key_uses, api_keys, resellers};
use super::{Conn, Error, Result};
use crate::domain::authorization::Role;
use crate::domain::credentials::credential::Credential;
use crate::domain::credentials::secret::SecretHash;
use crate::domain::id::{ApiKeyId, ResellerId, Version};
use crate::domain::parties::reseller::ResellerStatus;

#[derive(Queryable)]
struct Row {
    id: ApiKeyId,
    role: Role,
    reseller_id: Option<ResellerId>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    secret_sha256: Vec<u8>,
    rotated_at: Option<DateTime<Utc>>,
    previous_valid_until: Option<DateTime<Utc>>,
    disabled_at: Option<DateTime<Utc>>,
    version: Option<Version>,
}

/// The version as part of another query, so that both come from the same snapshot of the data.
fn current() -> SingleValue<diesel::dsl::Select<access_version::table, access_version::version>> {
    access_version::table.select(access_version::version).single_value()
}

fn present(version: Option<Version>) -> Result<Version> {
    version.ok_or(Error::Corrupt { table: "access_version", reason: "the row is missing" })
}

/// The version of all credentials. It increases with each change of an API key or of a reseller's status.
pub async fn version(mut conn: &Conn) -> Result<Version> {
    present(access_version::table.select(access_version::version).first(&mut conn).await.optional()?)
}

/// Returns the credential that has a secret, and the version.
pub async fn credential(mut conn: &Conn, secret: &SecretHash) -> Result<Option<(Credential, Version)>> {
    let hash = secret.0.to_vec();
    let row: Option<Row> = api_keys::table
        .left_join(resellers::table)
        .filter(api_keys::secret_sha256.nullable().eq(&hash).or(api_keys::previous_sha256.eq(&hash)))
        .select((
            api_keys::id,
            api_keys::role,
            api_keys::reseller_id,
            api_keys::expires_at,
            api_keys::revoked_at,
            api_keys::secret_sha256,
            api_keys::rotated_at,
            api_keys::previous_valid_until,
            resellers::disabled_at.nullable(),
            current(),
        ))
        .first(&mut conn)
        .await
        .optional()?;
    row.map(|row| {
        // A secret that was replaced without a transition period has ended, even for an instance whose clock is behind
        // the clock of the instance that rotated it.
        let end_of = |end| if Some(end) > row.rotated_at { end } else { DateTime::<Utc>::MIN_UTC };
        let credential = Credential {
            id: row.id,
            role: row.role,
            partner_id: row.reseller_id,
            is_revoked: row.revoked_at.is_some(),
            expires_at: row.expires_at,
            secret_ends_at: row.previous_valid_until.filter(|_| row.secret_sha256 != hash).map(end_of),
            reseller_is_disabled: row.disabled_at.is_some(),
        };
        Ok((credential, present(row.version)?))
    })
    .transpose()
}

/// Whether a reseller is enabled, and the version.
pub async fn reseller(mut conn: &Conn, id: ResellerId) -> Result<Option<(ResellerStatus, Version)>> {
    let query = resellers::table.find(id).select((resellers::disabled_at.is_null(), current()));
    let row: Option<(bool, Option<Version>)> = query.first(&mut conn).await.optional()?;
    row.map(|(works, version)| {
        let status = if works { ResellerStatus::Enabled } else { ResellerStatus::Disabled };
        Ok((status, present(version)?))
    })
    .transpose()
}

/// The last use of a key.
struct Use {
    api_key_id: ApiKeyId,
    last_used_at: DateTime<Utc>,
}

record!(Use in api_key_uses: key(api_key_id) fixed() rest(last_used_at));

/// Records when keys were last used. The later instant is kept, because another instance may have recorded a later use.
#[must_use]
pub fn save_uses(uses: &[(ApiKeyId, DateTime<Utc>)]) -> Write {
    rows::own(
        "INSERT INTO api_key_uses AS known (api_key_id, last_used_at) SELECT api_key_id, last_used_at FROM $rows \
         ON CONFLICT (api_key_id) DO UPDATE SET last_used_at = greatest(known.last_used_at, excluded.last_used_at)",
        uses.iter().map(|&(api_key_id, last_used_at)| Use { api_key_id, last_used_at }),
    )
}
