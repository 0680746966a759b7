//! One connection to PostgreSQL, from the connection string that libpq reads.
//!
//! tokio-postgres encrypts but leaves the server's certificate to the TLS library. What `sslmode`,
//! `sslrootcert`, `sslcert` and `sslkey` mean to libpq is here:
//!
//! | `sslmode`           | TLS                      | certificate                                           |
//! |---------------------|--------------------------|-------------------------------------------------------|
//! | `disable`           | never                    |                                                       |
//! | `allow`, `prefer`   | if the server offers it  | any                                                   |
//! | `require`           | always                   | any; with `sslrootcert`, as for `verify-ca`           |
//! | `verify-ca`         | always                   | must chain to a root                                  |
//! | `verify-full`       | always                   | must chain to a root and name the host                |
//!
//! It differs from libpq in that
//! - `allow` is `prefer`, the default, and neither goes back to plain text after TLS has failed;
//! - without `sslrootcert` the roots are the operating system's, not `~/.postgresql/root.crt`;
//! - the host must be among the certificate's alternative names: a common name is not looked at;
//! - a root must be an authority: a server certificate that is its own root and marked as one is refused;
//! - the files are read once, at start.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, iter};

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where and how to reach the server; parsed once at start so that a bad URL fails there.
#[derive(Clone)]
pub struct Target {
    config: Config,
    tls: MakeRustlsConnect,
    connect_timeout: Duration,
}

/// Why a connection string is of no use. Never quotes it: any part may belong to a mistyped password.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A parameter, counted from 1.
    #[error("parameter {0} is unknown, or its value cannot be read")]
    Parameter(usize),
    /// What comes before the parameters of a URL.
    #[error("the user, host, port or database cannot be read")]
    Authority,
    /// libpq would take its default socket, a place which depends on how it was built.
    #[error("the host is missing")]
    Host,
    /// `sslmode` has another value.
    #[error("sslmode is none of disable, allow, prefer, require, verify-ca, verify-full")]
    SslMode,
    /// Anyone can have a certificate from a public authority: without the host it proves nothing.
    #[error("sslrootcert=system needs sslmode=verify-full")]
    SystemRootsUnnamed,
    /// Direct negotiation gives the server no occasion to say that it has no TLS.
    #[error("sslnegotiation=direct needs sslmode=require or stronger")]
    DirectUnrequired,
    /// One is there without the other.
    #[error("sslcert and sslkey must be given together")]
    ClientCertificate,
    /// The file that a parameter names.
    #[error("{0}: {1}")]
    File(&'static str, #[source] pem::Error),
    /// The file of a parameter is PEM, but its content does not serve.
    #[error("{0}: {1}")]
    Content(&'static str, #[source] rustls::Error),
    /// The operating system has no root certificates, or none that can be read.
    #[error("no root certificates in the operating system: name a file in sslrootcert")]
    NoSystemRoots,
    /// The TLS library refuses its own configuration.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Target {
    /// Reads a connection string in either form of libpq, URL or `key=value`, and the files it names.
    ///
    /// `connect_timeout` bounds all of [`connect`](Self::connect). `session` is set on every
    /// connection; the `options` of the string come after it and win.
    pub fn parse(url: &str, connect_timeout: Duration, session: &[(&str, String)]) -> Result<Self, TargetError> {
        let (mut config, ssl) = split(url)?;
        // An address alone is its own name: what the certificate has to show.
        if config.get_hosts().is_empty() {
            for address in config.get_hostaddrs().to_vec() {
                config.host(address.to_string());
            }
        }
        let hosts = config.get_hosts();
        if hosts.is_empty() || hosts.contains(&Host::Tcp(String::new())) {
            return Err(TargetError::Host);
        }

        let mut mode = ssl.mode()?;
        if config.get_ssl_negotiation() == SslNegotiation::Direct && mode < Mode::Require {
            return Err(TargetError::DirectUnrequired);
        }
        // PostgreSQL has no TLS on sockets. With an address next to it, a socket's path is only a label.
        if config.get_hostaddrs().is_empty() && hosts.iter().all(|host| matches!(host, Host::Unix(_))) {
            mode = Mode::Disable;
        }
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });

        let session = session.iter().map(|(name, value)| format!("-c {name}={}", escape(value)));
        let options = session.chain(config.get_options().map(str::to_owned)).collect::<Vec<_>>().join(" ");
        config.options(options);
        Ok(Self { config, tls: MakeRustlsConnect::new(ssl.client_config(mode)?), connect_timeout })
    }

    /// Opens a connection. The server's name, TCP, TLS and authentication together take no longer
    /// than the timeout.
    pub async fn connect(&self) -> ConnectionResult<AsyncPgConnection> {
        let connect = async {
            let connected = self.config.connect(self.tls.clone()).await;
            let (client, connection) = connected.map_err(|e| ConnectionError::BadConnection(with_causes(&e)))?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        };
        tokio::time::timeout(self.connect_timeout, connect).await.unwrap_or_else(|_| {
            Err(ConnectionError::BadConnection(format!("no connection within {:?}", self.connect_timeout)))
        })
    }
}

