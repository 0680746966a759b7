//! The command line and the settings: read once, validated here; `--help` is the reference.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use secrecy::SecretString;

use crate::api::middleware::cors::Origin;
use crate::domain::authorization::Role;
use crate::domain::events::audit::Link;
use crate::domain::limits::budget::{self, Limit};
use crate::domain::limits::rate_limit::Limits;
use crate::domain::money::Currency;
use crate::domain::text::{CompanyName, KeyName, Reason};
use crate::domain::webhooks::signature::Secret as WebhookSecret;
use crate::ops::budget::Budgets;
use crate::platform::db;
use crate::platform::oidc::{self, Algorithm, Issuer};
use crate::platform::telemetry::LogFormat;
use crate::service::{Http, KEEP_ALIVE};

/// The partner platform's API. Without a command, it runs `serve`.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    /// The command; `serve` without one.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API (the default)
    Serve,
    /// Migrate the database's schema
    Migrate,
    /// Print the OpenAPI document
    Openapi,
    /// Manage API keys
    #[command(subcommand)]
    Keys(Keys),
    /// Verify the audit trail
    #[command(subcommand)]
    Audit(Audit),
    /// Try out webhooks
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Fill the database with a sample catalogue, resellers, customers and subscriptions
    SeedDemo,
}

/// A command for API keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Create a key and print it; it is not shown again
    Create {
        /// Role of the key: admin, technician, sales or billing
        #[arg(long)]
        role: Role,
        /// Id of the reseller that the key belongs to [default: the provider]
        #[arg(long)]
        reseller: Option<uuid::Uuid>,
        /// Name of the key
        #[arg(long, default_value = "command line")]
        name: KeyName,
    },
    /// List all keys, without their secrets, newest first
    List,
    /// Revoke a key; this is final
    Revoke {
        /// Id of the key, from `keys list`
        id: uuid::Uuid,
        /// Reason
        #[arg(long)]
        reason: Option<Reason>,
    },
}

/// A command for the audit trail.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Find entries that were altered or removed, and print the end of the trail
    Verify {
        /// End that an earlier call printed: also finds entries that were removed at the end since then
        #[arg(long, value_name = "POSITION:SEAL")]
        expect: Option<Link>,
    },
}

/// A command for webhooks.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// Receive messages as an endpoint does, verify them, and print a line for each
    Listen {
        /// Port to listen on, on this machine only
        #[arg(long)]
        port: u16,
        /// Secret of the endpoint
        #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true)]
        secret: WebhookSecret,
    },
}

// The groups of settings.
const SERVER: &str = "Server";
const DATABASE: &str = "Database";
const BEHAVIOUR: &str = "Behaviour";
const OIDC: &str = "OpenID Connect";
const LIMITS: &str = "Limits";
const WEBHOOKS: &str = "Webhooks";
const LOGS: &str = "Logs";

