//! The entry point: runs the commands of the command line.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use clap::Parser;
use partner_platform::api::contract::document::DOCUMENT;
use partner_platform::api::state::AppState;
use partner_platform::config::{Audit, Cli, Command, Keys, Settings, Webhooks};
use partner_platform::domain::authorization::{Actor, Role};
use partner_platform::domain::credentials::api_key::ApiKeyFilter;
use partner_platform::domain::id::{ApiKeyId, ResellerId};
use partner_platform::domain::listing::Window;
use partner_platform::domain::refusal::Refusal;
use partner_platform::domain::webhooks::address::Addresses;
use partner_platform::jobs::access::AccessKeeper;
use partner_platform::jobs::webhooks::{MOST_LANES, Postman};
use partner_platform::jobs::{self, Upkeep, Worker};
use partner_platform::ops::api_keys::{self, NewApiKey};
use partner_platform::ops::audit::Verified;
use partner_platform::ops::courier::{Courier, MOST_SENDS};
use partner_platform::ops::credential_cache::AccessCache;
use partner_platform::ops::lookout::Lookout;
use partner_platform::ops::rate_limits::RateLimits;
use partner_platform::ops::{self, Context, Precondition, audit, demo, request, sandbox};
use partner_platform::platform::clock::Clock;
use partner_platform::platform::db::{self, Db, Readiness, Schema};
use partner_platform::platform::descriptors;
use partner_platform::platform::embedded::{self, Durability, Embedded};
use partner_platform::platform::oidc::Oidc;
use partner_platform::platform::outbound::guarded::{Caller, MOST_LOOKUPS};
use partner_platform::platform::shutdown::{self, Shutdown};
use partner_platform::platform::telemetry::{self, Metrics};
use partner_platform::service::{self, Http, Listeners, Servers, connection, webhook_listener};
use secrecy::ExposeSecret;
use tokio::sync::watch;

/// How often the measured durations are merged into their histograms.
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// Files and sockets in addition to those of clients, the database and webhooks.
const OTHER_FILES: usize = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, settings } = Cli::parse();
    let outcome = async {
        telemetry::init_logs(settings.log_format, &settings.log_level).map_err(|error| anyhow::anyhow!(error))?;
        match command.unwrap_or(Command::Serve) {
            Command::Openapi => {
                print!("{}", DOCUMENT.text);
                Ok(())
            }
            Command::Webhooks(Webhooks::Listen { port, secret }) => {
                let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port))?;
                Ok(webhook_listener::listen(listener, secret).await?)
            }
            command => with_database(command, &settings).await,
        }
    };
    match outcome.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn with_database(command: Command, settings: &Settings) -> anyhow::Result<()> {
    if let Some(contradiction) = settings.contradiction() {
        bail!(contradiction);
    }
    let own = match settings.database_url {
        Some(_) => None,
        None => Some(start_own(settings).await?),
    };
    let given = settings.database_url.as_ref().map(ExposeSecret::expose_secret);
    let url = given.or(own.as_ref().map(Embedded::database_url)).unwrap_or_default();
    let db = Db::new(url, &settings.database())?;
    let outcome = match command {
        Command::Serve => serve(settings, &db, own.as_ref()).await,
        Command::Migrate => migrate(&db).await,
        Command::Keys(command) => {
            check_schema(&db, settings).await?;
            manage_keys(&context(&db).await?, command).await
        }
        Command::Audit(Audit::Verify { expect }) => {
            check_schema(&db, settings).await?;
            let Verified { end, open } = audit::verify(&db, expect.as_ref()).await?.map_err(anyhow::Error::from)?;
            println!("{} entries are unchanged since they were sealed; the trail ends at\n{end}", end.position);
            if open > 0 {
                println!("{open} more are not sealed yet");
            }
            Ok(())
        }
        Command::SeedDemo => {
            check_schema(&db, settings).await?;
            let done = demo::seed(&context(&db).await?).await?;
            eprintln!("{}", if done { "the samples were created" } else { "the samples already exist" });
            Ok(())
        }
        Command::Openapi | Command::Webhooks(_) => Ok(()),
    };
    if let Some(own) = own {
        own.stop().await?;
    }
    outcome
}

