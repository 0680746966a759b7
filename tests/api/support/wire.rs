//! What a server says to its database, as it goes over the wire.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What was said since it was last taken.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// How often the server waited for an answer of the database.
    pub round_trips: usize,
    /// The statements that were run, each in full.
    pub statements: Vec<String>,
    /// Those that the database had to parse for it.
    pub parsed: Vec<String>,
}

impl Traffic {
    /// How many statements were run that contain a text.
    pub fn count(&self, text: &str) -> usize {
        self.statements.iter().filter(|sql| sql.contains(text)).count()
    }
}

/// Notes what goes over the connections to a database.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<Traffic>>);

impl Wire {
    /// What was said since this was last asked.
    pub fn take(&self) -> Traffic {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, note: impl FnOnce(&mut Traffic)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Carries a connection until either side ends it.
    pub async fn carry<C, S>(&self, client: C, server: S) -> io::Result<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_server, mut to_server) = tokio::io::split(server);
        // Whether the database has the word.
        let asked = Mutex::new(false);
        let there = async {
            let mut session = Session::default();
            let mut part = vec![0; 1 << 16];
            loop {
                let read = from_client.read(&mut part).await?;
                if read == 0 {
                    return Ok(());
                }
                let said = session.hear(&part[..read]);
                if !std::mem::replace(&mut *asked.lock().unwrap(), true) && session.is_ready {
                    self.note(|traffic| traffic.round_trips += 1);
                }
                self.note(|traffic| {
                    traffic.statements.extend(said.statements);
                    traffic.parsed.extend(said.parsed);
                });
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
                *asked.lock().unwrap() = false;
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
    fn hear(&mut self, part: &[u8]) -> Traffic {
        self.unfinished.extend_from_slice(part);
        let mut said = Traffic::default();
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

    fn note(&mut self, kind: u8, body: &[u8], said: &mut Traffic) {
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
