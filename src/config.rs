//! The command line and the settings. They are read once and validated here; `--help` is the reference.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use secrecy::SecretString;

use crate::api::cors::Origin;
use crate::app::{Http, KEEP_ALIVE};
use crate::db;
use crate::domain::authorization::Role;
use crate::domain::events::audit::Link;
use crate::domain::limits::budget::{self, Limit};
use crate::domain::limits::rate_limit::Limits;
use crate::domain::money::Currency;
use crate::domain::text::{CompanyName, KeyName, Reason};
use crate::domain::webhooks::signature::Secret as WebhookSecret;
use crate::oidc::{self, Algorithm, Issuer};
use crate::ops::budget::Budgets;
use crate::telemetry::LogFormat;

/// The API server of the partner platform. Without a command, it serves the API.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub settings: Settings,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API (the default)
    Serve,
    /// Migrate the database to the schema of this release
    Migrate,
    /// Print the OpenAPI document
    Openapi,
    /// Manage API keys
    #[command(subcommand)]
    Keys(Keys),
    /// Check the audit trail
    #[command(subcommand)]
    Audit(Audit),
    /// Test webhooks
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Fill the database with a sample catalogue, resellers, customers and subscriptions
    SeedDemo,
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Create a key and print it; it is shown only once
    Create {
        /// Role of the key: admin, technician, sales or billing
        #[arg(long)]
        role: Role,
        /// Id of the reseller that the key belongs to; the provider if omitted
        #[arg(long)]
        reseller: Option<uuid::Uuid>,
        /// Purpose of the key
        #[arg(long, default_value = "command line")]
        name: KeyName,
    },
    /// List all keys without their secrets, newest first
    List,
    /// Revoke a key permanently
    Revoke {
        /// Id of the key, as printed by `keys list`
        id: uuid::Uuid,
        /// Why the key is revoked
        #[arg(long)]
        reason: Option<Reason>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Find entries that were altered or removed, and print the end of the trail
    Verify {
        /// An end that was printed earlier; detects entries that were removed from the end since then
        #[arg(long, value_name = "POSITION:SEAL")]
        expect: Option<Link>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// Receive messages like an endpoint, verify them, and print a line for each
    Listen {
        /// Port to listen on, on this machine only
        #[arg(long)]
        port: u16,
        /// Secret of the endpoint
        #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true)]
        secret: WebhookSecret,
    },
}

/// The settings, from flags or environment variables.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Settings {
    /// Address and port to listen on
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080", global = true)]
    pub listen: SocketAddr,
    /// URL of a PostgreSQL 15 to 18 database; if omitted, the service runs its own PostgreSQL
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret, global = true)]
    pub database_url: Option<SecretString>,
    /// Separate address and port for `/metrics`, `/healthz` and `/readyz`; --listen then does not serve these
    #[arg(long, env = "OPS_LISTEN", global = true)]
    pub ops_listen: Option<SocketAddr>,
    /// Data directory of the service's own PostgreSQL [default: the user's data folder]
    #[arg(long, env = "DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Directory with the programs of the service's own PostgreSQL [default: common locations]
    #[arg(long, env = "PG_BIN_DIR", global = true)]
    pub pg_bin_dir: Option<PathBuf>,
    /// Migrate the schema at start; if false, `serve` exits when the schema is not current
    #[arg(long, env = "MIGRATE_AT_START", default_value_t = true, action = clap::ArgAction::Set, global = true)]
    pub migrate_at_start: bool,
    /// Currency of customers that are created without one, ISO 4217
    #[arg(long, env = "DEFAULT_CURRENCY", default_value = "USD", global = true)]
    pub default_currency: Currency,
    /// Allow the API to move the clock, to test scheduled transitions; only for a database that is used for nothing
    /// else
    #[arg(long, env = "SANDBOX", global = true)]
    pub sandbox: bool,
    /// Refuse to start with settings that are not for production: `--sandbox`, or no `--database-url`
    #[arg(long, env = "PRODUCTION", global = true)]
    pub production: bool,
    /// Process due transitions in the background; if no instance does, only requests process them, for the resources
    /// they use
    #[arg(long, env = "WORKER", default_value_t = true, action = clap::ArgAction::Set, global = true)]
    pub worker: bool,
    /// Day of the month on which invoices are issued for due charges, at most 28; 0: only on request
    #[arg(long, env = "INVOICE_DAY", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=28), global = true)]
    pub invoice_day: u32,
    /// Name of the company that issues invoices, printed at the top
    #[arg(long, env = "ISSUER", default_value = "Partner platform", global = true)]
    pub issuer: CompanyName,
    /// Take the client address from the end of `X-Forwarded-For`; requires a proxy that appends to it
    #[arg(long, env = "TRUST_FORWARDED_FOR", global = true)]
    pub trust_forwarded_for: bool,
    /// OpenID Connect issuer whose tokens are accepted in addition to API keys, exactly as the issuer writes its name
    #[arg(long, env = "OIDC_ISSUER", global = true)]
    pub oidc_issuer: Option<Issuer>,
    /// Required audience of a token; required with --oidc-issuer
    #[arg(long, env = "OIDC_AUDIENCE", value_parser = NonEmptyStringValueParser::new(), global = true)]
    pub oidc_audience: Option<String>,
    /// Claim of a token that contains the role
    #[arg(long, env = "OIDC_ROLE_CLAIM", default_value = "role", value_parser = NonEmptyStringValueParser::new(), global = true)]
    pub oidc_role_claim: String,
    /// Claim of a token that contains the id of the user's reseller, or `partner` for users of the provider
    #[arg(long, env = "OIDC_RESELLER_CLAIM", default_value = "reseller_id", value_parser = NonEmptyStringValueParser::new(), global = true)]
    pub oidc_reseller_claim: String,
    /// Accepted signature algorithms of tokens: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA
    #[arg(long, env = "OIDC_ALGORITHMS", default_value = "RS256,ES256", value_delimiter = ',', value_parser = oidc::algorithm, global = true)]
    pub oidc_algorithms: Vec<Algorithm>,
    /// Maximum reads (GET) per minute of one caller; 0: no limit
    #[arg(long, env = "RATE_LIMIT_READS", default_value_t = 6000, global = true)]
    pub rate_limit_reads: u32,
    /// Maximum writes (all other requests) per minute of one caller; 0: no limit
    #[arg(long, env = "RATE_LIMIT_WRITES", default_value_t = 1200, global = true)]
    pub rate_limit_writes: u32,
    /// Maximum reads per minute of all callers of a tenant (a reseller or the provider) together; 0: no limit
    #[arg(long, env = "RATE_LIMIT_TENANT_READS", default_value_t = 18_000, global = true)]
    pub rate_limit_tenant_reads: u32,
    /// Maximum writes per minute of all callers of a tenant together; 0: no limit
    #[arg(long, env = "RATE_LIMIT_TENANT_WRITES", default_value_t = 3600, global = true)]
    pub rate_limit_tenant_writes: u32,
    /// Maximum concurrent requests of one caller on an instance
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub max_concurrent_requests: u32,
    /// Maximum concurrent requests of all callers of a tenant together on an instance
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS_PER_TENANT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub max_concurrent_requests_per_tenant: u32,
    /// Percentage of the database connections that one tenant can use at the same time
    #[arg(long, env = "DATABASE_TENANT_SHARE", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=100), global = true)]
    pub database_tenant_share: u16,
    /// Origins of web pages that may call the API from a browser, such as `https://app.example.com`; comma-separated
    /// [default: none]
    #[arg(long, env = "CORS_ORIGINS", value_delimiter = ',', global = true)]
    pub cors_origins: Vec<Origin>,
    /// Networks that webhooks may call although they are not public, and without TLS, such as `10.1.0.0/16,fd00::/8`
    #[arg(long, env = "WEBHOOK_ALLOW_PRIVATE", value_delimiter = ',', global = true)]
    pub webhook_allow_private: Vec<IpNet>,
    /// Threads that serve requests [default: one per processor]
    #[arg(long, env = "WORKERS", value_parser = clap::value_parser!(u16).range(1..), global = true)]
    pub workers: Option<u16>,
    /// Maximum client connections; further clients wait until one is closed
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub max_connections: u32,
    /// Maximum connections in the pool; each worker has one more
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..), global = true)]
    pub database_max_connections: u16,
    /// Timeout for opening a database connection, in milliseconds
    #[arg(long, env = "DATABASE_CONNECT_TIMEOUT_MS", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub database_connect_timeout_ms: u32,
    /// Timeout for getting a free database connection, in milliseconds
    #[arg(long, env = "DATABASE_ACQUIRE_TIMEOUT_MS", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub database_acquire_timeout_ms: u32,
    /// Timeout for one statement, in milliseconds
    #[arg(long, env = "DATABASE_STATEMENT_TIMEOUT_MS", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub database_statement_timeout_ms: u32,
    /// Timeout for getting a lock, in milliseconds
    #[arg(long, env = "DATABASE_LOCK_TIMEOUT_MS", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub database_lock_timeout_ms: u32,
    /// Timeout for receiving the head of a request, in milliseconds
    #[arg(long, env = "REQUEST_TIMEOUT_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub request_timeout_ms: u32,
    /// Timeout for the response, in milliseconds after the head of the request
    #[arg(long, env = "ANSWER_TIMEOUT_MS", default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub answer_timeout_ms: u32,
    /// Timeout for a client to receive the response, in milliseconds
    #[arg(long, env = "SEND_TIMEOUT_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub send_timeout_ms: u32,
    /// Seconds to continue serving after a stop signal, while `/readyz` already returns 503
    #[arg(long, env = "DRAIN_DELAY_SECONDS", default_value_t = 0, global = true)]
    pub drain_delay_seconds: u32,
    /// Seconds to wait for requests in progress when stopping
    #[arg(long, env = "SHUTDOWN_TIMEOUT_SECONDS", default_value_t = 30, global = true)]
    pub shutdown_timeout_seconds: u32,
    /// Format of log lines
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_enum, global = true)]
    pub log_format: LogFormat,
    /// Log filter, such as `info` or `info,partner_platform=debug`
    #[arg(long, env = "LOG_LEVEL", default_value = "info", global = true)]
    pub log_level: String,
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(text.into())
}

