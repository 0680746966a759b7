//! Opens a connection to PostgreSQL, from a connection string as libpq accepts it.
//!
//! tokio-postgres leaves the check of the server's certificate to the TLS library. This module implements the meaning
//! that `sslmode`, `sslrootcert`, `sslcert` and `sslkey` have in libpq:
//!
//! | `sslmode`         | TLS                     | the server's certificate                          |
//! |-------------------|-------------------------|---------------------------------------------------|
//! | `disable`         | never                   |                                                   |
//! | `allow`, `prefer` | if the server offers it | any                                               |
//! | `require`         | always                  | any; with `sslrootcert` the same as `verify-ca`   |
//! | `verify-ca`       | always                  | chains to a root                                  |
//! | `verify-full`     | always                  | chains to a root and names the host               |
//!
//! Differences from libpq:
//! - `allow` means the same as `prefer`, the default. Neither falls back to plain text if TLS fails.
//! - Without `sslrootcert`, the roots of the operating system are used instead of `~/.postgresql/root.crt`.
//! - The host is only compared with the alternative names of the certificate, not with its common name.
//! - X.509 v1 certificates cannot be verified, so `verify-ca` and `verify-full` reject servers that have one.
//! - Unknown parameters are rejected, and there is no default host.

use std::error::Error;
use std::time::Duration;
use std::{fmt, iter};

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{Mode, Ssl};

/// The address and the parameters of the server. Parsed once at start, so that the start fails if the URL is invalid.
#[derive(Clone)]
pub struct Target {
    config: Config,
    tls: MakeRustlsConnect,
    connect_timeout: Duration,
}

/// Why a connection string is invalid. The message never quotes it, because any part may belong to a mistyped password.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The position of a parameter, counted from 1.
    #[error("parameter {0} is unknown, or its value cannot be read")]
    Parameter(usize),
    /// The part of a URL before its parameters.
    #[error("the user, host, port or database cannot be read")]
    Authority,
    /// There is no host. libpq would use its default socket, whose path depends on how libpq was built.
    #[error("the host is missing")]
    Host,
    /// `sslmode` has an unknown value.
    #[error("sslmode is none of disable, allow, prefer, require, verify-ca, verify-full")]
    SslMode,
    /// Anyone can get a certificate from a public authority. Without a check of the host name, it proves nothing.
    #[error("sslrootcert=system needs sslmode=verify-full")]
    SystemRootsUnnamed,
    /// With direct negotiation, the server cannot say that it does not support TLS.
    #[error("sslnegotiation=direct needs sslmode=require or stronger")]
    DirectUnrequired,
    /// Only one of the two is given.
    #[error("sslcert and sslkey must be given together")]
    ClientCertificate,
    /// The file in this parameter cannot be read or used.
    #[error("{0}: {1}")]
    File(&'static str, Box<dyn Error + Send + Sync>),
    /// The operating system has no root certificates, or none can be read.
    #[error("no root certificates in the operating system: name a file in sslrootcert")]
    NoSystemRoots,
    /// The TLS library rejects its configuration.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl Target {
    /// Parses a connection string in either form of libpq, URL or `key=value`, and reads the files that it names.
    ///
    /// `connect_timeout` limits the whole of [`connect`](Self::connect); the `connect_timeout` in the string limits
    /// each address. `session` is set on every connection. `options` in the string are set after `session`, and
    /// override it.
    pub fn parse(url: &str, connect_timeout: Duration, session: &[(&str, String)]) -> Result<Self, TargetError> {
        let (mut config, ssl) = split(url)?;
        // Without a host name, the certificate must contain the address.
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
        // PostgreSQL has no TLS on sockets. If there is an address too, the path of the socket is only a label.
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

    /// Opens a connection. The timeout covers name resolution, TCP, TLS and authentication together.
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

/// Contains nothing of the connection string, for the same reason as [`TargetError`].
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("connect_timeout", &self.connect_timeout).finish_non_exhaustive()
    }
}

/// The message of tokio-postgres only names the step that failed. The reason is in the sources of the error.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let errors = iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Escapes a value within `options`, where white space separates words and a backslash escapes.
fn escape(value: &str) -> String {
    let special = |c: char| c.is_whitespace() || c == '\\';
    value.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Removes the parameters of [`Ssl`] from a connection string, and lets tokio-postgres parse the rest.
fn split(url: &str) -> Result<(Config, Ssl), TargetError> {
    let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let (base, parameters) = if is_url { url_parameters(url) } else { ("", pairs(url)) };
    // tokio-postgres also parses each name and value, as if it were the name of a database. So an escape means the same
    // in removed and in remaining parameters. The `@` ends an empty user.
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
            "sslrootcert" | "sslcert" | "sslkey" if value.is_empty() => {}
            "sslrootcert" => ssl.rootcert = Some(value),
            "sslcert" => ssl.cert = Some(value),
            "sslkey" => ssl.key = Some(value),
            _ if format!("{prefix}{parameter}").parse::<Config>().is_ok() => rest.push(parameter),
            _ => return Err(TargetError::Parameter(number)),
        }
    }
    // tokio-postgres would take an `@` for the end of the password, even within a parameter.
    let rest = if is_url { rest.join("&").replace('@', "%40") } else { rest.join(" ") };
    let config = format!("{base}{rest}").parse().map_err(|_| TargetError::Authority)?;
    Ok((config, ssl))
}

/// Splits a URL at the `?` before its parameters. A `?` in the password does not count.
fn url_parameters(url: &str) -> (&str, Vec<&str>) {
    let only_scheme_before = |&at: &usize| url[..at].matches('/').count() == 2;
    let password_end = url.find('@').filter(only_scheme_before).unwrap_or(0);
    let query = url[password_end..].split_once('?').map_or("", |(_, query)| query);
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    (&url[..url.len() - query.len()], parameters.collect())
}

