//! API keys, by the hash of their secret.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::schema::{api_keys, resellers};
use super::{Conn, Result};
use crate::domain::access::Role;
use crate::domain::id::{ApiKeyId, ResellerId};
use crate::domain::text::KeyName;

/// A key as it is kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys, check_for_backend(diesel::pg::Pg))]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: KeyName,
    /// What it may do.
    pub role: Role,
    /// Whose it is; the partner's when there is none.
    pub reseller_id: Option<ResellerId>,
    /// SHA-256 of the secret.
    pub secret_sha256: Vec<u8>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What a presented key amounts to.
pub struct Presented {
    /// The key.
    pub key: ApiKey,
    /// Whether its reseller is disabled.
    pub reseller_disabled: bool,
}

/// The key with a secret. Comparing hashes in an index tells an attacker nothing of 256 random bits.
///
/// # Errors
/// The database fails.
pub async fn find(conn: &mut Conn, secret_sha256: &[u8]) -> Result<Option<Presented>> {
    let row: Option<(ApiKey, Option<DateTime<Utc>>)> = api_keys::table
        .left_join(resellers::table)
        .filter(api_keys::secret_sha256.eq(secret_sha256))
        .select((ApiKey::as_select(), resellers::disabled_at.nullable()))
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(|(key, disabled_at)| Presented { key, reseller_disabled: disabled_at.is_some() }))
}

/// Writes a new key.
///
/// # Errors
/// The database fails.
pub async fn insert(conn: &mut Conn, key: ApiKey) -> Result<()> {
    diesel::insert_into(api_keys::table).values(key).execute(conn).await?;
    Ok(())
}
