//! What a server says to its database, as it goes over the wire.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What was said since it was last taken: each round trip, from the first word of the server to the answer of the
/// database.
#[derive(Debug, Clone, Default)]
pub struct Traffic(pub Vec<Trip>);

/// What was said before the database answered.
#[derive(Debug, Clone, Default)]
pub struct Trip {
    connection: usize,
    /// The statements that were run, each in full.
    pub statements: Vec<String>,
    /// Those that the database had to parse.
    pub parsed: Vec<String>,
}

impl Traffic {
    /// How many statements were run that contain a text.
    pub fn count(&self, text: &str) -> usize {
        self.statements().filter(|sql| sql.contains(text)).count()
    }

    /// The statements that were run.
    pub fn statements(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|trip| &trip.statements).map(String::as_str)
    }

    /// Those that were parsed.
    pub fn parsed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|trip| &trip.parsed).map(String::as_str)
    }

    /// Without the round trips of statements that contain a text.
    pub fn without(mut self, text: &str) -> Self {
        self.0.retain(|trip| !trip.statements.iter().chain(&trip.parsed).any(|sql| sql.contains(text)));
        self
    }

    /// Adds what was said on a connection: to the last of its round trips, or as another.
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

/// Notes what goes over the connections to a database.
#[derive(Clone, Default)]
pub struct Wire {
    traffic: Arc<Mutex<Traffic>>,
    connections: Arc<AtomicUsize>,
}

impl Wire {
    /// What was said since this was last asked.
    pub fn take(&self) -> Traffic {
        std::mem::take(&mut self.traffic.lock().unwrap())
    }

    /// Carries a connection until either side ends it.
    pub async fn carry<C, S>(&self, client: C, server: S) -> io::Result<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_server, mut to_server) = tokio::io::split(server);
        // Whether the database has yet to answer.
        let is_asked = AtomicBool::new(false);
        let there = async {
            let connection = self.connections.fetch_add(1, Ordering::Relaxed);
            let mut session = Session::default();
            let mut part = vec![0; 1 << 16];
            loop {
                let read = from_client.read(&mut part).await?;
                if read == 0 {
                    return Ok(());
                }
                let said = session.hear(&part[..read]);
                let is_new = !is_asked.swap(true, Ordering::Relaxed);
                if session.is_ready && (is_new || !said.statements.is_empty() || !said.parsed.is_empty()) {
                    self.traffic.lock().unwrap().add(Trip { connection, ..said }, is_new);
                }
                to_server.write_all(&part[..read]).await?;
            }
        };
        let back = async {
            let mut part = vec![0; 1 << 16];
            loop {
                let read = from_server.read(&mut part).await?;
                if read == 0 {
                    return Ok(());
                }
                is_asked.store(false, Ordering::Relaxed);
                to_client.write_all(&part[..read]).await?;
            }
        };
        tokio::select! {
            ended = there => ended,
            ended = back => ended,
        }
    }
}

/// What one connection has said, as far as it has to be remembered.
#[derive(Default)]
struct Session {
    /// The beginning of a message that has not come whole.
    unfinished: Vec<u8>,
    /// Whether the connection's own beginnings are over: messages have a type then.
    is_ready: bool,
    /// The text of each statement by its name.
    named: HashMap<Vec<u8>, String>,
}

impl Session {
    fn hear(&mut self, part: &[u8]) -> Trip {
        self.unfinished.extend_from_slice(part);
        let mut said = Trip::default();
        loop {
            let header = usize::from(self.is_ready);
            let Some(length) = self.unfinished.get(header..header + 4) else { return said };
            let end = header + usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap();
            if self.unfinished.len() < end {
                return said;
            }
            let message: Vec<u8> = self.unfinished.drain(..end).collect();
            if self.is_ready {
                self.note(message[0], &message[5..], &mut said);
            } else {
                // The first message without a type is the last: the tests do not encrypt the way to their database.
                self.is_ready = true;
            }
        }
    }

    fn note(&mut self, kind: u8, body: &[u8], said: &mut Trip) {
        let mut texts = body.split(|byte| *byte == 0);
        let mut next = || texts.next().unwrap_or_default().to_vec();
        match kind {
            b'P' => {
                let (name, sql) = (next(), String::from_utf8(next()).unwrap());
                said.parsed.push(sql.clone());
                self.named.insert(name, sql);
            }
            b'B' => {
                let (_portal, name) = (next(), next());
                said.statements.extend(self.named.get(&name).cloned());
            }
            b'Q' => {
                let sql = String::from_utf8(next()).unwrap();
                said.parsed.push(sql.clone());
                said.statements.push(sql);
            }
            _ => {}
        }
    }
}
