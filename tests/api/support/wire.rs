//! The traffic between a server and its database, as bytes.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The traffic since it was last taken: each round trip, from the first message of the server to the response of the
/// database.
#[derive(Debug, Clone, Default)]
pub struct Traffic(pub Vec<Trip>);

/// The messages before a response of the database.
#[derive(Debug, Clone, Default)]
pub struct Trip {
    connection: usize,
    /// The statements that were executed, with their full text.
    pub statements: Vec<String>,
    /// The statements that the database had to parse.
    pub parsed: Vec<String>,
}

impl Traffic {
    /// The number of executed statements that contain a text.
    pub fn count(&self, text: &str) -> usize {
        self.statements().filter(|sql| sql.contains(text)).count()
    }

    /// The executed statements.
    pub fn statements(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|trip| &trip.statements).map(String::as_str)
    }

    /// The parsed statements.
    pub fn parsed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|trip| &trip.parsed).map(String::as_str)
    }

    /// The traffic without the round trips of statements that contain a text.
    pub fn without(mut self, text: &str) -> Self {
        self.0.retain(|trip| !trip.statements.iter().chain(&trip.parsed).any(|sql| sql.contains(text)));
        self
    }

    /// Adds messages of a connection: to its last round trip, or as a new one.
    fn add(&mut self, said: Trip, is_new: bool) {
        match self.0.iter_mut().rfind(|trip| trip.connection == said.connection) {
            Some(last) if !is_new => {
                last.statements.extend(said.statements);
                last.parsed.extend(said.parsed);
            }
            _ => self.0.push(said),
        }
    }
}

/// Records the traffic of connections to a database.
#[derive(Clone, Default)]
pub struct Wire {
    traffic: Arc<Mutex<Traffic>>,
    connections: Arc<AtomicUsize>,
    silence_ms: Arc<AtomicU64>,
}

impl Wire {
    /// The traffic since the last call.
    pub fn take(&self) -> Traffic {
        std::mem::take(&mut self.traffic.lock().unwrap())
    }

    /// From now on, responses of the database are delayed until the server has been silent for this time. So everything
    /// that the server sends without waiting for a response is one round trip.
    pub fn slow(&self, silence: Duration) {
        self.silence_ms.store(u64::try_from(silence.as_millis()).unwrap(), Ordering::Relaxed);
    }

    async fn wait_for_silence(&self, spoke: &Mutex<Instant>) {
        let silence = Duration::from_millis(self.silence_ms.load(Ordering::Relaxed));
        loop {
            let left = silence.saturating_sub(spoke.lock().unwrap().elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Forwards a connection until either side closes it.
    pub async fn carry<C, S>(&self, client: C, server: S) -> io::Result<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_server, mut to_server) = tokio::io::split(server);
        // The open requests to the database, and whether the server waits for each.
        let asked = Mutex::new(VecDeque::new());
        let spoke = Mutex::new(Instant::now());
        let there = async {
            let connection = self.connections.fetch_add(1, Ordering::Relaxed);
            let (mut frames, mut session) = (Frames::of_client(), Session::default());
            let mut part = vec![0; 1 << 16];
            loop {
                let read = from_client.read(&mut part).await?;
                if read == 0 {
                    return Ok(());
                }
                *spoke.lock().unwrap() = Instant::now();
                for message in frames.hear(&part[..read]) {
                    let Some((said, is_awaited)) = session.hear(&message) else { continue };
                    let mut asked = asked.lock().unwrap();
                    if is_awaited {
                        let is_new = !asked.contains(&true);
                        self.traffic.lock().unwrap().add(Trip { connection, ..said }, is_new);
                    }
                    asked.push_back(is_awaited);
                }
                to_server.write_all(&part[..read]).await?;
            }
        };
        let back = async {
            let mut frames = Frames::default();
            let mut part = vec![0; 1 << 16];
            loop {
                let read = from_server.read(&mut part).await?;
                if read == 0 {
                    return Ok(());
                }
                self.wait_for_silence(&spoke).await;
                for _ in frames.hear(&part[..read]).iter().filter(|message| message[0] == b'Z') {
                    asked.lock().unwrap().pop_front();
                }
                to_client.write_all(&part[..read]).await?;
            }
        };
        tokio::select! {
            ended = there => ended,
            ended = back => ended,
        }
    }
}

/// Splits the bytes of a connection into messages.
#[derive(Default)]
struct Frames {
    /// The start of an incomplete message.
    unfinished: Vec<u8>,
    /// Whether the next message is the first message of a client, which has no type. The tests do not encrypt their
    /// database connections.
    is_first: bool,
}

impl Frames {
    fn of_client() -> Self {
        Self { is_first: true, ..Self::default() }
    }

    /// The complete messages, each with its type first.
    fn hear(&mut self, part: &[u8]) -> Vec<Vec<u8>> {
        self.unfinished.extend_from_slice(part);
        let mut messages = Vec::new();
        loop {
            let header = usize::from(!self.is_first);
            let Some(length) = self.unfinished.get(header..header + 4) else { return messages };
            let end = header + usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap();
            if self.unfinished.len() < end {
                return messages;
            }
            let message: Vec<u8> = self.unfinished.drain(..end).collect();
            if !std::mem::take(&mut self.is_first) {
                messages.push(message);
            }
        }
    }
}

/// The state of one connection.
#[derive(Default)]
struct Session {
    /// The text of each statement by its name.
    named: HashMap<Vec<u8>, String>,
    /// The messages since the last request for a response.
    said: Trip,
    /// Whether there were messages other than the closing of statements, whose response is not awaited.
    is_awaited: bool,
}

impl Session {
    /// Once a response is requested: the messages, and whether the server waits for the response.
    fn hear(&mut self, message: &[u8]) -> Option<(Trip, bool)> {
        let mut texts = message[5..].split(|byte| *byte == 0);
        let mut next = || texts.next().unwrap_or_default().to_vec();
        self.is_awaited |= !matches!(message[0], b'C' | b'S');
        match message[0] {
            b'P' => {
                let (name, sql) = (next(), String::from_utf8(next()).unwrap());
                self.said.parsed.push(sql.clone());
                self.named.insert(name, sql);
            }
            b'B' => {
                let (_portal, name) = (next(), next());
                self.said.statements.extend(self.named.get(&name).cloned());
            }
            b'Q' => {
                let sql = String::from_utf8(next()).unwrap();
                self.said.parsed.push(sql.clone());
                self.said.statements.push(sql);
            }
            _ => {}
        }
        matches!(message[0], b'S' | b'Q')
            .then(|| (std::mem::take(&mut self.said), std::mem::take(&mut self.is_awaited)))
    }
}
