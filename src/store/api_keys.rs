use chrono::{DateTime, Utc};
use diesel::dsl::case_when;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;
use tokio::try_join;

use super::run::{Statement, Write};
use super::schema::{api_key_uses, api_keys};
use super::{Conn, Error, Result};
use crate::domain::authorization::{Role, Scope};
use crate::domain::credentials::api_key::{ApiKey, ApiKeyFilter, ApiKeyStatus, Details, Fingerprint, Rotation, State};
use crate::domain::credentials::secret::{Hint, SecretHash};
use crate::domain::id::{ApiKeyId, ResellerId, Version};
use crate::domain::listing::{Page, Position, SortValue, Window};
use crate::domain::text::{KeyName, Reason};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = api_keys, treat_none_as_default_value = false, treat_none_as_null = true, check_for_backend(diesel::pg::Pg))]
struct Row {
    id: ApiKeyId,
    name: KeyName,
    role: Role,
    reseller_id: Option<ResellerId>,
    secret_sha256: Vec<u8>,
    created_at: DateTime<Utc>,
    prefix: Option<String>,
    last_four: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    rotated_at: Option<DateTime<Utc>>,
    previous_sha256: Option<Vec<u8>>,
    previous_last_four: Option<String>,
    previous_valid_until: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    revoked_reason: Option<Reason>,
    created_by: String,
    version: Version,
    updated_at: DateTime<Utc>,
}

/// A key, and when it was last used.
type Found = (Row, Option<DateTime<Utc>>);

/// The columns of [`Found`].
macro_rules! found {
    () => {{
        let uses = api_key_uses::table.filter(api_key_uses::api_key_id.eq(api_keys::id));
        (Row::as_select(), uses.select(api_key_uses::last_used_at).single_value())
    }};
}

impl From<&ApiKey> for Row {
    fn from(key: &ApiKey) -> Self {
        let (hint, rotated) = (key.secret.hint.as_ref(), key.rotated.as_ref());
        let (revoked_at, revoked_reason) = match &key.state {
            State::Open => (None, None),
            State::Revoked { at, reason } => (Some(*at), reason.clone()),
        };
        Self {
            id: key.id,
            name: key.details.name.clone(),
            role: key.role,
            reseller_id: key.partner_id,
            secret_sha256: key.secret.hash.0.to_vec(),
            created_at: key.created_at,
            prefix: hint.map(|hint| hint.prefix.clone()),
            last_four: hint.map(|hint| hint.last_four.clone()),
            expires_at: key.details.expires_at,
            rotated_at: rotated.map(|rotated| rotated.at),
            previous_sha256: rotated.map(|rotated| rotated.previous.0.to_vec()),
            previous_last_four: rotated.and_then(|rotated| rotated.previous_last_four.clone()),
            previous_valid_until: rotated.map(|rotated| rotated.previous_ends_at),
            revoked_at,
            revoked_reason,
            created_by: key.created_by.clone(),
            version: key.version,
            updated_at: key.updated_at,
        }
    }
}

impl TryFrom<Found> for ApiKey {
    type Error = Error;

