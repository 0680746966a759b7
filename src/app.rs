//! Builds the server, for `main` and for the tests.

pub mod connection;
pub mod webhook_listener;

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use utoipa_actix_web::AppExt;

use crate::access_cache::AccessCache;
use crate::api::cors::{self, Origin};
use crate::api::{accept, auth, incoming, middleware, rate_limit, service, unread, v1, write};
use crate::clock::Clock;
use crate::db::{Db, Readiness};
use crate::domain::money::Currency;
use crate::oidc::Oidc;
use crate::ops::budget::Budgets;
use crate::ops::courier::Courier;
use crate::ops::lookout::Lookout;
use crate::ops::rate_limits::RateLimits;
use crate::shutdown::Shutdown;
use crate::telemetry::Metrics;

/// The state that all requests can use. Clones share it.
#[derive(Clone)]
pub struct AppState {
    pub db: Db,
    /// The credentials cache.
    pub access: AccessCache,
    pub clock: Clock,
    /// The currency of customers that are created without one.
    pub default_currency: Currency,
    /// Whether this is a sandbox, whose clock can be moved.
    pub sandbox: bool,
    /// The day of the month on which invoices are issued automatically, if any.
    pub invoice_day: Option<u32>,
    /// The name of the company that issues invoices.
    pub issuer: String,
    /// Whether the client address is taken from `X-Forwarded-For`.
    pub trust_forwarded_for: bool,
    /// Verifies OpenID Connect tokens, if an issuer is configured.
    pub oidc: Option<Oidc>,
    /// The timeout for a response.
    pub answer_timeout: Duration,
    pub rate_limits: RateLimits,
    /// The concurrency budgets.
    pub budgets: Budgets,
    /// The last known readiness of the service.
    pub readiness: Readiness,
    /// Sends messages to webhook endpoints.
    pub courier: Courier,
    /// The event feed watcher.
    pub lookout: Lookout,
    pub metrics: Metrics,
    /// Whether the service is stopping.
    pub shutdown: Shutdown,
}

/// The settings for connections.
#[derive(Debug, Clone)]
pub struct Http {
    /// The number of threads that serve requests.
    pub workers: usize,
    /// The maximum number of connections. Further clients wait until one is closed.
    pub max_connections: usize,
    /// The timeout for a client to send the head of a request.
    pub request_timeout: Duration,
    /// The timeout for a client to start its next request.
    pub keep_alive: Duration,
    /// The timeout for a client to receive a response.
    pub send_timeout: Duration,
    /// How long requests may take to finish when the service is stopping.
    pub shutdown_timeout: Duration,
    /// The origins of web pages that may call the API.
    pub cors_origins: Vec<Origin>,
}

/// Which operations a listener serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Surface {
    /// All operations.
    #[default]
    Everything,
    /// The operations for clients.
    Clients,
    /// The operations for operators: health and metrics.
    Operators,
}

/// The paths of the operations for operators.
const FOR_OPERATORS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

impl Surface {
    /// Whether an operation with this path is served.
    #[must_use]
    pub fn has(self, path: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Clients => !FOR_OPERATORS.contains(&path),
            Self::Operators => FOR_OPERATORS.contains(&path),
        }
    }

    /// Whether the pages of the documentation are served.
    #[must_use]
    pub fn has_documentation(self) -> bool {
        self != Self::Operators
    }
}

/// The listeners of a server.
#[derive(Debug)]
pub struct Listeners {
    /// For clients, and also for operators if they have no separate listener.
    pub main: TcpListener,
    /// For operators only, if it exists.
    pub operators: Option<TcpListener>,
}

/// The servers on the listeners. They run when they are awaited.
pub struct Servers {
    /// On the main listener.
    pub main: Server,
    /// On the operators' listener.
    pub operators: Option<Server>,
}

/// Longer than the usual timeouts of clients and load balancers, so that they close idle connections, not this server.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Builds the servers.
///
/// # Errors
/// A listener cannot be used.
pub fn build(listeners: Listeners, state: AppState, http: &Http) -> std::io::Result<Servers> {
    let state = web::Data::new(state);
    let Listeners { main, operators } = listeners;
    let surface = if operators.is_some() { Surface::Clients } else { Surface::Everything };
    let operators = match operators {
        None => None,
        // One thread is enough for probes. They do not share it with clients, so that they never wait for them.
        Some(listener) => Some(serve(listener, &state, &Http { workers: 1, ..http.clone() }, Surface::Operators)?),
    };
    Ok(Servers { main: serve(main, &state, http, surface)?, operators })
}

fn serve(listener: TcpListener, state: &web::Data<AppState>, http: &Http, surface: Surface) -> std::io::Result<Server> {
    let state = state.clone();
    let (origins, limits) = (http.cors_origins.clone(), http.clone());
    let server = HttpServer::new(move || {
        // Created on the thread of the worker, because its database connection belongs to that thread.
        let state = web::Data::new(AppState { db: state.db.of_worker(), ..AppState::clone(&state) });
        App::new()
            .app_data(state)
            .app_data(surface)
            // The last of these runs first.
            .wrap(from_fn(incoming::admit))
            .wrap(cors::allow(&origins))
            .wrap(from_fn(middleware::observe))
            .wrap(from_fn(unread::hold))
            .wrap(from_fn(connection::track))
            .into_utoipa_app()
            .service(
                utoipa_actix_web::scope("/v1")
                    .wrap(from_fn(write::write))
                    .wrap(from_fn(accept::negotiate))
                    .wrap(from_fn(rate_limit::limit))
                    .wrap(from_fn(auth::authenticate))
                    .configure(v1::routes),
            )
            .configure(service::routes)
            .into_app()
            .service(web::redirect("/docs", "/docs/"))
            .service(service::docs())
            .default_service(web::to(middleware::not_served))
    });
    let server = server
        .workers(http.workers)
        // This limit is per worker.
        .max_connections(http.max_connections.div_ceil(http.workers.max(1)))
        .on_connect(move |connection, data| connection::set_up(connection, data, &limits))
        .keep_alive(http.keep_alive)
        .client_request_timeout(http.request_timeout)
        .shutdown_timeout(http.shutdown_timeout.as_secs())
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}
