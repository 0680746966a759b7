//! Lists, creates, edits, rotates and revokes API keys. The secret is shown once and stored as a hash. Nobody can
//! create or change a key with more rights than their own.

use chrono::{DateTime, TimeDelta, Utc};
use tokio::try_join;

use super::work::{Entity, Saved, refused};
use super::{Context, Error, Named, Precondition, Result, found};
use crate::domain::authorization::{Right, Role, Scope};
use crate::domain::credentials::api_key::{
    ApiKey, ApiKeyFilter, ApiKeyStatus, Command, Details, Fingerprint, MOST_LIVE_KEYS,
};
use crate::domain::credentials::secret::{RANDOM_BYTES, Secret};
use crate::domain::id::{ApiKeyId, ResellerId, Version};
use crate::domain::listing::{Page, Window};
use crate::domain::machine::{Outcome, Possibility};
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::domain::text::{KeyName, Reason};
use crate::store::{self, Conn, Write, api_keys, resellers};

/// The properties of a new key.
pub struct NewApiKey {
    /// The purpose of the key.
    pub name: KeyName,
    pub role: Role,
    /// The reseller that the key belongs to. If `None`, the key belongs to the tenant of its creator.
    pub partner_id: Option<ResellerId>,
    /// When the key expires. A key without an expiry date never expires.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Lists the API keys in the tenant, newest first.
///
/// # Errors
/// The filter names a resource that does not exist.
pub async fn list(cx: &Context, filter: &ApiKeyFilter, window: &Window) -> Result<Page<ApiKey>> {
    let named = [("partner_id", Named::Reseller(filter.partner_id))];
    cx.db
        .statement(async |conn| {
            cx.checked(conn, &named, api_keys::list(conn, cx.actor.scope, filter, cx.at, window)).await
        })
        .await
}

/// Returns the API key.
///
/// # Errors
/// The API key does not exist.
pub async fn get(cx: &Context, id: ApiKeyId) -> Result<ApiKey> {
    cx.db.statement(async |conn| found(api_keys::find(conn, cx.actor.scope, id).await?, "API key")).await
}

/// Creates a key of the provider or of a reseller, and returns its secret.
///
/// # Errors
/// The reseller does not exist, the key would have more rights than its creator, or another rule denies it.
pub async fn create(cx: &Context, new: NewApiKey) -> Result<(ApiKey, Secret)> {
    let secret = new_secret()?;
    let fingerprint = Fingerprint::from(&secret);
    let NewApiKey { name, role, partner_id, expires_at } = new;
    let partner_id = partner_id.or(cx.actor.scope.reseller());
    let details = Details { name, expires_at };
    let key = cx
        .write(async |work| {
            let scope = cx.actor.scope;
            let reseller = async {
                match partner_id {
                    Some(id) => Ok(Some(resellers::find(work.conn, scope, id).await?.map(|_| id).ok_or(id))),
                    None => Ok::<_, Error>(None),
                }
            };
            let live = async { Ok(api_keys::count_live(work.conn, partner_id, cx.at).await?) };
            let (reseller, live) = try_join!(biased; reseller, live)?;
            if let Some(Err(id)) = reseller {
                let detail = format!("No reseller {id} is visible to you. Check the id.");
                let violation = Violation::new("/partner_id", ViolationCode::UnknownReference, detail);
                return Err(Error::from(Refusal::from(violation)));
            }
            cx.actor.check_grant(role, partner_id)?;
            check_room(live)?;
            let created_by = cx.actor.label();
            let key = ApiKey::create(cx.new_id(), details, role, partner_id, fingerprint, created_by, cx.at)?;
            work.write([api_keys::insert(&key)]);
            work.record(cx, [Saved::new(cx, None, &key)]);
            Ok(key)
        })
        .await?;
    Ok((key, secret))
}

/// Edits the name and the expiry date of a key.
///
/// # Errors
/// The API key does not exist, has another version, or a rule denies the change.
pub async fn update(
    cx: &Context,
    id: ApiKeyId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<ApiKey> {
    change(cx, id, precondition, |key| key.edit(edit(key.details.clone()), cx.at)).await
}

/// Creates a new secret for a key and returns it. The old secret stays valid for the time of `overlap`.
///
/// # Errors
/// The API key does not exist, has another version, or a rule denies the change.
pub async fn rotate(
    cx: &Context,
    id: ApiKeyId,
    precondition: &Precondition,
    overlap: TimeDelta,
) -> Result<(ApiKey, Secret)> {
    let secret = new_secret()?;
    let rotate = Command::Rotate { secret: Fingerprint::from(&secret), overlap };
    let key = change(cx, id, precondition, |key| key.apply(rotate, cx.at)).await?;
    Ok((key, secret))
}

/// Revokes a key permanently.
///
/// # Errors
/// The API key does not exist, or has another version.
pub async fn revoke(cx: &Context, id: ApiKeyId, precondition: &Precondition, reason: Option<Reason>) -> Result<ApiKey> {
    change(cx, id, precondition, |key| key.apply(Command::Revoke { reason }, cx.at)).await
}

async fn change(
    cx: &Context,
    id: ApiKeyId,
    precondition: &Precondition,
    change: impl FnOnce(&ApiKey) -> std::result::Result<Outcome<ApiKey>, Refusal>,
) -> Result<ApiKey> {
    cx.write(async |work| {
        let key: ApiKey = work.lock(cx, id, precondition).await?;
        cx.actor.check_grant(key.role, key.partner_id)?;
        let outcome = change(&key).map_err(|refusal| refused(cx, &key, refusal))?;
        if let Outcome::Changed(changed) = &outcome {
            if key.status(cx.at) != ApiKeyStatus::Active && changed.status(cx.at) == ApiKeyStatus::Active {
                check_room(api_keys::count_live(work.conn, key.partner_id, cx.at).await?)?;
            }
            cx.change_access();
        }
        Ok(work.save(cx, key, outcome))
    })
    .await
}

/// Checks that a tenant that has this number of live keys may create another one.
fn check_room(live: i64) -> Result<()> {
    if live >= MOST_LIVE_KEYS { Err(Refusal::TooManyApiKeys(MOST_LIVE_KEYS).into()) } else { Ok(()) }
}

impl Entity for ApiKey {
    type Id = ApiKeyId;

    const NAME: &'static str = "API key";

    async fn lock(conn: &Conn, scope: Scope, id: ApiKeyId) -> store::Result<Option<Self>> {
        api_keys::lock(conn, scope, id).await
    }

    fn version(&self) -> Version {
        self.version
    }

    fn possibilities(&self, cx: &Context) -> Vec<(Right, Possibility)> {
        self.possibilities(cx.at)
    }

    fn rows(&self, _: &Context, _: &Self) -> Vec<Write> {
        vec![api_keys::save(self)]
    }
}

fn new_secret() -> Result<Secret> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|error| store::Error::Unavailable(format!("randomness: {error}")))?;
    Ok(Secret::new(random))
}