async fn manage_keys(cx: &Context, command: Keys) -> anyhow::Result<()> {
    match command {
        Keys::Create { role, reseller, name } => {
            let new = NewApiKey { name, role, partner_id: reseller.map(ResellerId), expires_at: None };
            let create = async |cx: &Context| api_keys::create(cx, new).await;
            let (_, secret) = request::by_command(cx, "createApiKey", create).await.map_err(in_words)?;
            println!("{}", secret.expose_secret());
        }
        Keys::List => list_keys(cx).await?,
        Keys::Revoke { id, reason } => {
            let revoke = async |cx: &Context| api_keys::revoke(cx, ApiKeyId(id), &Precondition::None, reason).await;
            let key = request::by_command(cx, "revokeApiKey", revoke).await.map_err(in_words)?;
            eprintln!("the key {} ({}) is revoked", key.id, key.details.name);
        }
    }
    Ok(())
}

/// Prints one key per line, with tabs between the fields. The name is last, because it may contain anything.
async fn list_keys(cx: &Context) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "id\tstatus\trole\treseller\tsecret\tlast used\texpires\tname")?;
    let mut window = Window { limit: 200, after: None };
    loop {
        let page = api_keys::list(cx, &ApiKeyFilter::default(), &window).await.map_err(in_words)?;
        for key in page.rows {
            let instant = |at: Option<DateTime<Utc>>| at.map_or("-".to_owned(), |at| at.to_rfc3339());
            let reseller = key.partner_id.map_or("-".to_owned(), |id| id.to_string());
            let secret = key.secret.hint.as_ref().map(|hint| format!("{}…{}", hint.prefix, hint.last_four));
            let (used, expires) = (instant(key.last_used_at), instant(key.details.expires_at));
            let (status, secret) = (key.status(cx.at), secret.unwrap_or("-".to_owned()));
            let name = key.details.name;
            writeln!(out, "{}\t{status}\t{}\t{reseller}\t{secret}\t{used}\t{expires}\t{name}", key.id, key.role)?;
        }
        match page.next {
            Some(after) => window.after = Some(after),
            None => return Ok(()),
        }
    }
}

/// Puts the details of all violations into one message, because the command line has no `errors` list.
fn in_words(error: ops::Error) -> anyhow::Error {
    match error {
        ops::Error::Refused { refusal: Refusal::Invalid(violations), .. } => {
            let details: Vec<_> = violations.into_iter().map(|violation| violation.detail).collect();
            anyhow::Error::msg(details.join(" "))
        }
        error => error.into(),
    }
}

async fn start_own(settings: &Settings) -> anyhow::Result<Embedded> {
    let data_dir = match &settings.data_dir {
        Some(data_dir) => data_dir.clone(),
        None => embedded::default_data_dir()?,
    };
    let bin_dir = settings.pg_bin_dir.clone();
    Ok(Embedded::start(&embedded::Options { data_dir, bin_dir, durability: Durability::Durable }).await?)
}

async fn migrate(db: &Db) -> anyhow::Result<()> {
    for migration in db.migrate().await? {
        tracing::info!(migration, "migrated");
    }
    Ok(())
}

/// Checks that the schema is the one that this release was built for.
async fn check_schema(db: &Db, settings: &Settings) -> anyhow::Result<()> {
    if settings.migrate_at_start {
        return migrate(db).await;
    }
    match db.schema().await? {
        Schema::Current => Ok(()),
        Schema::Behind(missing) => bail!("the database lacks migrations ({}): run `migrate` first", missing.join(", ")),
        Schema::Newer(unknown) => bail!(db::newer(&unknown)),
    }
}

/// The command line acts as the service itself. In a sandbox, it uses the time of the sandbox.
async fn context(db: &Db) -> anyhow::Result<Context> {
    let clock = Clock::system();
    sandbox::follow(db, &clock).await?;
    Ok(Context::new(db.clone(), clock, Actor::system()))
}

