//! A webhook receiver with configurable responses, which records all messages.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Server;
use crate::support::Client;

/// Longer than anything here takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A local server that receives messages.
pub struct Receiver {
    pub url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    replies: Mutex<VecDeque<Reply>>,
}

/// A message as it was received.
#[derive(Debug, Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A response to a message.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: String,
    delay: Duration,
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self { status, headers: String::new(), delay: Duration::ZERO }
    }
}

impl Reply {
    /// The same response with an additional header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// The same response after a delay.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

impl Receiver {
    /// Starts a receiver that responds with 204.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let of_connections = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                of_connections.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, of_connections.clone()));
            }
        });
        Self { url, shared }
    }

    /// Sets the following responses: each is sent once, and the last one for all further messages.
    pub fn reply<R: Into<Reply>>(&self, replies: impl IntoIterator<Item = R>) {
        *self.shared.replies.lock().unwrap() = replies.into_iter().map(Into::into).collect();
    }

    /// The messages so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The types of the events so far.
    pub fn types(&self) -> Vec<String> {
        self.received().iter().map(|message| message.json()["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until so many messages have arrived.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let there = async {
            while self.received().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, there).await;
        waited.unwrap_or_else(|_| panic!("{} of {count} have arrived", self.received().len()));
        self.received()
    }

    /// Creates an endpoint at this receiver, for a client's tenant. Returns its path and its secret.
    pub async fn endpoint(&self, client: &Client, event_types: &[&str]) -> (String, String) {
        let new = json!({ "url": self.url, "event_types": event_types });
        let created = client.post("/v1/webhook-endpoints", new).await.created();
        let path = format!("/v1/webhook-endpoints/{}", created["webhook_endpoint"]["id"].as_str().unwrap());
        (path, created["secret"].as_str().unwrap().to_owned())
    }
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("there is no header {name}")).to_str().unwrap()
    }

    /// Whether the published library accepts the message with a secret, at the machine's time.
    pub fn verifies(&self, secret: &str) -> bool {
        Webhook::new(secret).unwrap().verify(&self.body, &self.headers).is_ok()
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut bytes = Vec::new();
    let head = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in text.lines().skip(1).filter_map(|line| line.split_once(": ")) {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
    while bytes.len() < head + 4 + length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    assert!(text.starts_with("POST /hooks HTTP/1.1"), "{text}");
    let reply = {
        let mut replies = shared.replies.lock().unwrap();
        let last = replies.front().cloned().unwrap_or(Reply::from(204));
        if replies.len() > 1 { replies.pop_front().unwrap() } else { last }
    };
    shared.received.lock().unwrap().push(Received { headers, body: bytes[head + 4..].to_vec() });
    tokio::time::sleep(reply.delay).await;
    let Reply { status, headers, .. } = reply;
    let answer = format!("HTTP/1.1 {status} Told\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
}

impl Server {
    /// Delivers all due messages once, like the delivery workers.
    pub async fn deliver(&self) {
        use partner_platform::ops::courier;
        let cx = self.context();
        courier::fan_out(&cx, || false).await.unwrap();
        for due in courier::due(&cx, &[]).await.unwrap() {
            courier::deliver(&cx, &self.courier, due.id, || false).await.unwrap();
        }
    }
}
