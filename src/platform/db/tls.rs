//! TLS to PostgreSQL: the requirements of `sslmode`, `sslrootcert`, `sslcert` and `sslkey`, for rustls.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, InconsistentKeys, RootCertStore, SignatureScheme};

use super::connect::TargetError;
use crate::platform::tls;

/// The required level of TLS, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Mode {
    pub(super) fn parse(name: &str) -> Result<Self, TargetError> {
        match name {
            "disable" => Ok(Self::Disable),
            "allow" | "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(TargetError::SslMode),
        }
    }
}

/// The parameters that tokio-postgres does not support, or not completely.
#[derive(Default)]
pub(super) struct Ssl {
    pub(super) mode: Option<Mode>,
    pub(super) rootcert: Option<String>,
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
}

impl Ssl {
    /// The mode in effect: if `sslrootcert` is given, the certificate is verified.
    pub(super) fn mode(&self) -> Result<Mode, TargetError> {
        match (self.mode, self.rootcert.as_deref()) {
            (None | Some(Mode::VerifyFull), Some("system")) => Ok(Mode::VerifyFull),
            (Some(_), Some("system")) => Err(TargetError::SystemRootsUnnamed),
            (Some(Mode::Require), Some(_)) => Ok(Mode::VerifyCa),
            (mode, _) => Ok(mode.unwrap_or(Mode::Prefer)),
        }
    }

    pub(super) fn client_config(&self, mode: Mode) -> Result<ClientConfig, TargetError> {
        let provider = tls::provider();
        let verifier = self.verifier(mode, provider.signature_verification_algorithms)?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) if mode > Mode::Disable => {
                let identity = identity(cert, key, &provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
            (Some(_), None) | (None, Some(_)) => return Err(TargetError::ClientCertificate),
            _ => builder.with_no_client_auth(),
        };
        // Servers require this with `sslnegotiation=direct`.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(config)
    }

    fn verifier(&self, mode: Mode, algorithms: WebPkiSupportedAlgorithms) -> Result<Verifier, TargetError> {
        let mut verifier = Verifier { mode, algorithms, roots: RootCertStore::empty(), given: Vec::new() };
        match self.rootcert.as_deref() {
            _ if mode < Mode::VerifyCa => {}
            None | Some("system") => {
                verifier.roots = tls::authorities();
                if verifier.roots.is_empty() {
                    return Err(TargetError::NoSystemRoots);
                }
            }
            Some(file) => {
                verifier.given = certificates("sslrootcert", file)?;
                for root in &verifier.given {
                    let added = verifier.roots.add(root.clone());
                    added.map_err(|e| TargetError::File("sslrootcert", e.into()))?;
                }
            }
        }
        Ok(verifier)
    }
}

/// A client certificate with its key. rustls would parse the certificate and so reject X.509 v1, although it only has
/// to be sent.
fn identity(cert: &str, key: &str, provider: &CryptoProvider) -> Result<CertifiedKey, TargetError> {
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| TargetError::File("sslkey", e.into()))?;
    let key = provider.key_provider.load_private_key(key).map_err(|e| TargetError::File("sslkey", e.into()))?;
    let identity = CertifiedKey::new(certificates("sslcert", cert)?, key);
    match identity.keys_match() {
        Err(e @ rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(TargetError::File("sslcert with sslkey", e.into()))
        }
        _ => Ok(identity),
    }
}

/// The certificates in the PEM file of a parameter; at least one.
fn certificates(parameter: &'static str, file: &str) -> Result<Vec<CertificateDer<'static>>, TargetError> {
    match CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(certificates) if certificates.is_empty() => {
            Err(TargetError::File(parameter, pem::Error::NoItemsFound.into()))
        }
        read => read.map_err(|e| TargetError::File(parameter, e.into())),
    }
}

/// Verifies the certificate of a server to the extent that the mode requires.
#[derive(Debug)]
struct Verifier {
    mode: Mode,
    algorithms: WebPkiSupportedAlgorithms,
    roots: RootCertStore,
    /// The roots as given in `sslrootcert`.
    given: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Whether a certificate is accepted although webpki cannot even read its key: X.509 v1, which openssl created by
    /// default for a long time. In this case nothing authenticates the server, not even channel binding.
    fn takes_unread(&self, certificate: &CertificateDer<'_>) -> bool {
        self.mode < Mode::VerifyCa && ParsedCertificate::try_from(certificate).is_err()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.mode < Mode::VerifyCa {
            return Ok(ServerCertVerified::assertion());
        }
        let server = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(&server, &self.roots, intermediates, now, algorithms) {
            // Most self-signed certificates are marked as an authority. webpki rejects that for a server, after it has
            // checked the dates. If the certificate is one of the roots, it is trusted.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) if self.given.contains(end_entity) => {}
            chain => chain?,
        }
        if self.mode == Mode::VerifyFull {
            verify_server_name(&server, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    // The server must prove that it has the key of its certificate, even if any certificate is accepted: SCRAM binds
    // the password to the certificate.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.takes_unread(cert) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.takes_unread(cert) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