    fn try_from((row, last_used_at): Found) -> Result<Self> {
        let hint = row.prefix.zip(row.last_four).map(|(prefix, last_four)| Hint { prefix, last_four });
        let rotated = match (row.rotated_at, row.previous_sha256, row.previous_valid_until) {
            (Some(at), Some(previous), Some(previous_ends_at)) => Some(Rotation {
                at,
                previous: hash(previous)?,
                previous_last_four: row.previous_last_four,
                previous_ends_at,
            }),
            _ => None,
        };
        let state = match row.revoked_at {
            None => State::Open,
            Some(at) => State::Revoked { at, reason: row.revoked_reason },
        };
        Ok(Self {
            id: row.id,
            details: Details { name: row.name, expires_at: row.expires_at },
            role: row.role,
            partner_id: row.reseller_id,
            secret: Fingerprint { hash: hash(row.secret_sha256)?, hint },
            rotated,
            state,
            last_used_at,
            created_by: row.created_by,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

fn hash(bytes: Vec<u8>) -> Result<SecretHash> {
    let hash = bytes.try_into().map(SecretHash);
    hash.map_err(|_| Error::Corrupt { table: "api_keys", reason: "a hash has the wrong length" })
}

/// The keys in scope; the provider has all keys in scope.
fn ids_in_scope(scope: Scope) -> api_keys::BoxedQuery<'static, diesel::pg::Pg, diesel::sql_types::Uuid> {
    let query = api_keys::table.select(api_keys::id).into_boxed();
    match scope.reseller() {
        None => query,
        Some(own) => query.filter(api_keys::reseller_id.eq(own)),
    }
}

/// Returns a key in scope.
pub async fn find(mut conn: &Conn, scope: Scope, id: ApiKeyId) -> Result<Option<ApiKey>> {
    let query = api_keys::table.find(id).filter(api_keys::id.eq_any(ids_in_scope(scope))).select(found!());
    query.first::<Found>(&mut conn).await.optional()?.map(ApiKey::try_from).transpose()
}

/// Returns a key in scope, and locks it against changes until the transaction ends.
pub async fn lock(mut conn: &Conn, scope: Scope, id: ApiKeyId) -> Result<Option<ApiKey>> {
    // The filter stands next to the lock, so that a key out of scope is not waited for. The last use of a key is in
    // another table, so it can be written meanwhile.
    let query = api_keys::table.find(id).filter(api_keys::id.eq_any(ids_in_scope(scope))).select(found!());
    query.for_no_key_update().first::<Found>(&mut conn).await.optional()?.map(ApiKey::try_from).transpose()
}

/// Lists keys in scope, newest first, with their status at an instant.
pub async fn list(
    mut conn: &Conn,
    scope: Scope,
    filter: &ApiKeyFilter,
    at: DateTime<Utc>,
    window: &Window,
) -> Result<Page<ApiKey>> {
    let mut query = api_keys::table.order(api_keys::id.desc()).limit(window.limit + 1).select(found!()).into_boxed();
    if let Some(own) = scope.reseller() {
        query = query.filter(api_keys::reseller_id.eq(own));
    }
    if !filter.status.is_empty() {
        let revoked = api_keys::revoked_at.is_not_null();
        let status = case_when(revoked, ApiKeyStatus::Revoked.into_sql::<Text>())
            .when(api_keys::expires_at.le(at), ApiKeyStatus::Expired.into_sql::<Text>())
            .otherwise(ApiKeyStatus::Active.into_sql::<Text>());
        query = query.filter(status.eq_any(&filter.status));
    }
    if !filter.role.is_empty() {
        query = query.filter(api_keys::role.eq_any(&filter.role));
    }
    if let Some(partner_id) = filter.partner_id {
        query = query.filter(api_keys::reseller_id.eq(partner_id));
    }
    if let Some(after) = &window.after {
        query = query.filter(api_keys::id.lt(after.id));
    }
    let rows: Vec<Found> = query.load(&mut conn).await?;
    let position = |(row, _): &Found| Position { value: SortValue::Id, id: row.id.0 };
    Page::cut(rows, window.limit, position).try_map(ApiKey::try_from)
}

/// Counts the keys of a tenant that are valid at an instant, neither revoked nor expired. Concurrent counts of the same
/// tenant wait until this transaction ends.
pub async fn count_live(mut conn: &Conn, tenant: Option<ResellerId>, at: DateTime<Utc>) -> Result<i64> {
    let name = tenant.map_or_else(|| "provider".to_owned(), |id| id.to_string());
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('API keys of ' || $1, 15))";
    let lock = diesel::sql_query(lock).bind::<Text, _>(name).run(conn);
    let live = api_keys::table
        .filter(api_keys::reseller_id.is_not_distinct_from(tenant))
        .filter(api_keys::revoked_at.is_null())
        .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(at)));
    let (_, count) = try_join!(biased; lock, live.count().get_result(&mut conn))?;
    Ok(count)
}

/// Inserts a key.
#[must_use]
pub fn insert(key: &ApiKey) -> Write {
    diesel::insert_into(api_keys::table).values(Row::from(key)).later()
}

/// Updates a key that was locked.
#[must_use]
pub fn save(key: &ApiKey) -> Write {
    diesel::update(api_keys::table.find(key.id)).set(Row::from(key)).later()
}