/// The settings, by flag or by environment. The groups are those of `serve --help`.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Settings {
    /// Address and port to listen on
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080", help_heading = SERVER, global = true)]
    pub listen: SocketAddr,
    /// Second address and port for `/metrics`, `/healthz` and `/readyz`; --listen then does not serve these
    #[arg(long, env = "OPS_LISTEN", help_heading = SERVER, global = true)]
    pub ops_listen: Option<SocketAddr>,
    /// Take the client's address from the last entry of `X-Forwarded-For`, which a proxy in front must add
    #[arg(long, env = "TRUST_FORWARDED_FOR", help_heading = SERVER, global = true)]
    pub trust_forwarded_for: bool,
    /// Origins of web pages that may call the API, as `https://app.example.com`, separated by commas [default: none]
    #[arg(long, env = "CORS_ORIGINS", value_delimiter = ',', help_heading = SERVER, global = true)]
    pub cors_origins: Vec<Origin>,
    /// Threads that serve requests [default: one per processor]
    #[arg(long, env = "WORKERS", value_parser = clap::value_parser!(u16).range(1..), help_heading = SERVER, global = true)]
    pub workers: Option<u16>,
    /// Maximum number of client connections; further clients wait until one is closed
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..), help_heading = SERVER, global = true)]
    pub max_connections: u32,
    /// Milliseconds for a client to send the head of a request
    #[arg(long, env = "REQUEST_TIMEOUT_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..), help_heading = SERVER, global = true)]
    pub request_timeout_ms: u32,
    /// Milliseconds from the head of a request to its response
    #[arg(long, env = "ANSWER_TIMEOUT_MS", default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(1..), help_heading = SERVER, global = true)]
    pub answer_timeout_ms: u32,
    /// Milliseconds for a client to accept more of a response
    #[arg(long, env = "SEND_TIMEOUT_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..), help_heading = SERVER, global = true)]
    pub send_timeout_ms: u32,
    /// Seconds to keep serving after a signal, while `/readyz` already returns 503
    #[arg(long, env = "DRAIN_DELAY_SECONDS", default_value_t = 0, help_heading = SERVER, global = true)]
    pub drain_delay_seconds: u32,
    /// Seconds to finish requests when stopping
    #[arg(long, env = "SHUTDOWN_TIMEOUT_SECONDS", default_value_t = 30, help_heading = SERVER, global = true)]
    pub shutdown_timeout_seconds: u32,
    /// PostgreSQL 15 to 18 to use; without it, the service runs its own PostgreSQL
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret, help_heading = DATABASE, global = true)]
    pub database_url: Option<SecretString>,
    /// Data folder of the service's own PostgreSQL [default: the user's data folder]
    #[arg(long, env = "DATA_DIR", help_heading = DATABASE, global = true)]
    pub data_dir: Option<PathBuf>,
    /// Folder with the programs of the service's own PostgreSQL [default: searched for]
    #[arg(long, env = "PG_BIN_DIR", help_heading = DATABASE, global = true)]
    pub pg_bin_dir: Option<PathBuf>,
    /// Migrate the schema at start; if false, `serve` stops if the schema is not current
    #[arg(long, env = "MIGRATE_AT_START", default_value_t = true, action = clap::ArgAction::Set, help_heading = DATABASE, global = true)]
    pub migrate_at_start: bool,
    /// Maximum number of connections in the pool; each worker has one more
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..), help_heading = DATABASE, global = true)]
    pub database_max_connections: u16,
    /// Percentage of the database connections that one tenant may use at the same time
    #[arg(long, env = "DATABASE_TENANT_SHARE", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=100), help_heading = DATABASE, global = true)]
    pub database_tenant_share: u16,
    /// Milliseconds to open a database connection
    #[arg(long, env = "DATABASE_CONNECT_TIMEOUT_MS", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..), help_heading = DATABASE, global = true)]
    pub database_connect_timeout_ms: u32,
    /// Milliseconds to wait for a free database connection
    #[arg(long, env = "DATABASE_ACQUIRE_TIMEOUT_MS", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..), help_heading = DATABASE, global = true)]
    pub database_acquire_timeout_ms: u32,
    /// Milliseconds for one statement
    #[arg(long, env = "DATABASE_STATEMENT_TIMEOUT_MS", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..), help_heading = DATABASE, global = true)]
    pub database_statement_timeout_ms: u32,
    /// Milliseconds to wait for a lock
    #[arg(long, env = "DATABASE_LOCK_TIMEOUT_MS", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..), help_heading = DATABASE, global = true)]
    pub database_lock_timeout_ms: u32,
    /// Refuse to start with `--sandbox` or without `--database-url`
    #[arg(long, env = "PRODUCTION", help_heading = BEHAVIOUR, global = true)]
    pub production: bool,
    /// Let the API move the clock, to try out time; the database cannot be used for anything else afterwards
    #[arg(long, env = "SANDBOX", help_heading = BEHAVIOUR, global = true)]
    pub sandbox: bool,
    /// Run background jobs: due transitions, invoices, webhooks and clean-up; without them, requests process only what they touch
    #[arg(long, env = "WORKER", default_value_t = true, action = clap::ArgAction::Set, help_heading = BEHAVIOUR, global = true)]
    pub worker: bool,
    /// Currency of customers that are created without one, ISO 4217
    #[arg(long, env = "DEFAULT_CURRENCY", default_value = "USD", help_heading = BEHAVIOUR, global = true)]
    pub default_currency: Currency,
    /// Day of the month on which due charges are invoiced, at most 28; 0: only on request
    #[arg(long, env = "INVOICE_DAY", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=28), help_heading = BEHAVIOUR, global = true)]
    pub invoice_day: u32,
    /// Name of the issuer at the top of invoices
    #[arg(long, env = "ISSUER", default_value = "Partner platform", help_heading = BEHAVIOUR, global = true)]
    pub issuer: CompanyName,
    /// OpenID Connect issuer whose tokens are accepted beside API keys, exactly as it names itself
    #[arg(long, env = "OIDC_ISSUER", help_heading = OIDC, global = true)]
    pub oidc_issuer: Option<Issuer>,
    /// Audience that a token must have; required with --oidc-issuer
    #[arg(long, env = "OIDC_AUDIENCE", value_parser = NonEmptyStringValueParser::new(), help_heading = OIDC, global = true)]
    pub oidc_audience: Option<String>,
    /// Claim with the role
    #[arg(long, env = "OIDC_ROLE_CLAIM", default_value = "role", value_parser = NonEmptyStringValueParser::new(), help_heading = OIDC, global = true)]
    pub oidc_role_claim: String,
    /// Claim with the id of the user's reseller, or `partner` for the provider's own users
    #[arg(long, env = "OIDC_RESELLER_CLAIM", default_value = "reseller_id", value_parser = NonEmptyStringValueParser::new(), help_heading = OIDC, global = true)]
    pub oidc_reseller_claim: String,
    /// Accepted signature algorithms, from RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA
    #[arg(long, env = "OIDC_ALGORITHMS", default_value = "RS256,ES256", value_delimiter = ',', value_parser = oidc::algorithm, help_heading = OIDC, global = true)]
    pub oidc_algorithms: Vec<Algorithm>,
    /// Maximum number of reads (GET) per minute of one key or user; 0: no limit
    #[arg(long, env = "RATE_LIMIT_READS", default_value_t = 6000, help_heading = LIMITS, global = true)]
    pub rate_limit_reads: u32,
    /// Maximum number of writes (all other requests) per minute of one key or user; 0: no limit
    #[arg(long, env = "RATE_LIMIT_WRITES", default_value_t = 1200, help_heading = LIMITS, global = true)]
    pub rate_limit_writes: u32,
    /// Maximum number of reads per minute of a tenant, a reseller or the provider; 0: no limit
    #[arg(long, env = "RATE_LIMIT_TENANT_READS", default_value_t = 18_000, help_heading = LIMITS, global = true)]
    pub rate_limit_tenant_reads: u32,
    /// Maximum number of writes per minute of a tenant; 0: no limit
    #[arg(long, env = "RATE_LIMIT_TENANT_WRITES", default_value_t = 3600, help_heading = LIMITS, global = true)]
    pub rate_limit_tenant_writes: u32,
    /// Maximum number of requests of one key or user in progress on an instance
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS, global = true)]
    pub max_concurrent_requests: u32,
    /// Maximum number of requests of a tenant in progress on an instance
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS_PER_TENANT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..), help_heading = LIMITS, global = true)]
    pub max_concurrent_requests_per_tenant: u32,
    /// Networks that webhooks may be sent to although they are not public, and without TLS, as `10.1.0.0/16,fd00::/8`
    #[arg(long, env = "WEBHOOK_ALLOW_PRIVATE", value_delimiter = ',', help_heading = WEBHOOKS, global = true)]
    pub webhook_allow_private: Vec<IpNet>,
    /// Format of log lines
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_enum, help_heading = LOGS, global = true)]
    pub log_format: LogFormat,
    /// What is logged, as `info` or `info,partner_platform=debug`
    #[arg(long, env = "LOG_LEVEL", default_value = "info", help_heading = LOGS, global = true)]
    pub log_level: String,
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(text.into())
}

