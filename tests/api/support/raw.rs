//! HTTP as bytes, for requests and responses that a client library does not allow.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Raw(TcpStream);

/// A response: the head in lower case, and the body.
#[derive(Debug)]
pub struct RawAnswer {
    pub head: String,
    pub body: String,
}

/// Longer than any response takes.
const PATIENCE: Duration = Duration::from_secs(30);

impl Raw {
    pub async fn connect(url: &str) -> Self {
        Self(TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap())
    }

    /// Sends one request and reads its response.
    pub async fn send(&mut self, request: &[u8]) -> RawAnswer {
        self.write(request).await;
        self.read().await
    }

    /// Sends bytes without reading a response.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends bytes. Returns whether the server accepts them.
    pub async fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Resets the connection instead of closing it.
    pub fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads a response.
    pub async fn read(&mut self) -> RawAnswer {
        tokio::time::timeout(PATIENCE, self.answer()).await.expect("a response in time")
    }

    /// A GET with only the required headers.
    pub async fn get(&mut self, path: &str, headers: &[u8]) -> RawAnswer {
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\n");
        self.send(&[head.as_bytes(), headers, b"\r\n"].concat()).await
    }

    /// Whether the server closes the connection without sending anything more.
    pub async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await;
        read.is_ok_and(|read| read.is_ok()) && rest.is_empty()
    }

    /// Reads a response to HEAD, which has no body, whatever its length header says.
    pub async fn read_head(&mut self) -> RawAnswer {
        let head = tokio::time::timeout(PATIENCE, self.head()).await.expect("a response in time");
        RawAnswer { head, body: String::new() }
    }

    /// Reads until the server closes the connection.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("the connection ends");
        // It may be reset if the server has not read everything that was sent.
        let _ = read;
        String::from_utf8_lossy(&rest).into_owned()
    }

    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("the connection stays open until the response"));
        }
        String::from_utf8(head).unwrap().to_lowercase()
    }

    async fn answer(&mut self) -> RawAnswer {
        let head = self.head().await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body).await.unwrap();
        RawAnswer { head, body: String::from_utf8(body).unwrap() }
    }
}

impl RawAnswer {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The value of a header, in lower case like the whole head.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}