impl Settings {
    /// Returns why these settings cannot be combined, if they cannot.
    #[must_use]
    pub fn contradiction(&self) -> Option<&'static str> {
        match self {
            Self { production: true, sandbox: true, .. } => {
                Some("--production and --sandbox exclude each other: a movable clock is not for production")
            }
            Self { production: true, database_url: None, .. } => {
                Some("--production requires --database-url: the service's own PostgreSQL is not for production")
            }
            Self { oidc_issuer: Some(_), oidc_audience: None, .. } => {
                Some("--oidc-issuer requires --oidc-audience: tokens for other services must not be accepted")
            }
            Self { oidc_issuer: None, oidc_audience: Some(_), .. } => {
                Some("--oidc-audience has no effect without --oidc-issuer")
            }
            _ => None,
        }
    }

    /// Returns the settings for tokens, if an issuer is set.
    #[must_use]
    pub fn oidc(&self) -> Option<oidc::Settings> {
        Some(oidc::Settings {
            issuer: self.oidc_issuer.clone()?,
            audience: self.oidc_audience.clone()?,
            role_claim: self.oidc_role_claim.clone(),
            reseller_claim: self.oidc_reseller_claim.clone(),
            algorithms: self.oidc_algorithms.clone(),
        })
    }

    /// Returns the day of the month on which invoices are issued automatically, if any.
    #[must_use]
    pub fn invoice_day(&self) -> Option<u32> {
        Some(self.invoice_day).filter(|day| *day > 0)
    }

    #[must_use]
    pub fn rate_limits(&self) -> Limits {
        let limit = |most: u32| Some(most).filter(|most| *most > 0);
        Limits {
            reads: limit(self.rate_limit_reads),
            writes: limit(self.rate_limit_writes),
            tenant_reads: limit(self.rate_limit_tenant_reads),
            tenant_writes: limit(self.rate_limit_tenant_writes),
        }
    }

    /// Returns the concurrency budgets.
    #[must_use]
    pub fn budgets(&self) -> Budgets {
        let (caller, tenant) = (self.max_concurrent_requests.into(), self.max_concurrent_requests_per_tenant.into());
        let limits = budget::Limits { requests: Limit { caller, tenant, instance: u64::MAX }, ..budget::Limits::USUAL };
        let connections = usize::from(self.database_max_connections) * usize::from(self.database_tenant_share) / 100;
        Budgets::new(limits, connections)
    }

    #[must_use]
    pub fn database(&self) -> db::Settings {
        let millis = |value: u32| Duration::from_millis(value.into());
        db::Settings {
            max_connections: self.database_max_connections.into(),
            connect_timeout: millis(self.database_connect_timeout_ms),
            acquire_timeout: millis(self.database_acquire_timeout_ms),
            statement_timeout: millis(self.database_statement_timeout_ms),
            lock_timeout: millis(self.database_lock_timeout_ms),
        }
    }

    /// Returns the settings of the HTTP server.
    #[must_use]
    pub fn http(&self) -> Http {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Http {
            workers: self.workers.map_or(processors, usize::from),
            max_connections: usize::try_from(self.max_connections).unwrap_or(usize::MAX),
            request_timeout: Duration::from_millis(self.request_timeout_ms.into()),
            keep_alive: KEEP_ALIVE,
            send_timeout: Duration::from_millis(self.send_timeout_ms.into()),
            shutdown_timeout: Duration::from_secs(self.shutdown_timeout_seconds.into()),
            cors_origins: self.cors_origins.clone(),
        }
    }
}
