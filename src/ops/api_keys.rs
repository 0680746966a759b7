//! API keys: made once, shown once, kept as a hash. Nobody makes or changes one that can do more than they can.

use chrono::{DateTime, TimeDelta, Utc};

use super::record::Saved;
use super::{Context, Error, Named, Precondition, Result, found};
use crate::domain::access::Role;
use crate::domain::api_key::{ApiKey, ApiKeyStatus, Command, Details, Fingerprint, MOST_LIVE_KEYS};
use crate::domain::id::{ApiKeyId, ResellerId};
use crate::domain::listing::{ApiKeyFilter, Page, Window};
use crate::domain::machine::Outcome;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::domain::secret::{RANDOM_BYTES, Secret};
use crate::domain::text::{KeyName, Reason};
use crate::store::{self, Conn, api_keys, resellers};

/// What a new key is made of.
pub struct NewApiKey {
    /// What it is for.
    pub name: KeyName,
    /// What it may do.
    pub role: Role,
    /// Whose it is; left out, that of whoever makes it.
    pub partner_id: Option<ResellerId>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Keys in the tenant, newest first.
///
/// # Errors
/// The filter names what is not there.
pub async fn list(cx: &Context, filter: &ApiKeyFilter, window: &Window) -> Result<Page<ApiKey>> {
    cx.db
        .statement(async |conn| {
            cx.check_filter(conn, &[("partner_id", Named::Reseller(filter.partner_id))]).await?;
            Ok(api_keys::list(conn, cx.actor.scope, filter, cx.at, window).await?)
        })
        .await
}

/// A key.
///
/// # Errors
/// Not found.
pub async fn get(cx: &Context, id: ApiKeyId) -> Result<ApiKey> {
    cx.db.statement(async |conn| found(api_keys::find(conn, cx.actor.scope, id).await?, "API key")).await
}

/// Makes a key, the partner's or a reseller's, and answers its secret.
///
/// # Errors
/// There is no such reseller, the key could do more than who makes it, or what the domain refuses.
pub async fn create(cx: &Context, new: NewApiKey) -> Result<(ApiKey, Secret)> {
    let secret = new_secret()?;
    let fingerprint = Fingerprint::from(&secret);
    let NewApiKey { name, role, partner_id, expires_at } = new;
    let partner_id = partner_id.or(cx.actor.scope.reseller());
    let details = Details { name, expires_at };
    let key = cx
        .write(async |tx| {
            if let Some(id) = partner_id
                && resellers::find(tx, cx.actor.scope, id).await?.is_none()
            {
                let detail = format!("There is no reseller {id} that you can see.");
                let violation = Violation::new("/partner_id", ViolationCode::UnknownReference, detail);
                return Err(Error::from(Refusal::from(violation)));
            }
            cx.actor.check_grant(role, partner_id)?;
            check_room(tx, cx, partner_id).await?;
            let created_by = cx.actor.label();
            let key = ApiKey::create(cx.new_id(), details, role, partner_id, fingerprint, created_by, cx.at)?;
            api_keys::insert(tx, &key).await?;
            cx.record(tx, [Saved::new(cx, None, &key)]).await?;
            Ok(key)
        })
        .await?;
    Ok((key, secret))
}

/// Edits a key's name and end.
///
/// # Errors
/// Not found, another version, or what the domain refuses.
pub async fn update(
    cx: &Context,
    id: ApiKeyId,
    precondition: &Precondition,
    edit: impl FnOnce(Details) -> Details,
) -> Result<ApiKey> {
    change(cx, id, precondition, |key| key.edit(edit(key.details.clone()), cx.at)).await
}

/// Gives a key another secret and answers it; the one of before goes on for a while.
///
/// # Errors
/// Not found, another version, or what the domain refuses.
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

/// Ends a key for good.
///
/// # Errors
/// Not found, or another version.
pub async fn revoke(cx: &Context, id: ApiKeyId, precondition: &Precondition, reason: Option<Reason>) -> Result<ApiKey> {
    change(cx, id, precondition, |key| key.apply(Command::Revoke { reason }, cx.at)).await
}

async fn change(
    cx: &Context,
    id: ApiKeyId,
    precondition: &Precondition,
    change: impl FnOnce(&ApiKey) -> std::result::Result<Outcome<ApiKey>, Refusal>,
) -> Result<ApiKey> {
    cx.write(async |tx| {
        let key = found(api_keys::lock(tx, cx.actor.scope, id).await?, "API key")?;
        precondition.check(key.version)?;
        cx.actor.check_grant(key.role, key.partner_id)?;
        match change(&key).map_err(|refusal| refused(cx, &key, refusal))? {
            Outcome::Unchanged => Ok(key),
            Outcome::Changed(changed) => {
                if key.status(cx.at) != ApiKeyStatus::Active && changed.status(cx.at) == ApiKeyStatus::Active {
                    check_room(tx, cx, key.partner_id).await?;
                }
                api_keys::save(tx, &changed).await?;
                cx.record(tx, [Saved::new(cx, Some(&key), &changed)]).await?;
                cx.change_access();
                Ok(changed)
            }
        }
    })
    .await
}

/// Succeeds when a tenant may have one more live key.
async fn check_room(tx: &Conn, cx: &Context, tenant: Option<ResellerId>) -> Result<()> {
    if api_keys::count_live(tx, tenant, cx.at).await? >= MOST_LIVE_KEYS {
        return Err(Refusal::TooManyApiKeys(MOST_LIVE_KEYS).into());
    }
    Ok(())
}

fn refused(cx: &Context, key: &ApiKey, refusal: Refusal) -> Error {
    let offers = match refusal {
        Refusal::InvalidTransition { .. } => cx.actor.offers(key.possibilities(cx.at)),
        _ => Vec::new(),
    };
    Error::Refused { refusal, offers }
}

fn new_secret() -> Result<Secret> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|error| store::Error::Unavailable(format!("randomness: {error}")))?;
    Ok(Secret::new(random))
}
