//! The HTTP client of the tests.

/// A client without TLS. reqwest requires a crypto provider anyway, and would read the machine's certificates each
/// time.
pub fn http() -> reqwest::Client {
    let tls = rustls::ClientConfig::builder_with_provider(partner_platform::platform::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}
