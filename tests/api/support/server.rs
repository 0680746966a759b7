//! A server with its own database, and a clock that stands still until it is set.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use partner_platform::api::state::AppState;
use partner_platform::domain::authorization::{Actor, Role};
use partner_platform::domain::id::ResellerId;
use partner_platform::domain::limits::budget;
use partner_platform::domain::limits::rate_limit::Limits;
use partner_platform::domain::webhooks::address::Addresses;
use partner_platform::jobs::access::AccessKeeper;
use partner_platform::jobs::webhooks::{MOST_LANES, Postman};
use partner_platform::jobs::{Upkeep, Worker};
use partner_platform::ops::api_keys::{self, NewApiKey};
use partner_platform::ops::budget::Budgets;
use partner_platform::ops::courier::Courier;
use partner_platform::ops::credential_cache::AccessCache;
use partner_platform::ops::lookout::Lookout;
use partner_platform::ops::rate_limits::RateLimits;
use partner_platform::ops::{Context, access};
use partner_platform::platform::clock::Clock;
use partner_platform::platform::db::{self, Db, Readiness};
use partner_platform::platform::oidc::{self, Oidc};
use partner_platform::platform::outbound::guarded::Caller;
use partner_platform::platform::shutdown::Shutdown;
use partner_platform::platform::telemetry::Metrics;
use partner_platform::service::{self, Http, KEEP_ALIVE, Listeners};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Client, Database};

pub struct Server {
    pub database: Arc<Database>,
    pub db: Db,
    pub clock: Clock,
    pub url: String,
    /// The address for operators, if there is a separate listener.
    pub operators: Option<String>,
    pub rate_limits: RateLimits,
    pub shutdown: Shutdown,
    /// May send to this machine, where the receivers of the tests are, and to the internet.
    pub courier: Courier,
    access: AccessCache,
    handle: actix_web::dev::ServerHandle,
    _serving: watch::Sender<()>,
}

impl Server {
    /// A server with an empty database, on 1 January 2027.
    pub async fn start() -> Self {
        Self::with(super::database::settings()).await
    }

    /// The same with other settings of the database.
    pub async fn with(settings: db::Settings) -> Self {
        let database = Database::create().await;
        let url = database.url.clone();
        Self::on(database, &url, settings).await
    }

    /// A server whose clock cannot be moved by the API.
    pub async fn production() -> Self {
        let database = Database::create().await;
        let url = database.url.clone();
        Self::production_on(database, &url, super::database::settings()).await
    }

    /// The same, with another URL for its database.
    pub async fn production_on(database: Database, url: &str, settings: db::Settings) -> Self {
        Self::build(database.into(), url, settings, |state, _| state.sandbox = false).await
    }

    /// A server that accepts the tokens of an issuer.
    pub async fn trusting(settings: oidc::Settings) -> Self {
        Self::adjusted(|state, _| state.oidc = Some(Oidc::new(settings).unwrap())).await
    }

    /// A server with another URL for its database.
    pub async fn on(database: Database, url: &str, settings: db::Settings) -> Self {
        Self::on_with(database, url, settings, |_, _| {}).await
    }

    /// The same with changes to its settings.
    pub async fn on_with(
        database: Database,
        url: &str,
        settings: db::Settings,
        adjust: impl FnOnce(&mut AppState, &mut Http),
    ) -> Self {
        Self::build(database.into(), url, settings, adjust).await
    }

    /// A server with changes to its settings.
    pub async fn adjusted(adjust: impl FnOnce(&mut AppState, &mut Http)) -> Self {
        let database = Database::create().await;
        let url = database.url.clone();
        Self::build(database.into(), &url, super::database::settings(), adjust).await
    }

    /// A server with rate limits.
    pub async fn limited(limits: Limits) -> Self {
        Self::adjusted(|state, _| state.rate_limits = RateLimits::new(limits, state.clock.clone())).await
    }

    /// Another server on the same database. Their machine clocks show the same time.
    pub async fn beside(&self) -> Self {
        self.beside_with(|_, _| {}).await
    }

    /// The same with changes to its settings.
    pub async fn beside_with(&self, adjust: impl FnOnce(&mut AppState, &mut Http)) -> Self {
        let other = Self::build(self.database.clone(), &self.database.url, super::database::settings(), adjust).await;
        other.clock.set(self.clock.machine());
        other
    }

    /// A server with a separate listener for operators.
    pub async fn with_operators() -> Self {
        let operators = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", operators.local_addr().unwrap());
        let (database, settings) = (Database::create().await, super::database::settings());
        let mut server = Self::listening(database.into(), None, settings, |_, _| {}, Some(operators)).await;
        server.operators = Some(url);
        server
    }

    async fn build(
        database: Arc<Database>,
        url: &str,
        settings: db::Settings,
        adjust: impl FnOnce(&mut AppState, &mut Http),
    ) -> Self {
        Self::listening(database, Some(url), settings, adjust, None).await
    }

