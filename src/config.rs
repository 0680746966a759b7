//! The command line and the settings: read once, validated here; `--help` is the reference.

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
use crate::domain::access::Role;
use crate::domain::audit::Link;
use crate::domain::budget::{self, Limit};
use crate::domain::money::Currency;
use crate::domain::rate_limit::Limits;
use crate::domain::text::{CompanyName, KeyName, Reason};
use crate::domain::webhook::signature::Secret as WebhookSecret;
use crate::oidc::{self, Algorithm, Issuer};
use crate::ops::budget::Budgets;
use crate::telemetry::LogFormat;

/// The partner platform's API. Without a command, it serves.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Everything else.
    #[command(flatten)]
    pub settings: Settings,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API (the default)
    Serve,
    /// Bring the database's schema up to date
    Migrate,
    /// Print the OpenAPI document
    Openapi,
    /// Manage API keys
    #[command(subcommand)]
    Keys(Keys),
    /// Look after the audit trail
    #[command(subcommand)]
    Audit(Audit),
    /// Try webhooks
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Fill the database with a sample catalogue, resellers, customers and subscriptions
    SeedDemo,
}

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key and print it; it is not shown again
    Create {
        /// What it may do: admin, technician, sales or billing
        #[arg(long)]
        role: Role,
        /// The id of the reseller whose key it is; the partner's when left out
        #[arg(long)]
        reseller: Option<uuid::Uuid>,
        /// What it is for
        #[arg(long, default_value = "command line")]
        name: KeyName,
    },
    /// List all keys, without their secrets, newest first
    List,
    /// Revoke a key for good
    Revoke {
        /// Its id, as `keys list` shows it
        id: uuid::Uuid,
        /// Why
        #[arg(long)]
        reason: Option<Reason>,
    },
}

/// What to do with the audit trail.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Find entries that were altered or removed, and print where the trail ends
    Verify {
        /// An end that was printed before: finds entries that were removed at the end since
        #[arg(long, value_name = "POSITION:SEAL")]
        expect: Option<Link>,
    },
}

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// Receive messages as an endpoint does, verify them, and print a line for each
    Listen {
        /// The port to listen on, of this machine alone
        #[arg(long)]
        port: u16,
        /// The secret of the endpoint
        #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true)]
        secret: WebhookSecret,
    },
}