impl Settings {
    /// Why these settings cannot be used together; `None` if they can.
    #[must_use]
    pub fn contradiction(&self) -> Option<&'static str> {
        match self {
            Self { production: true, sandbox: true, .. } => {
                Some("--production and --sandbox exclude each other: a clock that can be moved is not for production")
            }
            Self { production: true, database_url: None, .. } => {
                Some("--production needs --database-url: the service's own PostgreSQL is not for production")
            }
            Self { oidc_issuer: Some(_), oidc_audience: None, .. } => {
                Some("--oidc-issuer needs --oidc-audience: an issuer's tokens for others are not for this service")
            }
            Self { oidc_issuer: None, oidc_audience: Some(_), .. } => {
                Some("--oidc-audience is of no use without --oidc-issuer")
            }
            _ => None,
        }
    }

    /// The OpenID Connect issuer, if one is configured.
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

    /// Day of the month of the monthly invoices; `None` if they are made only on request.
    #[must_use]
    pub fn invoice_day(&self) -> Option<u32> {
        Some(self.invoice_day).filter(|day| *day > 0)
    }

    /// The rate limits.
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

    /// The limits of what callers may have in progress.
    #[must_use]
    pub fn budgets(&self) -> Budgets {
        let (caller, tenant) = (self.max_concurrent_requests.into(), self.max_concurrent_requests_per_tenant.into());
        let limits = budget::Limits { requests: Limit { caller, tenant, instance: u64::MAX }, ..budget::Limits::USUAL };
        let connections = usize::from(self.database_max_connections) * usize::from(self.database_tenant_share) / 100;
        Budgets::new(limits, connections)
    }

    /// The limits and time-outs of the database.
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

    /// The limits and time-outs of client connections.
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
