//! Builds the server, for `main` and for the tests.

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