async fn serve(settings: &Settings, db: &Db, own: Option<&Embedded>) -> anyhow::Result<()> {
    check_schema(db, settings).await?;
    let cx = context(db).await?;
    if !settings.sandbox && sandbox::follow(db, &cx.clock).await?.target > chrono::TimeDelta::zero() {
        bail!("the clock of this database was moved, so it is a sandbox; start with --sandbox");
    }
    if let Some(own) = own.filter(|own| own.is_owner()) {
        first_start(&cx, own.data_dir()).await?;
    }
    // Registered before the service is reachable: as soon as it is, a supervisor may stop it.
    let asked = shutdown::asked().context("cannot listen to signals")?;
    let listener = std::net::TcpListener::bind(settings.listen)
        .with_context(|| format!("cannot listen on {}; choose another with --listen", settings.listen))?;
    let address = listener.local_addr()?;
    let bind = |address| std::net::TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"));
    let operators = settings.ops_listen.map(bind).transpose()?;
    let rate_limits = RateLimits::new(settings.rate_limits(), cx.clock.clone());
    let metrics = Metrics::start()?;
    let shutdown = Shutdown::default();
    let access = AccessCache::default();
    let courier = Courier::new(Caller::new(Addresses::public_and(settings.webhook_allow_private.clone()))?);
    let state = AppState {
        db: db.clone(),
        access: access.clone(),
        clock: cx.clock.clone(),
        default_currency: settings.default_currency,
        sandbox: settings.sandbox,
        invoice_day: settings.invoice_day(),
        issuer: settings.issuer.to_string(),
        trust_forwarded_for: settings.trust_forwarded_for,
        oidc: settings.oidc().map(Oidc::new).transpose()?,
        answer_timeout: Duration::from_millis(settings.answer_timeout_ms.into()),
        rate_limits: rate_limits.clone(),
        budgets: settings.budgets(),
        readiness: Readiness::default(),
        courier: courier.clone(),
        lookout: Lookout::default(),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    };
    let Servers { main: server, operators } =
        service::build(Listeners { main: listener, operators }, state, &http(settings)?)?;
    let handle = server.handle();
    tracing::info!("serving http://{address}, documentation at http://{address}/docs");

    let upkeep = Upkeep { db: db.clone(), clock: cx.clock.clone(), shutdown: shutdown.clone() };
    let postman = Postman {
        db: db.clone(),
        clock: cx.clock.clone(),
        courier,
        most_lanes: MOST_LANES,
        shutdown: shutdown.clone(),
    };
    let worker = Worker {
        db: db.clone(),
        clock: cx.clock,
        sandbox: settings.sandbox,
        invoice_day: settings.invoice_day(),
        shutdown: shutdown.clone(),
    };
    let jobs = settings.worker.then(|| tokio::spawn(async { tokio::join!(worker.run(), upkeep.run(), postman.run()) }));
    let (serving, served) = watch::channel(());
    let keeper = tokio::spawn(AccessKeeper { db: db.clone(), cache: access }.run(served));
    let drain_delay = Duration::from_secs(settings.drain_delay_seconds.into());
    tokio::spawn(async move {
        asked.await;
        shutdown.drain(drain_delay, || handle.stop(true)).await;
    });
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(FOLD_EVERY).await;
            metrics.fold();
        }
    });
    let exchange = tokio::spawn(jobs::rate_limits::run(rate_limits, db.clone()));
    let probes = operators.map(|server| (server.handle(), tokio::spawn(server)));
    server.await?;
    // Health and metrics stay available until the last request has ended.
    if let Some((handle, server)) = probes {
        handle.stop(true).await;
        server.await??;
    }
    exchange.abort();
    drop(serving);
    keeper.await?;
    if let Some(jobs) = jobs {
        jobs.await?;
    }
    Ok(())
}

/// The settings for connections. Their maximum number is reduced to what the system allows, because otherwise the
/// system could reject connections to the database.
fn http(settings: &Settings) -> anyhow::Result<Http> {
    let mut http = settings.http();
    let others = usize::from(settings.database_max_connections) + MOST_SENDS + MOST_LOOKUPS + OTHER_FILES;
    let wanted = http.max_connections * connection::FILES + others;
    let allowed = (descriptors::ask_for(wanted)?.saturating_sub(others) / connection::FILES).max(1);
    if allowed < http.max_connections {
        http.max_connections = allowed;
        tracing::warn!(
            max_connections = allowed,
            "the system allows fewer connections than --max-connections; raise its limit of open files"
        );
    }
    Ok(http)
}

/// Creates the samples in a new database of the service's own PostgreSQL, and a key for its administrator. The file
/// with the key is written last, and marks that this is done: without it, the next start creates another key.
async fn first_start(cx: &Context, data_dir: &Path) -> anyhow::Result<()> {
    let path = data_dir.join("admin-key");
    if path.exists() {
        return Ok(());
    }
    demo::seed(cx).await?;
    let new = NewApiKey { name: "first start".parse()?, role: Role::Admin, partner_id: None, expires_at: None };
    let create = async |cx: &Context| api_keys::create(cx, new).await;
    let (_, key) = request::by_command(cx, "createApiKey", create).await?;
    // `create_new` does not follow links. This matters because the folder may belong to another account.
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(file, "{}", key.expose_secret())?;
    println!("Your administrator's API key, kept in {}:\n{}", path.display(), key.expose_secret());
    Ok(())
}
