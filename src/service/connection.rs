//! Connections of clients that are not there any more, do not take what they asked for, or ask for nothing: they are
//! cut off, and what was kept for them is free.

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

/// A connection on which nothing came for so long is asked whether there is still somebody.
const SILENCE: Duration = Duration::from_secs(60);

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// The files that a connection takes: its socket, and that once more for whoever watches it.
pub const FILES: usize = 2;

/// Since when a connection has no request under way; nothing while it has one.
type IdleSince = Rc<Cell<Option<Instant>>>;

/// What there is for a connection until it is closed.
struct Watched {
    idle_since: IdleSince,
    watch: JoinHandle<()>,
    /// Whether the client has said that it sends nothing more.
    is_closing: Cell<bool>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// A request that is under way, until the last of its answer is handed over.
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

/// Sets up a connection that was accepted.
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
    // What was sent has to be taken in this time, also when the client says that it has no room. Other systems
    // have nothing like it.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(send_timeout))?;
    #[cfg(not(target_os = "linux"))]
    let _ = send_timeout;
    socket.try_clone()
}

/// Cuts a connection off whose next request does not come in time: actix waits no longer when the first byte of it
/// is there, and has a limit for the head of the first request alone.
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

/// Leaves a connection open while it has a request under way, and closes it after a request that says
/// `Connection: close`: what a client sends after that is not processed (RFC 9112, section 9.6).
///
/// # Errors
/// Of the request.
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