    async fn listening(
        database: Arc<Database>,
        url: Option<&str>,
        settings: db::Settings,
        adjust: impl FnOnce(&mut AppState, &mut Http),
        operators: Option<TcpListener>,
    ) -> Self {
        let url = url.unwrap_or(&database.url);
        let db = Db::new(url, &settings).unwrap();
        let clock = Clock::manual(noon(2027, 1, 1));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = Shutdown::default();
        let mut state = state(&db, &clock, &shutdown);
        let mut http = Http {
            workers: 2,
            max_connections: 1000,
            request_timeout: Duration::from_secs(5),
            keep_alive: KEEP_ALIVE,
            send_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(10),
            cors_origins: Vec::new(),
        };
        adjust(&mut state, &mut http);
        let (rate_limits, access, courier) = (state.rate_limits.clone(), state.access.clone(), state.courier.clone());
        let servers = service::build(Listeners { main: listener, operators }, state, &http).unwrap();
        let handle = servers.main.handle();
        tokio::spawn(servers.main);
        if let Some(server) = servers.operators {
            tokio::spawn(server);
        }
        let (serving, served) = watch::channel(());
        tokio::spawn(AccessKeeper { db: db.clone(), cache: access.clone() }.run(served));
        let operators = None;
        Self { database, db, clock, url, operators, rate_limits, shutdown, courier, access, handle, _serving: serving }
    }

    /// A client with a new key of the provider or of a reseller.
    pub async fn client(&self, role: Role, reseller: Option<&Value>) -> Client {
        Client::new(&self.url, Some(&self.secret(role, reseller).await))
    }

    async fn secret(&self, role: Role, reseller: Option<&Value>) -> String {
        let partner_id = reseller.map(|id| ResellerId(id.as_str().unwrap().parse().unwrap()));
        let new = NewApiKey { name: "test".parse().unwrap(), role, partner_id, expires_at: None };
        let (_, secret) = api_keys::create(&self.context(), new).await.unwrap();
        secret.expose_secret().to_owned()
    }

    /// Writes the last use of keys now. Otherwise this happens in the background a little later.
    pub async fn write_uses(&self) {
        access::write_uses(&self.db, &self.access).await.unwrap();
    }

    /// A new administrator key of the provider.
    pub async fn key(&self) -> String {
        self.secret(Role::Admin, None).await
    }

    /// The service itself as the caller.
    pub fn context(&self) -> Context {
        Context::new(self.db.clone(), self.clock.clone(), Actor::system())
    }

    /// Runs the worker for due transitions and invoices until the server is stopped.
    pub fn worker(&self) -> JoinHandle<()> {
        let (db, clock, shutdown) = (self.db.clone(), self.clock.clone(), self.shutdown.clone());
        tokio::spawn(Worker { db, clock, sandbox: true, invoice_day: None, shutdown }.run())
    }

    /// Runs the maintenance jobs until the server is stopped.
    pub fn upkeep(&self) -> JoinHandle<()> {
        let (db, clock, shutdown) = (self.db.clone(), self.clock.clone(), self.shutdown.clone());
        tokio::spawn(Upkeep { db, clock, shutdown }.run())
    }

    /// Runs the delivery workers until the server is stopped.
    pub fn postman(&self) -> JoinHandle<()> {
        self.postman_with(MOST_LANES)
    }

    /// The same with a maximum number of concurrent deliveries.
    pub fn postman_with(&self, most_lanes: usize) -> JoinHandle<()> {
        let (db, clock, shutdown) = (self.db.clone(), self.clock.clone(), self.shutdown.clone());
        tokio::spawn(Postman { db, clock, courier: self.courier.clone(), most_lanes, shutdown }.run())
    }

    /// A client of the provider's administrator.
    pub async fn admin(&self) -> Client {
        self.client(Role::Admin, None).await
    }

    /// A client with a token, or any other text as the bearer token.
    pub fn bearing(&self, token: &str) -> Client {
        Client::new(&self.url, Some(token))
    }

    /// A client without a key.
    pub fn stranger(&self) -> Client {
        Client::new(&self.url, None)
    }

    /// Stops the server as a signal does.
    pub async fn stop(&self) {
        self.shutdown.drain(Duration::ZERO, || self.handle.stop(true)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

fn state(db: &Db, clock: &Clock, shutdown: &Shutdown) -> AppState {
    AppState {
        db: db.clone(),
        access: AccessCache::default(),
        clock: clock.clone(),
        default_currency: "USD".parse().unwrap(),
        sandbox: true,
        invoice_day: Some(1),
        issuer: "Certificates & Co".to_owned(),
        trust_forwarded_for: false,
        oidc: None,
        answer_timeout: Duration::from_secs(60),
        rate_limits: RateLimits::new(Limits::default(), clock.clone()),
        budgets: Budgets::new(
            budget::Limits { webhook_tests: budget::Limits::USUAL.webhook_tests, ..budget::Limits::NONE },
            100,
        ),
        readiness: Readiness::default(),
        lookout: Lookout::default(),
        courier: Courier::new(Caller::new(Addresses::public_and(vec!["127.0.0.0/8".parse().unwrap()])).unwrap()),
        metrics: Metrics::start().unwrap(),
        shutdown: shutdown.clone(),
    }
}

/// Noon of a day, UTC.
pub fn noon(year: i32, month: u32, day: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(year, month, day, 12, 0, 0).unwrap()
}
