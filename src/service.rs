//! What the server is made of, for `main` and for the tests alike.

pub mod connection;
pub mod webhook_listener;

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use utoipa_actix_web::AppExt;

use crate::api::middleware::cors::{self, Origin};
use crate::api::middleware::{authenticate, incoming, limit, negotiate, observe, unread, write};
use crate::api::state::{AppState, Surface};
use crate::api::{docs, health, v1};

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
            .wrap(from_fn(observe::observe))
            .wrap(from_fn(unread::hold))
            .wrap(from_fn(connection::track))
            .into_utoipa_app()
            .service(
                utoipa_actix_web::scope("/v1")
                    .wrap(from_fn(write::write))
                    .wrap(from_fn(negotiate::negotiate))
                    .wrap(from_fn(limit::limit))
                    .wrap(from_fn(authenticate::authenticate))
                    .configure(v1::routes),
            )
            .configure(health::routes)
            .into_app()
            .configure(docs::routes)
            .default_service(web::to(observe::not_served))
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
