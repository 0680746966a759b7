//! Connections that are reused: a receiver may close one at any time, which must not make a delivery fail.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use partner_platform::domain::webhooks::address::Addresses;
use partner_platform::platform::outbound::guarded::Caller;
use reqwest::header::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Responds, and keeps the connection.
    Answers,
    /// Responds as if it kept the connection, and closes it after this number of milliseconds.
    AnswersAndCloses(u64),
    /// Begins a response and closes the connection.
    Begins,
    /// Closes the connection.
    Closes,
    /// Resets the connection.
    Resets,
}

/// A receiver that keeps connections, and its requests: the number of the connection and the body of each.
struct Keeping {
    url: String,
    got: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Keeping {
    /// The first item is for the first request, and so on.
    async fn start(script: &[Does]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<_>>> = Arc::default();
        let (script, to) = (script.to_vec(), got.clone());
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, connection, script.clone(), to.clone()));
            }
        });
        Self { url, got }
    }

    /// The connection of each request.
    fn connections(&self) -> Vec<usize> {
        self.got.lock().unwrap().iter().map(|(connection, _)| *connection).collect()
    }
}

async fn serve(mut stream: TcpStream, connection: usize, script: Vec<Does>, got: Arc<Mutex<Vec<(usize, String)>>>) {
    let mut bytes = Vec::new();
    loop {
        while !bytes.ends_with(b"}") {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let request = String::from_utf8(std::mem::take(&mut bytes)).unwrap();
        let body = request.split("\r\n\r\n").nth(1).unwrap().to_owned();
        let does = {
            let mut got = got.lock().unwrap();
            got.push((connection, body));
            script[got.len() - 1]
        };
        match does {
            Does::Begins => return stream.write_all(b"HTTP/1.1 204 To").await.unwrap(),
            Does::Closes => return,
            Does::Resets => return stream.set_zero_linger().unwrap(),
            Does::Answers | Does::AnswersAndCloses(_) => {
                stream.write_all(b"HTTP/1.1 204 Told\r\n\r\n").await.unwrap();
            }
        }
        if let Does::AnswersAndCloses(millis) = does {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            return;
        }
    }
}

fn caller() -> Caller {
    Caller::new(Addresses::public_and(vec!["127.0.0.0/8".parse().unwrap()])).unwrap()
}

/// The maximum time until a connection is ready for the next message.
const PAUSE: Duration = Duration::from_millis(50);

/// Posts a message with this number, once the connection of the previous one can be reused.
async fn post(caller: &Caller, receiver: &Keeping, number: usize) -> Result<u16, String> {
    tokio::time::sleep(PAUSE).await;
    let body = format!("{{\"number\":{number}}}").into_bytes();
    let called = caller.post(&receiver.url.parse().unwrap(), HeaderMap::new(), body).await;
    called.answer.map(|answer| answer.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_for_the_next_message() {
    let (caller, receiver) = (caller(), Keeping::start(&[Does::Answers; 3]).await);
    for number in 0..3 {
        assert_eq!(post(&caller, &receiver, number).await, Ok(204));
    }
    assert_eq!(receiver.connections(), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_closes_idle_connections_misses_no_message() {
    // Before, after and exactly when the next message is sent.
    for millis in [0, 48, 49, 50, 51, 52, 80] {
        let (caller, receiver) = (caller(), Keeping::start(&[Does::AnswersAndCloses(millis); 20]).await);
        for number in 0..10 {
            assert_eq!(post(&caller, &receiver, number).await, Ok(204), "{millis}: {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_on_a_connection_that_was_closed_meanwhile_is_sent_again_on_a_fresh_one() {
    // hyper does not report whether a response had begun, so an incomplete response counts as none.
    for ends in [Does::Closes, Does::Resets, Does::Begins] {
        let (caller, receiver) = (caller(), Keeping::start(&[Does::Answers, ends, Does::Answers]).await);
        assert_eq!(post(&caller, &receiver, 1).await, Ok(204));
        assert_eq!(post(&caller, &receiver, 2).await, Ok(204), "{ends:?}");
        assert_eq!(receiver.connections(), [0, 0, 1], "{ends:?}");
        let got = receiver.got.lock().unwrap().clone();
        assert_eq!(got[1].1, got[2].1, "the same message");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_again_once_and_never_because_of_a_fresh_connection() {
    for ends in [Does::Closes, Does::Resets] {
        let (caller, receiver) = (caller(), Keeping::start(&[Does::Answers, ends, ends, Does::Answers]).await);
        assert_eq!(post(&caller, &receiver, 1).await, Ok(204));
        post(&caller, &receiver, 2).await.unwrap_err();
        assert_eq!(receiver.connections(), [0, 0, 1], "{ends:?}: once");

        let receiver = Keeping::start(&[ends, Does::Answers]).await;
        post(&caller, &receiver, 1).await.unwrap_err();
        assert_eq!(receiver.connections(), [0], "{ends:?}: its first connection");
    }
}
