//! Closes the connections of clients that have disappeared, do not read their responses, or stay idle, and so frees
//! their resources.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use actix_web::rt::task::JoinHandle;
use actix_web::rt::{spawn, time};
use socket2::{SockRef, Socket, TcpKeepalive};

use super::Http;
use crate::api::respond::body;

/// The idle time after which TCP keep-alive probes start.
const SILENCE: Duration = Duration::from_secs(60);

/// The interval between keep-alive probes.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// The number of open files per connection: the socket, and a duplicate of it for the task that watches it.
pub const FILES: usize = 2;

/// Since when a connection has no request in progress; `None` while it has one.
type IdleSince = Rc<Cell<Option<Instant>>>;

/// The state of an open connection.
struct Watched {
    idle_since: IdleSince,
    watch: JoinHandle<()>,
    /// Whether the client has announced its last request.
    is_closing: Cell<bool>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// A request in progress. It ends when the last part of its response was handed over.
struct UnderWay(IdleSince);

impl UnderWay {
    fn on(connection: &Watched) -> Self {
        connection.idle_since.set(None);
        Self(Rc::clone(&connection.idle_since))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.set(Some(Instant::now()));
    }
}

/// Sets up an accepted connection.
pub fn set_up(connection: &dyn Any, data: &mut Extensions, http: &Http) {
    let Some(connection) = connection.downcast_ref::<TcpStream>() else { return };
    match limit(&SockRef::from(connection), http.send_timeout) {
        Ok(socket) => {
            let idle_since = Rc::new(Cell::new(Some(Instant::now())));
            let watch = spawn(watch(socket, Rc::clone(&idle_since), http.keep_alive + http.request_timeout));
            data.insert(Watched { idle_since, watch, is_closing: Cell::new(false) });
        }
        Err(error) => tracing::debug!(%error, "connection setup failed"),
    }
}

fn limit(socket: &SockRef<'_>, send_timeout: Duration) -> io::Result<Socket> {
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE).with_interval(ASK_EVERY))?;
    // Sent data must be acknowledged within this time, also when the client reports that its receive window is full.
    // Other systems have no such option.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(send_timeout))?;
    #[cfg(not(target_os = "linux"))]
    let _ = send_timeout;
    socket.try_clone()
}

/// Closes a connection if its next request does not arrive in time. This is necessary because actix stops waiting after
/// the first byte, and limits the time for the head of the first request only.
async fn watch(socket: Socket, idle_since: IdleSince, patience: Duration) {
    loop {
        let idle = idle_since.get().map_or(Duration::ZERO, |since| since.elapsed());
        if idle >= patience {
            break;
        }
        time::sleep(patience - idle).await;
    }
    if let Err(error) = socket.shutdown(Shutdown::Both) {
        tracing::debug!(%error, "connection closed");
    }
}

/// Keeps a connection open while it has a request in progress, and closes it after a request with `Connection: close`.
/// Later requests on that connection are not processed (RFC 9112, section 9.6).
///
/// # Errors
/// The error of the request.
pub async fn track(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let closes = request.head().connection_type() == ConnectionType::Close;
    let is_closing = request.conn_data::<Watched>().map(|connection| &connection.is_closing);
    if is_closing.is_some_and(|is_closing| is_closing.replace(is_closing.get() || closes)) {
        tracing::warn!("a request after `Connection: close` was not processed");
        return Ok(request.into_response(HttpResponse::BadRequest().force_close().finish()));
    }
    let under_way = request.conn_data().map(UnderWay::on);
    let mut response = body::hold(next.call(request).await?, under_way);
    if closes {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}
