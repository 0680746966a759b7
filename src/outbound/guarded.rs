//! Calls to addresses that others name. They go to addresses that are permitted, and nowhere else: a name is asked
//! for when it is called, and it is called at what was found permitted, so that it does not help to change it in
//! between.

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response};

use super::{Error, builder};
use crate::domain::text::WebhookUrl;
use crate::domain::webhook::address::Addresses;

/// For a call, all in all.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection is kept for the next call.
const IDLE: Duration = Duration::from_secs(10);

/// How much of an answer is read, so that its connection can be used again.
const MOST_READ: usize = 4096;

/// How long the reason of a failure is.
const MOST_SAID: usize = 200;

/// Makes calls to addresses that others name.
#[derive(Clone)]
pub struct Caller {
    addresses: Addresses,
    https: Client,
    /// To addresses that the operator allows alone.
    http: Client,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// What is answered, or in few words why nothing is.
    pub answer: Result<Answered, String>,
    /// How long it took.
    pub duration: Duration,
}

/// What matters of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, as it is.
    pub retry_after: Option<String>,
}

impl Caller {
    /// A caller to these addresses, which finds names as the machine does.
    ///
    /// # Errors
    /// TLS cannot be had as it should be.
    pub fn new(addresses: Addresses) -> Result<Self, Error> {
        Self::with_names(addresses, Arc::new(Machine))
    }

    /// A caller that finds names by other means.
    ///
    /// # Errors
    /// TLS cannot be had as it should be.
    pub fn with_names(addresses: Addresses, names: Arc<dyn Resolve>) -> Result<Self, Error> {
        let client = |permits: fn(&Addresses, IpAddr) -> bool| {
            let guard = Guard { names: names.clone(), addresses: addresses.clone(), permits };
            Ok::<_, Error>(builder(TIMEOUT)?.pool_idle_timeout(IDLE).dns_resolver(guard))
        };
        let https = client(Addresses::permit)?.https_only(true).build()?;
        let http = client(Addresses::allow)?.build()?;
        Ok(Self { addresses, https, http })
    }

    /// Which addresses may be called.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Posts a message.
    pub async fn post(&self, url: &WebhookUrl, headers: HeaderMap, body: Vec<u8>) -> Called {
        let started = Instant::now();
        let answer = match self.addresses.check(url) {
            Ok(url) => {
                let client = if url.scheme() == "https" { &self.https } else { &self.http };
                client.post(url).headers(headers).body(body).send().await.map_err(|error| why(&error))
            }
            Err(violation) => Err(violation.detail),
        };
        let answer = match answer {
            Ok(answer) => Ok(finish(answer).await),
            Err(error) => Err(error),
        };
        Called { answer, duration: started.elapsed() }
    }
}

/// Reads what there is to read. Whether it comes whole says nothing of what was answered.
async fn finish(mut answer: Response) -> Answered {
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut read = 0;
    while read < MOST_READ
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        read += chunk.len();
    }
    Answered { status: answer.status().as_u16(), retry_after }
}

/// Why there is no answer: what went wrong first, without the address that it was about.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("There was no answer within {} seconds.", TIMEOUT.as_secs());
    }
    let mut cause: &dyn StdError = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let said = cause.to_string();
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_SAID).collect()
}

/// A name leads nowhere that may be called.
#[derive(Debug, thiserror::Error)]
#[error("The name leads to an address that may not be called.")]
struct NotPermitted;

/// Finds of a name what may be called.
struct Guard {
    names: Arc<dyn Resolve>,
    addresses: Addresses,
    permits: fn(&Addresses, IpAddr) -> bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.names.resolve(name);
        let (addresses, permits) = (self.addresses.clone(), self.permits);
        Box::pin(async move {
            let permitted: Vec<SocketAddr> = found.await?.filter(|at| permits(&addresses, at.ip())).collect();
            if permitted.is_empty() { Err(NotPermitted.into()) } else { Ok(Box::new(permitted.into_iter()) as Addrs) }
        })
    }
}

/// Finds names as the machine does.
struct Machine;

impl Resolve for Machine {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is that of the URL.
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
