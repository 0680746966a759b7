//! The issuer's keys, kept: fetched when they are needed and rarely enough, whatever tokens come along.

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

/// So long keys are used without asking whether they are still the issuer's.
const FRESH: TimeDelta = TimeDelta::minutes(10);

/// So long they are used when the issuer does not answer.
const KEPT: TimeDelta = TimeDelta::hours(1);

/// The least time from one question to the next: nobody is to make this service hammer the issuer.
const PAUSE: TimeDelta = TimeDelta::seconds(10);

/// For each of the two documents.
const TIMEOUT: Duration = Duration::from_secs(5);

/// More than either document has.
const MOST: usize = 256 * 1024;

pub(super) struct Cache {
    issuer: Issuer,
    allowed: Vec<Algorithm>,
    client: Client,
    state: Mutex<State>,
    /// Whose turn it is to ask the issuer.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    /// The keys, and when they were asked for.
    keys: Option<(Arc<Keys>, DateTime<Utc>)>,
    asked_at: Option<DateTime<Utc>>,
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Call(#[from] outbound::Error),
    #[error("the answer is not what it should be: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("the document found there is of another issuer: {0:?}")]
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

    /// The keys as of now, those that are enough for a token if the issuer has them.
    pub(super) async fn keys(
        self: &Arc<Self>,
        are_enough: impl Fn(&Keys) -> bool,
        now: DateTime<Utc>,
    ) -> Result<Arc<Keys>, Error> {
        // One asks. The others wait for the answer only if they can do nothing without it.
        let is_known = self.state().within(KEPT, now).is_some_and(|keys| are_enough(keys));
        let turn = Arc::clone(&self.turn);
        let turn = if is_known { turn.try_lock_owned().ok() } else { Some(turn.lock_owned().await) };
        if let Some(turn) = turn
            && self.state().is_to_ask(&are_enough, now)
        {
            // The question is everybody's: it goes on when the client that it was asked for goes away.
            let asking = tokio::spawn(Arc::clone(self).refresh(turn, now).in_current_span());
            // When it panics, it has been logged, and there are no new keys.
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
    /// The keys, if they are not older than this.
    fn within(&self, age: TimeDelta, now: DateTime<Utc>) -> Option<&Arc<Keys>> {
        self.keys.as_ref().filter(|(_, at)| is_within(age, *at, now)).map(|(keys, _)| keys)
    }

    fn is_to_ask(&self, are_enough: impl Fn(&Keys) -> bool, now: DateTime<Utc>) -> bool {
        let is_current = self.within(FRESH, now).is_some_and(|keys| are_enough(keys));
        !is_current && !self.asked_at.is_some_and(|at| is_within(PAUSE, at, now))
    }

    /// The keys, if they decide about a token. Where they are not enough they do only when the issuer has answered
    /// last time: it may have a new one.
    fn answer(&self, are_enough: impl Fn(&Keys) -> bool, now: DateTime<Utc>) -> Option<Arc<Keys>> {
        let has_answered = self.keys.as_ref().map(|(_, at)| *at) == self.asked_at;
        self.within(KEPT, now).filter(|keys| has_answered || are_enough(keys)).cloned()
    }
}

/// Whether an instant is so near. Whoever puts the machine's clock back is not to wait for the old time.
fn is_within(span: TimeDelta, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - at).abs() < span
}
