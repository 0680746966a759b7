//! The cached keys of the issuer. They are fetched when they are needed, but not too often, whatever tokens arrive.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::Algorithm;
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::sync::OwnedMutexGuard;
use tracing::Instrument;

use super::keys::Keys;
use super::{Error, Issuer};
use crate::platform::outbound;

/// How long keys are used without asking the issuer whether they are still valid.
const FRESH: TimeDelta = TimeDelta::minutes(10);

/// How long keys are used if the issuer does not respond.
const KEPT: TimeDelta = TimeDelta::hours(1);

/// The minimum time between two requests to the issuer, so that invalid tokens cannot cause many of them.
const PAUSE: TimeDelta = TimeDelta::seconds(10);

/// The timeout for each of the two documents.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum size of a document. No real document is larger.
const MOST: usize = 256 * 1024;

pub(super) struct Cache {
    issuer: Issuer,
    allowed: Vec<Algorithm>,
    client: Client,
    state: Mutex<State>,
    /// Held by the task that fetches the keys.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    /// The keys, and when they were requested.
    keys: Option<(Arc<Keys>, DateTime<Utc>)>,
    asked_at: Option<DateTime<Utc>>,
}

/// Why the keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Call(#[from] outbound::Error),
    #[error("the response is invalid: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("the document is from another issuer: {0:?}")]
    OtherIssuer(String),
    #[error("the address of the keys is neither https nor on this machine: {0:?}")]
    Address(String),
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Cache {
    pub(super) fn new(issuer: Issuer, allowed: Vec<Algorithm>) -> Result<Self, outbound::Error> {
        let client = outbound::builder(TIMEOUT)?.build()?;
        Ok(Self { issuer, allowed, client, state: Mutex::default(), turn: Arc::default() })
    }

    /// Returns the current keys. Fetches them first if they are old, or not sufficient for a token.
    pub(super) async fn keys(
        self: &Arc<Self>,
        are_enough: impl Fn(&Keys) -> bool,
        now: DateTime<Utc>,
    ) -> Result<Arc<Keys>, Error> {
        // Only one task fetches the keys. The others wait for it only if they cannot continue with the cached keys.
        let is_known = self.state().within(KEPT, now).is_some_and(|keys| are_enough(keys));
        let turn = Arc::clone(&self.turn);
        let turn = if is_known { turn.try_lock_owned().ok() } else { Some(turn.lock_owned().await) };
        if let Some(turn) = turn
            && self.state().is_to_ask(&are_enough, now)
        {
            // All tasks need the result, so the fetch continues if the client that caused it disconnects.
            let asking = tokio::spawn(Arc::clone(self).refresh(turn, now).in_current_span());
            // If it panics, this was logged, and there are no new keys.
            let _ = asking.await;
        }
        self.state().answer(&are_enough, now).ok_or(Error::Unavailable)
    }

    async fn refresh(self: Arc<Self>, _turn: OwnedMutexGuard<()>, now: DateTime<Utc>) {
        self.state().asked_at = Some(now);
        match self.fetch().await {
            Ok(keys) => self.state().keys = Some((Arc::new(keys), now)),
            Err(error) => {
                let issuer = self.issuer.as_str();
                tracing::warn!(issuer, %error, "cannot fetch the keys of the OpenID Connect issuer");
            }
        }
    }

    async fn fetch(&self) -> Result<Keys, Trouble> {
        let discovery: Discovery = serde_json::from_slice(&self.get(self.issuer.discovery()).await?)?;
        if discovery.issuer != self.issuer.as_str() {
            return Err(Trouble::OtherIssuer(discovery.issuer));
        }
        let keys: Option<Url> = discovery.jwks_uri.parse().ok().filter(outbound::is_confidential);
        let keys = keys.ok_or(Trouble::Address(discovery.jwks_uri))?;
        Ok(Keys::parse(&self.get(keys).await?, &self.allowed)?)
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>, outbound::Error> {
        outbound::body(self.client.get(url).send().await?, MOST).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the keys if they are not older than `age`.
    fn within(&self, age: TimeDelta, now: DateTime<Utc>) -> Option<&Arc<Keys>> {
        self.keys.as_ref().filter(|(_, at)| is_within(age, *at, now)).map(|(keys, _)| keys)
    }

    fn is_to_ask(&self, are_enough: impl Fn(&Keys) -> bool, now: DateTime<Utc>) -> bool {
        let is_current = self.within(FRESH, now).is_some_and(|keys| are_enough(keys));
        !is_current && !self.asked_at.is_some_and(|at| is_within(PAUSE, at, now))
    }

    /// Returns the keys if they are sufficient to accept or reject a token. Keys that do not include the one of the
    /// token are sufficient only if the last fetch succeeded: otherwise the issuer may have a new key.
    fn answer(&self, are_enough: impl Fn(&Keys) -> bool, now: DateTime<Utc>) -> Option<Arc<Keys>> {
        let has_answered = self.keys.as_ref().map(|(_, at)| *at) == self.asked_at;
        self.within(KEPT, now).filter(|keys| has_answered || are_enough(keys)).cloned()
    }
}

/// Whether an instant is less than `span` away, in either direction, so that setting back the machine's clock does not
/// block requests to the issuer.
fn is_within(span: TimeDelta, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - at).abs() < span
}
