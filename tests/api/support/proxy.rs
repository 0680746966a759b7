//! A proxy between a server and its database. It can simulate failures, and records the traffic.

use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_postgres::config::Host;

use super::Database;
use super::wire::Wire;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Forwards everything.
    Pass,
    /// Closes every connection.
    Refuse,
    /// Accepts connections, but never responds. A connection that was silenced once stays silent.
    BlackHole,
}

/// A TCP port that forwards to a database.
pub struct Proxy {
    /// The URL of the database through this proxy.
    pub url: String,
    /// The recorded traffic.
    pub wire: Wire,
    mode: watch::Sender<Mode>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

#[derive(Clone)]
enum Upstream {
    Unix(PathBuf),
    Tcp(String, u16),
}

impl Proxy {
    pub async fn start(database: &Database) -> Self {
        let config: tokio_postgres::Config = database.url.parse().unwrap();
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let upstream = match &config.get_hosts()[0] {
            Host::Unix(folder) => Upstream::Unix(folder.join(format!(".s.PGSQL.{port}"))),
            Host::Tcp(name) => Upstream::Tcp(name.clone(), port),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (user, rest) = database.url.rsplit_once('@').unwrap();
        let (_, name) = rest.split_once('/').unwrap();
        let url = format!("{user}@{}/{name}", listener.local_addr().unwrap());

        let (mode, watched) = watch::channel(Mode::Pass);
        let wire = Wire::default();
        let heard = wire.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, upstream.clone(), watched.clone(), heard.clone()));
            }
        });
        Self { url, wire, mode }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn carry(
    mut client: TcpStream,
    upstream: Upstream,
    mut mode: watch::Receiver<Mode>,
    wire: Wire,
) -> io::Result<()> {
    let first = *mode.borrow();
    if first == Mode::Pass {
        let server = upstream.connect().await?;
        tokio::select! {
            // Ends when either side closes its connection.
            carried = wire.carry(&mut client, server) => return carried,
            mode = until(&mut mode, |mode| mode != Mode::Pass) => match mode {
                Some(Mode::BlackHole) => {}
                _ => return Ok(()),
            }
        }
    } else if first == Mode::Refuse {
        return Ok(());
    }
    // Held open until the end of the test.
    until(&mut mode, |_| false).await;
    Ok(())
}

/// Waits for a mode; `None` if the proxy is gone.
async fn until(mode: &mut watch::Receiver<Mode>, is_wanted: impl Fn(Mode) -> bool) -> Option<Mode> {
    mode.wait_for(|mode| is_wanted(*mode)).await.ok().map(|mode| *mode)
}

impl Upstream {
    async fn connect(self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(name, port) => Box::new(TcpStream::connect((name, port)).await?),
        })
    }
}