/// The pairs of the `key=value` form. A value may be quoted.
fn pairs(mut text: &str) -> Vec<&str> {
    let next = || {
        let (pair, rest) = text.trim_start().split_at(pair_len(text.trim_start()));
        text = rest;
        Some(pair).filter(|pair| !pair.is_empty())
    };
    iter::from_fn(next).collect()
}

/// The length of the first pair: up to the closing quote of its value, or up to white space.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Target, TargetError> {
        Target::parse(url, Duration::from_secs(1), &[])
    }

    fn refusal(url: &str) -> String {
        parse(url).unwrap_err().to_string()
    }

    #[test]
    fn both_forms_say_the_same() {
        let (url, ssl) =
            split("postgres://u:p%20w@h:7/d?sslmode=verify-ca&sslrootcert=/a%20'b@c&connect_timeout=2").unwrap();
        let (pairs, same) = split(
            r"user=u password = 'p w' host=h sslrootcert='/a \'b@c' sslmode=verify-ca port=7 dbname=d connect_timeout=2 ",
        )
        .unwrap();
        assert_eq!(url, pairs);
        assert_eq!(ssl.rootcert.as_deref(), Some("/a 'b@c"));
        assert_eq!((ssl.mode, ssl.rootcert), (same.mode, same.rootcert));
    }

    #[test]
    fn escapes_do_not_hide_a_parameter() {
        for url in ["postgres://u:a?b@h?%73slmode=verify-full&", r"host=h sslmode = verify\-full"] {
            assert_eq!(split(url).unwrap().1.mode, Some(Mode::VerifyFull), "{url}");
        }
    }

    #[test]
    fn modes() {
        let mode = |parameters: &str| split(&format!("host=h {parameters}")).unwrap().1.mode();
        for (parameters, expected) in [
            ("", Mode::Prefer),
            ("sslmode=disable", Mode::Disable),
            ("sslmode=allow", Mode::Prefer),
            ("sslmode=prefer sslrootcert=/ca", Mode::Prefer),
            ("sslmode=require", Mode::Require),
            ("sslmode=require sslrootcert=''", Mode::Require),
            ("sslmode=require sslrootcert=/ca", Mode::VerifyCa),
            ("sslmode=verify-full sslrootcert=/ca", Mode::VerifyFull),
            ("sslrootcert=system", Mode::VerifyFull),
        ] {
            assert_eq!(mode(parameters).unwrap(), expected, "{parameters}");
        }
    }

    #[test]
    fn refusals() {
        for (url, expected) in [
            ("postgres:///d", "the host is missing"),
            ("host='' user=u", "the host is missing"),
            ("postgres://h:port/d", "the user, host, port or database cannot be read"),
            ("postgres://h?sslmode=require&gssencmode=disable", "parameter 2 is unknown, or its value cannot be read"),
            ("host=h port=x", "parameter 2 is unknown, or its value cannot be read"),
            ("host=h user", "parameter 2 is unknown, or its value cannot be read"),
            ("host=h user='u", "parameter 2 is unknown, or its value cannot be read"),
            ("host=h sslmode=on", "sslmode is none of disable, allow, prefer, require, verify-ca, verify-full"),
            ("host=h sslmode=verify-ca sslrootcert=system", "sslrootcert=system needs sslmode=verify-full"),
            ("host=h sslnegotiation=direct", "sslnegotiation=direct needs sslmode=require or stronger"),
            ("host=h sslcert=/c", "sslcert and sslkey must be given together"),
        ] {
            assert_eq!(refusal(url), expected, "{url}");
        }
        assert!(refusal("host=h sslmode=require sslrootcert=/none").starts_with("sslrootcert: "));
    }

    #[test]
    fn sockets_have_no_tls_but_addresses_do() {
        let mode = |url: &str| parse(url).unwrap().config.get_ssl_mode();
        assert_eq!(mode("host=/run/postgresql sslmode=verify-full"), SslMode::Disable);
        assert_eq!(mode("host=/run/postgresql hostaddr=10.0.0.1 sslmode=require"), SslMode::Require);
        assert_eq!(mode("hostaddr=10.0.0.1 sslmode=require"), SslMode::Require);
    }

    #[test]
    fn options_of_the_string_come_last() {
        let session = [("application_name", r"a b\c".to_owned()), ("lock_timeout", "5s".to_owned())];
        let target = Target::parse("host=h options='-c lock_timeout=1s'", Duration::from_secs(1), &session).unwrap();
        let expected = r"-c application_name=a\ b\\c -c lock_timeout=5s -c lock_timeout=1s";
        assert_eq!(target.config.get_options(), Some(expected));
    }

    #[test]
    fn the_password_is_never_shown() {
        for url in [
            "postgres://u:hunter2@h/d",
            "postgres://u:a@hunter2/d",
            "postgres://u:a@b?hunter2=c@h/d",
            "postgres://h/d?user=u&password=hunter2&hunter2",
            "postgres://u:a/b?hunter2@h:x/d",
            "host=h password=hunter2",
            "host=h password=a hunter2=b",
            "host=h password=a hunter2",
            "host=h password='hunter2",
            "host=h sslmode=prefer&password=hunter2",
            "host=h sslmode=require sslrootcert=/none&password=hunter2",
        ] {
            let shown = match parse(url) {
                Ok(target) => format!("{target:?}"),
                Err(e) => format!("{e} {e:?}"),
            };
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
