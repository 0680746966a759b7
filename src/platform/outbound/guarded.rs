//! Calls to addresses that others name. They go to addresses that are permitted, and nowhere else: a name is asked
//! for when it is called, and it is called at what was found permitted, so that it does not help to change it in
//! between.

use std::cell::Cell;
use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Request, Response};
use tokio::sync::Semaphore;
use tower::util::MapResponseLayer;

use super::{Error, builder};
use crate::domain::text::WebhookUrl;
use crate::domain::webhooks::address::Addresses;

/// For a call, all in all.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection is kept for the next call.
const IDLE: Duration = Duration::from_secs(10);

/// The most connections to a host that are kept for the next calls: as many as there are at once to a webhook endpoint.
const MOST_IDLE: usize = 4;

/// The most names that are looked up at once.
pub const MOST_LOOKUPS: usize = 200;

/// How much of an answer is read, so that its connection can be used again.
const MOST_READ: usize = 4096;

/// How long the reason of a failure is.
const MOST_SAID: usize = 200;

/// Makes calls to addresses that others name.
#[derive(Clone)]
pub struct Caller {
    addresses: Addresses,
    https: Clients,
    /// To addresses that the operator allows alone.
    http: Clients,
}

/// The two ways to get a connection.
#[derive(Clone)]
struct Clients {
    /// Uses a connection that was kept after an earlier call, if there is one.
    keeping: Client,
    /// Opens a connection for each call.
    fresh: Client,
}

tokio::task_local! {
    /// Whether the call has opened a connection. If not, it uses one that was kept.
    static HAS_CONNECTED: Cell<bool>;
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
        Self::with_names(addresses, Arc::new(Machine { lookups: Arc::new(Semaphore::new(MOST_LOOKUPS)) }))
    }

    /// A caller that finds names by other means.
    ///
    /// # Errors
    /// TLS cannot be had as it should be.
    pub fn with_names(addresses: Addresses, names: Arc<dyn Resolve>) -> Result<Self, Error> {
        let client = |permits: fn(&Addresses, IpAddr) -> bool, https_only, most_idle| {
            let guard = Guard { names: names.clone(), addresses: addresses.clone(), permits };
            let client = builder(TIMEOUT)?.pool_idle_timeout(IDLE).pool_max_idle_per_host(most_idle);
            // When a kept connection becomes free while one is being opened, the call uses that, and the other one is
            // opened in another task: so this is noted when it is open.
            let note_connection = MapResponseLayer::new(|connection| {
                let _ = HAS_CONNECTED.try_with(|has_connected| has_connected.set(true));
                connection
            });
            Ok::<_, Error>(client.dns_resolver(guard).connector_layer(note_connection).https_only(https_only).build()?)
        };
        let clients = |permits, https_only| {
            let keeping = client(permits, https_only, MOST_IDLE)?;
            Ok::<_, Error>(Clients { keeping, fresh: client(permits, https_only, 0)? })
        };
        let https = clients(Addresses::permit, true)?;
        let http = clients(Addresses::allow, false)?;
        Ok(Self { addresses, https, http })
    }

    /// Which addresses may be called.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Posts a message. It may arrive twice: a closed connection is tried once more.
    pub async fn post(&self, url: &WebhookUrl, headers: HeaderMap, body: Vec<u8>) -> Called {
        let started = Instant::now();
        let answer = match self.addresses.check(url) {
            Ok(url) => {
                let clients = if url.scheme() == "https" { &self.https } else { &self.http };
                let request = clients.keeping.post(url).headers(headers).body(body).build();
                let answer = async { clients.call(request?, started).await };
                answer.await.map_err(|error| why(&error))
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

impl Clients {
    /// Makes a call, and makes it again on a fresh connection if its connection was kept from an earlier call and was
    /// closed without a response. That says nothing of the receiver: it may have closed the connection, being idle, just
    /// when the request was sent. It is safe where the receiver recognizes a message that it has seen before.
    async fn call(&self, request: Request, started: Instant) -> Result<Response, reqwest::Error> {
        let again = request.try_clone();
        let first = async {
            let answer = self.keeping.execute(request).await;
            (answer, HAS_CONNECTED.with(Cell::get))
        };
        match (HAS_CONNECTED.scope(Cell::new(false), first).await, again) {
            ((Err(error), false), Some(mut again)) if is_closed(&error) => {
                *again.timeout_mut() = Some(TIMEOUT.saturating_sub(started.elapsed()));
                self.fresh.execute(again).await
            }
            ((answer, _), _) => answer,
        }
    }
}

/// Whether the receiver closed the connection before there was a response. One whose head was cut off counts as none:
/// hyper reports both alike, and there is no status in either.
fn is_closed(error: &reqwest::Error) -> bool {
    let is_reset = |cause: &io::Error| {
        matches!(cause.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
    };
    let first: &(dyn StdError + 'static) = error;
    let is_cause = |cause: &(dyn StdError + 'static)| {
        cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
            || cause.downcast_ref::<io::Error>().is_some_and(is_reset)
    };
    !error.is_connect() && std::iter::successors(Some(first), |&cause| cause.source()).any(is_cause)
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
struct Machine {
    lookups: Arc<Semaphore>,
}

impl Resolve for Machine {
    fn resolve(&self, name: Name) -> Resolving {
        let lookups = self.lookups.clone();
        Box::pin(async move {
            let slot = lookups.acquire_owned().await?;
            // The machine's resolver cannot be interrupted: a lookup has a thread and files until it ends, also when
            // the call has been given up. So it is the lookup that keeps the slot.
            let lookup = tokio::spawn(async move {
                // The port is that of the URL.
                let found = tokio::net::lookup_host((name.as_str(), 0)).await.map(Vec::from_iter);
                drop(slot);
                found
            });
            Ok(Box::new(lookup.await??.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lookup_keeps_its_slot_until_it_ends_also_when_its_call_is_given_up() {
        let lookups = Arc::new(Semaphore::new(1));
        let machine = Machine { lookups: lookups.clone() };
        let mut call = machine.resolve("localhost".parse().unwrap());
        // As far as it gets without waiting; then it is given up.
        let waited = tokio::time::timeout(Duration::ZERO, &mut call).await;
        drop(call);
        assert_eq!(lookups.available_permits(), usize::from(waited.is_ok()));
        assert!(
            machine.resolve("localhost".parse().unwrap()).await.unwrap().next().is_some(),
            "the next one has its turn"
        );
        assert_eq!(lookups.available_permits(), 1);
    }
}