/// The settings, by flag or by environment.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Settings {
    /// Address and port to listen on
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080", global = true)]
    pub listen: SocketAddr,
    /// PostgreSQL to use, 15 to 18; without it the service runs one of its own
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret, global = true)]
    pub database_url: Option<SecretString>,
    /// Another address and port for `/metrics`, `/healthz` and `/readyz`, which --listen then does not serve
    #[arg(long, env = "OPS_LISTEN", global = true)]
    pub ops_listen: Option<SocketAddr>,
    /// Where the service's own PostgreSQL keeps its data [default: the user's data folder]
    #[arg(long, env = "DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Where the programs of the service's own PostgreSQL are [default: they are looked for]
    #[arg(long, env = "PG_BIN_DIR", global = true)]
    pub pg_bin_dir: Option<PathBuf>,
    /// Bring the schema up to date at start; otherwise `serve` stops when it is not
    #[arg(long, env = "MIGRATE_AT_START", default_value_t = true, action = clap::ArgAction::Set, global = true)]
    pub migrate_at_start: bool,
    /// Currency of customers that are created without one, ISO 4217
    #[arg(long, env = "DEFAULT_CURRENCY", default_value = "USD", global = true)]
    pub default_currency: Currency,
    /// Let the API move the clock: to try what time does, on a database that is good for nothing else then
    #[arg(long, env = "SANDBOX", global = true)]
    pub sandbox: bool,
    /// Refuse to start with what is not for production: `--sandbox`, or no `--database-url`
    #[arg(long, env = "PRODUCTION", global = true)]
    pub production: bool,
    /// Do what falls due in the background; without any such instance, only requests do it, for what they touch
    #[arg(long, env = "WORKER", default_value_t = true, action = clap::ArgAction::Set, global = true)]
    pub worker: bool,
    /// Day of the month on which invoices are made for what is due, at most 28; 0: only on request
    #[arg(long, env = "INVOICE_DAY", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=28), global = true)]
    pub invoice_day: u32,
    /// Who issues invoices: the name at their top
    #[arg(long, env = "ISSUER", default_value = "Partner platform", global = true)]
    pub issuer: CompanyName,
    /// Take the address of a client from the end of `X-Forwarded-For`, which a proxy in front must add to
    #[arg(long, env = "TRUST_FORWARDED_FOR", global = true)]
    pub trust_forwarded_for: bool,
    /// OpenID Connect issuer whose tokens are taken beside API keys, to the letter as it names itself
    #[arg(long, env = "OIDC_ISSUER", global = true)]
    pub oidc_issuer: Option<Issuer>,
    /// Audience that a token must be for; needed with --oidc-issuer
    #[arg(long, env = "OIDC_AUDIENCE", value_parser = NonEmptyStringValueParser::new(), global = true)]
    pub oidc_audience: Option<String>,
    /// Claim of a token that has the role
    #[arg(long, env = "OIDC_ROLE_CLAIM", default_value = "role", value_parser = NonEmptyStringValueParser::new(), global = true)]
    pub oidc_role_claim: String,
    /// Claim of a token that has the id of the user's reseller, or `partner` for the partner's own users
    #[arg(long, env = "OIDC_RESELLER_CLAIM", default_value = "reseller_id", value_parser = NonEmptyStringValueParser::new(), global = true)]
    pub oidc_reseller_claim: String,
    /// How tokens may be signed, of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA
    #[arg(long, env = "OIDC_ALGORITHMS", default_value = "RS256,ES256", value_delimiter = ',', value_parser = oidc::algorithm, global = true)]
    pub oidc_algorithms: Vec<Algorithm>,
    /// The most reads a minute, GET, of one caller; 0: no limit
    #[arg(long, env = "RATE_LIMIT_READS", default_value_t = 6000, global = true)]
    pub rate_limit_reads: u32,
    /// The most writes a minute, all other requests, of one caller; 0: no limit
    #[arg(long, env = "RATE_LIMIT_WRITES", default_value_t = 1200, global = true)]
    pub rate_limit_writes: u32,
    /// The most reads a minute of all callers of a tenant together, a reseller or the provider; 0: no limit
    #[arg(long, env = "RATE_LIMIT_TENANT_READS", default_value_t = 18_000, global = true)]
    pub rate_limit_tenant_reads: u32,
    /// The most writes a minute of all callers of a tenant together; 0: no limit
    #[arg(long, env = "RATE_LIMIT_TENANT_WRITES", default_value_t = 3600, global = true)]
    pub rate_limit_tenant_writes: u32,
    /// The most requests of one caller that are under way at the same time on an instance
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub max_concurrent_requests: u32,
    /// The most requests of all callers of a tenant together that are under way at the same time on an instance
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS_PER_TENANT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub max_concurrent_requests_per_tenant: u32,
    /// Per cent of the database connections that one tenant may hold at the same time
    #[arg(long, env = "DATABASE_TENANT_SHARE", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=100), global = true)]
    pub database_tenant_share: u16,
    /// Whose web pages may call the API from a browser, as `https://app.example.com`; several with commas [default: nobody's]
    #[arg(long, env = "CORS_ORIGINS", value_delimiter = ',', global = true)]
    pub cors_origins: Vec<Origin>,
    /// Networks that webhooks may be sent to although they are not public, and without TLS, as `10.1.0.0/16,fd00::/8`
    #[arg(long, env = "WEBHOOK_ALLOW_PRIVATE", value_delimiter = ',', global = true)]
    pub webhook_allow_private: Vec<IpNet>,
    /// Threads that serve requests [default: one a processor]
    #[arg(long, env = "WORKERS", value_parser = clap::value_parser!(u16).range(1..), global = true)]
    pub workers: Option<u16>,
    /// The most connections of clients; whoever comes then waits until one is closed
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub max_connections: u32,
    /// The most connections of the pool; each worker has one more
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..), global = true)]
    pub database_max_connections: u16,
    /// Milliseconds to open a database connection
    #[arg(long, env = "DATABASE_CONNECT_TIMEOUT_MS", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub database_connect_timeout_ms: u32,
    /// Milliseconds to wait for a free database connection
    #[arg(long, env = "DATABASE_ACQUIRE_TIMEOUT_MS", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub database_acquire_timeout_ms: u32,
    /// Milliseconds for one statement
    #[arg(long, env = "DATABASE_STATEMENT_TIMEOUT_MS", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub database_statement_timeout_ms: u32,
    /// Milliseconds to wait for a lock
    #[arg(long, env = "DATABASE_LOCK_TIMEOUT_MS", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub database_lock_timeout_ms: u32,
    /// Milliseconds for a client to send the head of a request
    #[arg(long, env = "REQUEST_TIMEOUT_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub request_timeout_ms: u32,
    /// Milliseconds for a request to be answered, from its head on
    #[arg(long, env = "ANSWER_TIMEOUT_MS", default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub answer_timeout_ms: u32,
    /// Milliseconds for a client to take what it is sent
    #[arg(long, env = "SEND_TIMEOUT_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub send_timeout_ms: u32,
    /// Seconds to go on serving after a signal, while `/readyz` already says no
    #[arg(long, env = "DRAIN_DELAY_SECONDS", default_value_t = 0, global = true)]
    pub drain_delay_seconds: u32,
    /// Seconds for requests to be finished when stopping
    #[arg(long, env = "SHUTDOWN_TIMEOUT_SECONDS", default_value_t = 30, global = true)]
    pub shutdown_timeout_seconds: u32,
    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_enum, global = true)]
    pub log_format: LogFormat,
    /// What is logged, as `info` or `info,partner_platform=debug`
    #[arg(long, env = "LOG_LEVEL", default_value = "info", global = true)]
    pub log_level: String,
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(text.into())
}

impl Settings {
    /// What speaks against these settings together, if anything.
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

    /// Whose tokens are taken, if anybody's.
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

    /// Day of the month on which invoices are made by themselves, if they are.
    #[must_use]
    pub fn invoice_day(&self) -> Option<u32> {
        Some(self.invoice_day).filter(|day| *day > 0)
    }

    /// How often callers may send requests.
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

    /// How much callers may have under way at a time.
    #[must_use]
    pub fn budgets(&self) -> Budgets {
        let (caller, tenant) = (self.max_concurrent_requests.into(), self.max_concurrent_requests_per_tenant.into());
        let limits = budget::Limits { requests: Limit { caller, tenant, instance: u64::MAX }, ..budget::Limits::USUAL };
        let connections = usize::from(self.database_max_connections) * usize::from(self.database_tenant_share) / 100;
        Budgets::new(limits, connections)
    }

    /// What the database may take.
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

    /// How the server treats connections.
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
