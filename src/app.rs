//! What the server is made of, for `main` and for the tests alike.

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

/// What every request can use. Clones share it all.
#[derive(Clone)]
pub struct AppState {
    pub db: Db,
    /// What is remembered of keys.
    pub access: AccessCache,
    pub clock: Clock,
    /// What customers pay in when nothing else is said.
    pub default_currency: Currency,
    /// Whether the clock can be moved.
    pub sandbox: bool,
    /// Day of the month on which invoices are made by themselves, if they are.
    pub invoice_day: Option<u32>,
    /// Who issues invoices.
    pub issuer: String,
    /// Whether a proxy of ours says where requests come from.
    pub trust_forwarded_for: bool,
    /// Verifies tokens, if there is an issuer of them.
    pub oidc: Option<Oidc>,
    /// For a request to be answered.
    pub answer_timeout: Duration,
    /// How often callers may send requests.
    pub rate_limits: RateLimits,
    /// How much callers may have under way at a time.
    pub budgets: Budgets,
    /// Whether the service is ready, as of a moment ago.
    pub readiness: Readiness,
    /// What sends messages to webhook endpoints.
    pub courier: Courier,
    /// Looks for those who wait for events.
    pub lookout: Lookout,
    /// What is measured.
    pub metrics: Metrics,
    /// Whether the service is being stopped.
    pub shutdown: Shutdown,
}

/// How the server treats connections.
#[derive(Debug, Clone)]
pub struct Http {
    /// Threads that serve requests.
    pub workers: usize,
    /// The most connections; whoever comes then waits until one is closed.
    pub max_connections: usize,
    /// For a client to send a request's head.
    pub request_timeout: Duration,
    /// For a client to begin its next request.
    pub keep_alive: Duration,
    /// For a client to take what it is sent.
    pub send_timeout: Duration,
    /// For requests to be finished when the service is being stopped.
    pub shutdown_timeout: Duration,
    /// Whose web pages may call the API.
    pub cors_origins: Vec<Origin>,
}

/// Which operations a listener serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Surface {
    /// All of them.
    #[default]
    Everything,
    /// Those for clients.
    Clients,
    /// Those for operators: health and metrics.
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
    /// For clients, and for operators too where those have no listener of their own.
    pub main: TcpListener,
    /// For operators alone, if they have one.
    pub operators: Option<TcpListener>,
}

/// The servers on the listeners: they run when they are awaited.
pub struct Servers {
    /// On the main listener.
    pub main: Server,
    /// On the operators' listener.
    pub operators: Option<Server>,
}

/// Longer than the clients' and load balancers' own, so that it is they who close an idle connection.
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
        // Probes need no more than one thread, and never wait behind clients for it.
        Some(listener) => Some(serve(listener, &state, &Http { workers: 1, ..http.clone() }, Surface::Operators)?),
    };
    Ok(Servers { main: serve(main, &state, http, surface)?, operators })
}

fn serve(listener: TcpListener, state: &web::Data<AppState>, http: &Http, surface: Surface) -> std::io::Result<Server> {
    let state = state.clone();
    let (origins, limits) = (http.cors_origins.clone(), http.clone());
    let server = HttpServer::new(move || {
        // Made on the thread of the worker, which its connection belongs to.
        let state = web::Data::new(AppState { db: state.db.of_worker(), ..AppState::clone(&state) });
        App::new()
            .app_data(state)
            .app_data(surface)
            // What is named last comes first.
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
        // Of each worker.
        .max_connections(http.max_connections.div_ceil(http.workers.max(1)))
        .on_connect(move |connection, data| connection::set_up(connection, data, &limits))
        .keep_alive(http.keep_alive)
        .client_request_timeout(http.request_timeout)
        .shutdown_timeout(http.shutdown_timeout.as_secs())
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}
