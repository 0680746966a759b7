//! HTTP requests to URLs that tenants choose. They are sent only to permitted addresses. A name is resolved for each
//! connection, and the connection is made to the address that was checked. So changing the DNS record after the check
//! has no effect.

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

/// The timeout for a complete request.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(10);

/// The maximum number of idle connections to a host: as many as there are concurrent messages to a webhook endpoint.
const MOST_IDLE: usize = 4;

/// The maximum number of concurrent DNS lookups.
pub const MOST_LOOKUPS: usize = 200;

/// The maximum number of bytes of a response that are read, so that its connection can be used again.
const MOST_READ: usize = 4096;

/// The maximum length of the reason of a failure.
const MOST_SAID: usize = 200;

/// Sends requests to URLs that tenants choose.
#[derive(Clone)]
pub struct Caller {
    addresses: Addresses,
    https: Clients,
    /// Only for addresses that the operator allows explicitly.
    http: Clients,
}

/// Two clients with different ways to get a connection.
#[derive(Clone)]
struct Clients {
    /// Reuses an idle connection, if there is one.
    keeping: Client,
    /// Opens a new connection for each request.
    fresh: Client,
}

tokio::task_local! {
    /// Whether the request has opened a connection. If not, it has reused an idle one.
    static HAS_CONNECTED: Cell<bool>;
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The response, or a short reason why there is none.
    pub answer: Result<Answered, String>,
    pub duration: Duration,
}

/// The relevant parts of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub status: u16,
    /// The value of `Retry-After`, unchanged.
    pub retry_after: Option<String>,
}

impl Caller {
    /// Creates a caller for these addresses that resolves names with the resolver of the machine.
    ///
    /// # Errors
    /// TLS cannot be configured.
    pub fn new(addresses: Addresses) -> Result<Self, Error> {
        Self::with_names(addresses, Arc::new(Machine { lookups: Arc::new(Semaphore::new(MOST_LOOKUPS)) }))
    }

    /// Creates a caller that resolves names with another resolver.
    ///
    /// # Errors
    /// TLS cannot be configured.
    pub fn with_names(addresses: Addresses, names: Arc<dyn Resolve>) -> Result<Self, Error> {
        let client = |permits: fn(&Addresses, IpAddr) -> bool, https_only, most_idle| {
            let guard = Guard { names: names.clone(), addresses: addresses.clone(), permits };
            let client = builder(TIMEOUT)?.pool_idle_timeout(IDLE).pool_max_idle_per_host(most_idle);
            // If an idle connection becomes available while a new one is being opened, the request uses the idle one,
            // and the new one is opened in another task. Therefore the flag is set only when the connection is open.
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

    /// The addresses that may be called.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Posts a message. It may arrive twice, because it is sent again if an idle connection was closed.
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
    /// Sends a request. Sends it again on a new connection if it reused an idle connection, and this was closed without
    /// a response. That is not an error of the receiver: it may have closed the idle connection just when the request
    /// was sent. Sending again is safe, because receivers recognize a message that they have already received.
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

/// Whether the receiver closed the connection before it sent a response. An incomplete response head counts as no
/// response: hyper reports both in the same way, and neither has a status.
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

/// Reads the rest of the response. It does not matter whether this succeeds.
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

/// Returns why there is no response: the innermost cause, without the URL.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("There was no response within {} seconds.", TIMEOUT.as_secs());
    }
    let mut cause: &dyn StdError = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let said = cause.to_string();
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_SAID).collect()
}

/// The name does not resolve to a permitted address.
#[derive(Debug, thiserror::Error)]
#[error("The host name does not resolve to an allowed address.")]
struct NotPermitted;

/// Resolves names to permitted addresses only.
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

/// Resolves names with the resolver of the machine.
struct Machine {
    lookups: Arc<Semaphore>,
}

impl Resolve for Machine {
    fn resolve(&self, name: Name) -> Resolving {
        let lookups = self.lookups.clone();
        Box::pin(async move {
            let slot = lookups.acquire_owned().await?;
            // The resolver of the machine cannot be interrupted: a lookup occupies a thread and files until it ends,
            // even if the request was cancelled. Therefore the lookup holds the permit, not the request.
            let lookup = tokio::spawn(async move {
                // The port does not matter: the client uses that of the URL.
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
        // Polls the lookup once, and then cancels it.
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
