//! TLS for outgoing connections: the implementation of the cryptography, and the certificate authorities that this
//! machine trusts.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};

/// The implementation of the cryptography.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificate authorities that the machine trusts; empty if it has no list of them.
#[must_use]
pub fn authorities() -> RootCertStore {
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    authorities
}