/// Shows nothing of the connection string, for the reason that [`TargetError`] does not.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("connect_timeout", &self.connect_timeout).finish_non_exhaustive()
    }
}

/// tokio-postgres names the step that failed and leaves the reason to the causes.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let errors = iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Makes one word of a value within `options`, where white space separates and a backslash escapes.
fn escape(value: &str) -> String {
    let special = |c: char| c.is_whitespace() || c == '\\';
    value.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Takes the parameters of [`Ssl`] out of a connection string and has tokio-postgres read the rest.
fn split(url: &str) -> Result<(Config, Ssl), TargetError> {
    let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let (base, parameters) = if is_url { url_parameters(url) } else { ("", pairs(url)) };
    // tokio-postgres also reads each name and value, as if it were a database: an escape then
    // means the same in the parameters taken out as in those left in. The `@` ends an empty user.
    let prefix = if is_url { "postgres://@?" } else { "" };
    let decode = |text: &str| {
        let config: Config = format!("{prefix}dbname={text}").parse().ok()?;
        config.get_dbname().map(str::to_owned)
    };

    let mut ssl = Ssl::default();
    let mut rest = Vec::new();
    for (parameter, number) in parameters.into_iter().zip(1..) {
        let pair = parameter.split_once('=').and_then(|(name, value)| Some((decode(name)?, decode(value)?)));
        let (name, value) = pair.ok_or(TargetError::Parameter(number))?;
        match name.as_str() {
            "sslmode" => ssl.mode = Some(Mode::parse(&value)?),
            "sslrootcert" => ssl.rootcert = Some(value).filter(|value| !value.is_empty()),
            "sslcert" => ssl.cert = Some(value).filter(|value| !value.is_empty()),
            "sslkey" => ssl.key = Some(value).filter(|value| !value.is_empty()),
            _ if format!("{prefix}{parameter}").parse::<Config>().is_ok() => rest.push(parameter),
            _ => return Err(TargetError::Parameter(number)),
        }
    }
    // tokio-postgres would take an `@` for the end of the password even here.
    let rest = if is_url { format!("{base}?{}", rest.join("&").replace('@', "%40")) } else { rest.join(" ") };
    Ok((rest.parse().map_err(|_| TargetError::Authority)?, ssl))
}

/// A URL up to its `?`, and the parameters after it. A `?` in the password is not the one.
fn url_parameters(url: &str) -> (&str, Vec<&str>) {
    let password_end = url.match_indices('/').nth(2).map_or(url, |(path, _)| &url[..path]).find('@').unwrap_or(0);
    let Some(query) = url[password_end..].find('?').map(|at| password_end + at) else {
        return (url, Vec::new());
    };
    (&url[..query], url[query + 1..].split('&').filter(|parameter| !parameter.is_empty()).collect())
}

/// The pairs of the `key=value` form, where a value may be quoted.
fn pairs(text: &str) -> Vec<&str> {
    let rests = iter::successors(Some(text.trim_start()), |rest| Some(rest[pair_len(rest)..].trim_start()));
    rests.take_while(|rest| !rest.is_empty()).map(|rest| &rest[..pair_len(rest)]).collect()
}

/// How long the first pair is: to the quote that closes its value, or to white space.
fn pair_len(pairs: &str) -> usize {
    let Some(equals) = pairs.find('=') else { return pairs.len() };
    let value = pairs[equals + 1..].trim_start();
    let quoted = value.starts_with('\'');
    let mut escaped = false;
    let end = value.char_indices().skip(usize::from(quoted)).find(|&(_, c)| {
        let ends = !escaped && if quoted { c == '\'' } else { c.is_whitespace() };
        escaped = !escaped && c == '\\';
        ends
    });
    let value_len = end.map_or(value.len(), |(at, _)| at + usize::from(quoted));
    pairs.len() - value.len() + value_len
}

/// What `sslmode` demands, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Mode {
    fn parse(name: &str) -> Result<Self, TargetError> {
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

/// The parameters that tokio-postgres does not know, or not in full.
#[derive(Default)]
struct Ssl {
    mode: Option<Mode>,
    rootcert: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

impl Ssl {
    /// The mode in effect: a root asks for verification by being there.
    fn mode(&self) -> Result<Mode, TargetError> {
        match (self.mode, self.rootcert.as_deref()) {
            (None | Some(Mode::VerifyFull), Some("system")) => Ok(Mode::VerifyFull),
            (Some(_), Some("system")) => Err(TargetError::SystemRootsUnnamed),
            (Some(Mode::Require), Some(_)) => Ok(Mode::VerifyCa),
            (mode, _) => Ok(mode.unwrap_or(Mode::Prefer)),
        }
    }

    fn client_config(&self, mode: Mode) -> Result<ClientConfig, TargetError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match mode {
            Mode::VerifyFull => builder.with_root_certificates(self.roots()?),
            _ => {
                let roots = if mode == Mode::VerifyCa { Some(self.roots()?) } else { None };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyHost { roots, provider }))
            }
        };
        let mut config = match (&self.cert, &self.key) {
            _ if mode == Mode::Disable => builder.with_no_client_auth(),
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|e| TargetError::File("sslkey", e))?;
                let config = builder.with_client_auth_cert(certificates("sslcert", cert)?, key);
                config.map_err(|e| TargetError::Content("sslcert, sslkey", e))?
            }
            _ => return Err(TargetError::ClientCertificate),
        };
        // With `sslnegotiation=direct` the server insists on it.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, TargetError> {
        let mut roots = RootCertStore::empty();
        match self.rootcert.as_deref() {
            None | Some("system") => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(TargetError::NoSystemRoots);
                }
            }
            Some(file) => {
                for certificate in certificates("sslrootcert", file)? {
                    roots.add(certificate).map_err(|e| TargetError::Content("sslrootcert", e))?;
                }
            }
        }
        Ok(roots)
    }
}

/// The certificates in the PEM file of a parameter: at least one.
fn certificates(parameter: &'static str, file: &str) -> Result<Vec<CertificateDer<'static>>, TargetError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(TargetError::File(parameter, pem::Error::NoItemsFound)),
        read => read.map_err(|e| TargetError::File(parameter, e)),
    }
}

/// Takes a server's certificate for whatever host it was made: one that chains to the roots, or any
/// at all if there are none.
#[derive(Debug)]
struct AnyHost {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl AnyHost {
    /// Whether not even the key can be had from a certificate: rustls reads no X.509 v1, which
    /// servers with a certificate of their own making often have. Where any will do, so does this.
    fn takes_unread(&self, certificate: &CertificateDer<'_>) -> bool {
        self.roots.is_none() && ParsedCertificate::try_from(certificate).is_err()
    }
}

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    // That the server has the key of its certificate matters even where any certificate will do:
    // SCRAM binds the password exchange to the certificate.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.takes_unread(cert) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
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
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
