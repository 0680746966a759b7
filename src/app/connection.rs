//! Connections of clients that are not there any more, or do not take what they asked for: the system cuts them
//! off, and what was kept for them is free.

use std::any::Any;
use std::io;
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

/// A connection on which nothing came for so long is asked whether there is still somebody.
const SILENCE: Duration = Duration::from_secs(60);

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// Sets up a connection that was accepted.
pub fn set_up(connection: &dyn Any, send_timeout: Duration) {
    let Some(connection) = connection.downcast_ref::<TcpStream>() else { return };
    if let Err(error) = limit(&SockRef::from(connection), send_timeout) {
        tracing::debug!(%error, "a connection cannot be set up");
    }
}

fn limit(socket: &SockRef<'_>, send_timeout: Duration) -> io::Result<()> {
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE).with_interval(ASK_EVERY))?;
    // What was sent has to be taken in this time, also when the client says that it has no room. Other systems
    // have nothing like it.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(send_timeout))?;
    #[cfg(not(target_os = "linux"))]
    let _ = send_timeout;
    Ok(())
}
