//! What a server says to its database, as it goes over the wire.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
    silence_ms: Arc<AtomicU64>,
}

impl Wire {
    /// What was said since this was last asked.
    pub fn take(&self) -> Traffic {
        std::mem::take(&mut self.traffic.lock().unwrap())
    }

    /// From now on the answers of the database arrive only when the server has been silent for so long: whatever it says
    /// without waiting for them is one round trip.
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

    /// Carries a connection until either side ends it.
    pub async fn carry<C, S>(&self, client: C, server: S) -> io::Result<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_server, mut to_server) = tokio::io::split(server);
        // What the database has yet to answer: whether somebody waits for it.
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

/// Cuts what goes over a connection into messages.
#[derive(Default)]
struct Frames {
    /// The beginning of a message that has not come whole.
    unfinished: Vec<u8>,
    /// Whether the next message is the first of a client, which has no type: the tests do not encrypt the way to their
    /// database.
    is_first: bool,
}

impl Frames {
    fn of_client() -> Self {
        Self { is_first: true, ..Self::default() }
    }

    /// The messages that are complete by now, each with its type in front.
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

/// What one connection has said, as far as it has to be remembered.
#[derive(Default)]
struct Session {
    /// The text of each statement by its name.
    named: HashMap<Vec<u8>, String>,
    /// What was said since the database was last asked for an answer.
    said: Trip,
    /// Whether there was more than goodbyes to statements, for whose answer nobody waits.
    is_awaited: bool,
}

impl Session {
    /// What was said, once the database is to answer, and whether somebody waits for that.
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
