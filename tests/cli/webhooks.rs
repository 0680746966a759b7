//! The receiver for trying out webhooks.

use std::process::Stdio;
use std::time::Duration;

use partner_platform::domain::webhooks::signature::{Secret, sign};
use partner_platform::platform::clock::Clock;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout};

use crate::http::http;
use crate::program::{program, run};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_wants_a_secret_of_an_endpoint() {
    for secret in ["", "whsec_", "whsec_c2hvcnQ=", "ppk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"] {
        let output = run(&["webhooks", "listen", "--port", "0", "--secret", secret]).await;
        assert_eq!(output.status.code(), Some(2), "{secret}: {output:?}");
    }
}

fn now() -> i64 {
    Clock::system().machine().timestamp()
}

/// A running receiver.
struct Listening {
    port: u16,
    output: BufReader<ChildStdout>,
    _program: Child,
}

impl Listening {
    async fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = program(&["webhooks", "listen", "--port", &port.to_string(), "--secret", SECRET]);
        let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(program.stdout.take().unwrap());
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { port, output, _program: program }
    }

    /// Sends a message of an instant. Returns the status of the response, and what the receiver prints.
    async fn tell(&mut self, timestamp: i64, (body, signature): (Vec<u8>, String)) -> (StatusCode, Value) {
        let timestamp = timestamp.to_string();
        let headers = [("webhook-id", "msg"), ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)];
        self.send(&headers, body).await
    }

    async fn send(&mut self, headers: &[(&str, &str)], body: Vec<u8>) -> (StatusCode, Value) {
        let mut request = http().post(format!("http://127.0.0.1:{}/", self.port));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // A line may be longer than the buffer of the pipe, so it is read meanwhile.
        let (answer, line) = tokio::join!(request.body(body).send(), self.line());
        (answer.unwrap().status(), line)
    }

    /// The next line, which is JSON in printable ASCII characters.
    async fn line(&mut self) -> Value {
        let mut line = Vec::new();
        let read = self.output.read_until(b'\n', &mut line);
        tokio::time::timeout(Duration::from_secs(60), read).await.expect("a line is printed in time").unwrap();
        assert_eq!(line.pop(), Some(b'\n'));
        let other = line.iter().find(|byte| !(b' '..=b'~').contains(*byte));
        assert_eq!(other, None, "only printable ASCII: {}", String::from_utf8_lossy(&line).escape_debug());
        assert!(line.len() < 7 << 20, "{} bytes", line.len());
        serde_json::from_slice(&line).unwrap()
    }
}

