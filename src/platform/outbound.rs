//! Outgoing HTTP requests: one function creates all clients, so that the same rules apply to all requests.

pub mod guarded;

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, StatusCode, Url};
use rustls::ClientConfig;

use crate::platform::tls;

/// The user agent of the service.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The errors of outgoing requests.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// TLS cannot be configured.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The client cannot be created, or there was no complete response in time.
    #[error("{}", with_causes(.0))]
    Call(#[from] reqwest::Error),
    /// The response is not a success. Redirects are not followed, and count as errors.
    #[error("the response is {0}")]
    Status(StatusCode),
    /// The response is too long.
    #[error("the response has more than {0} bytes")]
    TooLong(usize),
}

/// Returns a builder for clients with the rules for all requests: TLS with the certificate authorities of the machine,
/// no redirects, no proxy from the environment, and a timeout. Callers can add more, such as a choice of addresses with
/// [`ClientBuilder::dns_resolver`]. That resolver is not called for a URL with an IP address instead of a name.
///
/// # Errors
/// TLS cannot be configured.
pub fn builder(timeout: Duration) -> Result<ClientBuilder, Error> {
    let tls = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(tls::authorities())
        .with_no_client_auth();
    Ok(Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .no_proxy()
        .timeout(timeout)
        .user_agent(USER_AGENT))
}

/// Reads the body of a successful response, of at most `most` bytes.
///
/// # Errors
/// The response is not a success, too long, or incomplete.
pub async fn body(mut answer: Response, most: usize) -> Result<Vec<u8>, Error> {
    if !answer.status().is_success() {
        return Err(Error::Status(answer.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > most {
            return Err(Error::TooLong(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether nobody on the network can read or change data that is sent to a URL: https, or http that stays on this
/// machine.
#[must_use]
pub fn is_confidential(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

/// Adds the causes, because reqwest's error alone says only where it happened.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_confidential() {
        let is = |url: &str| is_confidential(&url.parse().unwrap());
        assert!(is("https://login.example.com/a") && is("HTTPS://10.0.0.1:8443"));
        assert!(
            is("http://localhost:1") && is("http://127.0.0.1") && is("http://127.8.9.1:80/a") && is("http://[::1]:1")
        );
        for other in ["http://login.example.com", "http://localhost.example.com", "http://10.0.0.1", "http://[::2]"] {
            assert!(!is(other), "{other}");
        }
        assert!(!is("ftp://localhost/") && !is("file:///etc/passwd") && !is("data:,x"));
    }
}
