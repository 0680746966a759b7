//! The receiver for trying webhooks.

use std::process::Stdio;
use std::time::Duration;

use partner_platform::clock::Clock;
use partner_platform::domain::webhook::signature::{Secret, sign};
use reqwest::StatusCode;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
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

/// A receiver that runs.
struct Listening {
    port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    _program: Child,
}

impl Listening {
    async fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = program(&["webhooks", "listen", "--port", &port.to_string(), "--secret", SECRET]);
        let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(program.stdout.take().unwrap()).lines();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { port, lines, _program: program }
    }

    /// What is answered to a message of an instant, and how the line about it begins.
    async fn tell(&mut self, timestamp: i64, (body, signature): (Vec<u8>, String)) -> (StatusCode, String) {
        let request = http().post(format!("http://127.0.0.1:{}/", self.port)).header("webhook-id", "msg");
        let request = request.header("webhook-timestamp", timestamp).header("webhook-signature", signature);
        // A line may be longer than what is taken of it before somebody reads.
        let (answer, line) = tokio::join!(request.body(body).send(), self.line());
        (answer.unwrap().status(), line)
    }

    /// How the next line begins.
    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(Duration::from_secs(60), self.lines.next_line()).await.expect("it says so");
        line.unwrap().unwrap().chars().take(30).collect()
    }
}

fn signed(timestamp: i64, body: Vec<u8>) -> (Vec<u8>, String) {
    let secret: Secret = SECRET.parse().unwrap();
    let signature = sign(&[&secret], "msg", timestamp, &body);
    (body, signature)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_signed_is_refused() {
    let (mut listening, now) = (Listening::start().await, now());
    let told = listening.tell(now, signed(now, b"{}".to_vec())).await;
    assert_eq!(told, (StatusCode::NO_CONTENT, "verified {}".to_owned()));
    let told = listening.tell(now, (b"{}".to_vec(), "v1,AAAA".to_owned())).await;
    assert_eq!(told, (StatusCode::UNAUTHORIZED, "refused {}".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_be_as_long_as_an_event_can_be() {
    let (mut listening, now) = (Listening::start().await, now());
    let told = listening.tell(now, signed(now, vec![b'1'; 10_000_000])).await;
    assert_eq!(told, (StatusCode::NO_CONTENT, format!("verified {}", "1".repeat(21))));
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
    assert!(line.starts_with("refused: "), "{line}");
}