fn signed(timestamp: i64, body: Vec<u8>) -> (Vec<u8>, String) {
    let secret: Secret = SECRET.parse().unwrap();
    let signature = sign(&[&secret], "msg", timestamp, &body);
    (body, signature)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_line_of_json_is_printed_for_each_message_verified_or_not() {
    let (mut listening, now) = (Listening::start().await, now());
    let event = || b"{\"type\": \"customer.created\",\n \"data\": {\"name\": \"\xc3\x89mile\"}}".to_vec();
    let told = listening.tell(now, signed(now, event())).await;
    let mut expected = json!({
        "verified": true, "reason": null, "id": "msg", "timestamp": now, "truncated": false,
        "body": { "type": "customer.created", "data": { "name": "\u{c9}mile" } },
    });
    assert_eq!(told, (StatusCode::NO_CONTENT, expected.clone()));
    let told = listening.tell(now, (event(), "v1,AAAA".to_owned())).await;
    expected["verified"] = json!(false);
    expected["reason"] = json!("The signature does not match the message and the secret.");
    assert_eq!(told, (StatusCode::UNAUTHORIZED, expected));
    for (body, shown) in [("", json!("")), ("7", json!(7)), ("{\"a\":", json!("{\"a\":")), ("1e400", json!("1e400"))] {
        let (status, line) = listening.tell(now, signed(now, body.into())).await;
        assert_eq!((status, &line["body"]), (StatusCode::NO_CONTENT, &shown), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_says_why_a_message_is_not_verified() {
    let (mut listening, now) = (Listening::start().await, now());
    let (body, signature) = signed(now, b"{}".to_vec());
    let (current, old, ahead) = (now.to_string(), (now - 310).to_string(), (now + 310).to_string());
    for (id, timestamp, signature, reason) in [
        (None, Some(&*current), Some(&*signature), "The header webhook-id is missing or not ASCII."),
        (Some("msg"), None, Some(&*signature), "The header webhook-timestamp is missing or not an integer."),
        (Some("msg"), Some("soon"), Some(&*signature), "The header webhook-timestamp is missing or not an integer."),
        (Some("msg"), Some(&*current), None, "The header webhook-signature is missing or not ASCII."),
        (Some("msg"), Some(&*old), Some(&*signature), "The timestamp is more than 5 minutes from now."),
        (Some("msg"), Some(&*ahead), Some(&*signature), "The timestamp is more than 5 minutes from now."),
        (
            Some("msg"),
            Some("-9223372036854775808"),
            Some(&*signature),
            "The timestamp is more than 5 minutes from now.",
        ),
        (Some("other"), Some(&*current), Some(&*signature), "The signature does not match the message and the secret."),
    ] {
        let headers = [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)];
        let headers: Vec<_> = headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let (status, line) = listening.send(&headers, body.clone()).await;
        assert_eq!(
            (status, &line["verified"], &line["reason"]),
            (StatusCode::UNAUTHORIZED, &json!(false), &json!(reason))
        );
        assert_eq!((&line["id"], &line["body"]), (&json!(id), &json!({})));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_hostile_sender_sends_reaches_the_terminal_as_it_is() {
    let (mut listening, now) = (Listening::start().await, now());
    let escapes = "\u{1b}]0;title\u{7}\u{1b}[2J\r\n\u{7f}\u{9b}31m\u{202e}\u{2028}\0{\"verified\":true}\u{1f600}";
    let as_json = json!({ escapes: [escapes] }).to_string();
    for (body, shown) in [(escapes.to_owned(), json!(escapes)), (as_json, json!({ escapes: [escapes] }))] {
        let (status, line) = listening.tell(now, (body.into_bytes(), "v1,AAAA".to_owned())).await;
        assert_eq!((status, &line["verified"], &line["body"]), (StatusCode::UNAUTHORIZED, &json!(false), &shown));
    }
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let body: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(seed as usize).collect();
        let (_, line) = listening.tell(now, signed(now, body.clone())).await;
        assert_eq!(line["verified"], true, "{seed}");
        assert!(
            line["body"] == json!(String::from_utf8_lossy(&body)) || serde_json::from_slice::<Value>(&body).is_ok()
        );
    }
    let mut sender = TcpStream::connect(("127.0.0.1", listening.port)).await.unwrap();
    let id = format!("\u{1b}[31m\u{e9}{}", "x".repeat(5000));
    let head = format!("POST / HTTP/1.1\r\nhost: receiver\r\nwebhook-id: {id}\r\ncontent-length: 2\r\n\r\n{{}}");
    sender.write_all(head.as_bytes()).await.unwrap();
    sender.shutdown().await.unwrap();
    let mut answer = String::new();
    sender.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let (_, long) = listening.send(&[("webhook-id", &"x".repeat(5000))], Vec::new()).await;
    // Input that is not HTTP is not a message, and prints no line.
    assert_eq!(long["id"], "x".repeat(200), "{long}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_be_as_long_as_an_event_can_be_and_the_beginning_is_printed() {
    let (mut listening, now) = (Listening::start().await, now());
    let (status, line) = listening.tell(now, signed(now, vec![b'1'; 10_000_000])).await;
    assert_eq!((status, &line["verified"], &line["truncated"]), (StatusCode::NO_CONTENT, &json!(true), &json!(true)));
    assert_eq!(line["body"], "1".repeat(1 << 20));
    let (_, line) = listening.tell(now, signed(now, vec![0; 10_000_000])).await;
    assert_eq!(line["body"], "\0".repeat(1 << 20), "six characters for each byte");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_message_that_is_too_long_the_receiver_says_so() {
    let mut listening = Listening::start().await;
    let mut sender = TcpStream::connect(("127.0.0.1", listening.port)).await.unwrap();
    sender.write_all(b"POST / HTTP/1.1\r\nhost: receiver\r\ncontent-length: 40000000\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    sender.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    let line = listening.line().await;
    assert_eq!((&line["verified"], &line["body"]), (&json!(false), &Value::Null));
    assert!(line["reason"].as_str().unwrap().starts_with("The body could not be read: "), "{line}");
}
