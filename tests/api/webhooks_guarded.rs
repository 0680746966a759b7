//! The allowed destinations of messages, tested on the sending client: names are resolved by a stub, and receivers are
//! on this machine.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use partner_platform::domain::webhooks::address::Addresses;
use partner_platform::platform::outbound::guarded::{Called, Caller};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Receiver, Reply};

/// A resolver with configured results for each name. Each result is returned once, and the last one for all further
/// lookups.
#[derive(Default)]
struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: Mutex<usize>,
}

impl Names {
    fn know(&self, name: &str, answers: &[&[&str]]) {
        let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).rev().collect();
        self.answers.lock().unwrap().insert(name.to_owned(), answers.iter().rev().map(parse).collect());
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        *self.asked.lock().unwrap() += 1;
        let mut answers = self.answers.lock().unwrap();
        let found = answers
            .get_mut(name.as_str())
            .map(|answers| if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() });
        Box::pin(std::future::ready(match found {
            Some(found) => Ok(Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs),
            None => Err(io::Error::other("no such name").into()),
        }))
    }
}

fn caller(allowed: &[&str]) -> (Caller, Arc<Names>) {
    let names = Arc::new(Names::default());
    let addresses = Addresses::public_and(allowed.iter().map(|net| net.parse().unwrap()).collect());
    (Caller::with_names(addresses, names.clone()).unwrap(), names)
}

async fn post(caller: &Caller, url: &str) -> Called {
    caller.post(&url.parse().unwrap(), HeaderMap::new(), b"{}".to_vec()).await
}

fn status(called: Called) -> Result<u16, String> {
    called.answer.map(|answer| answer.status)
}

/// The URL of a receiver with another name for its address.
fn named(receiver: &Receiver, scheme: &str, name: &str) -> String {
    receiver.url.replace("http://", &format!("{scheme}://")).replace("127.0.0.1", name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_inside_is_not_called() {
    let receiver = Receiver::start().await;
    let (caller, names) = caller(&[]);
    for inside in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1", "64:ff9b::7f00:1"]
    {
        names.know("receiver.example", &[&[inside]]);
        let error = status(post(&caller, &named(&receiver, "https", "receiver.example")).await).unwrap_err();
        assert_eq!(error, "The host name does not resolve to an allowed address.", "{inside}");
    }
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_an_address_inside_is_called() {
    let receiver = Receiver::start().await;
    let (caller, names) = caller(&[]);
    for host in ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"] {
        for scheme in ["http", "https"] {
            status(post(&caller, &named(&receiver, scheme, host)).await).unwrap_err();
        }
    }
    assert_eq!((receiver.received().len(), *names.asked.lock().unwrap()), (0, 0), "no name is even looked up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_between_two_looks_is_called_where_the_last_one_led_or_not_at_all() {
    let receiver = Receiver::start().await;
    let (caller, names) = caller(&[]);
    // The result of a check in advance, and the result when the message is sent.
    names.know("rebinding.example", &[&["8.8.8.8"], &["127.0.0.1"]]);
    let before = names.resolve("rebinding.example".parse().unwrap()).await.unwrap().next().unwrap();
    assert_eq!(before.ip().to_string(), "8.8.8.8");
    let error = status(post(&caller, &named(&receiver, "https", "rebinding.example")).await).unwrap_err();
    assert!(error.contains("an allowed address"), "{error}");
    assert_eq!(receiver.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_addresses_only_those_are_called_that_may_be() {
    let receiver = Receiver::start().await;
    let (caller, names) = caller(&["127.0.0.0/8"]);
    names.know("mixed.example", &[&["10.0.0.1", "169.254.169.254", "127.0.0.1"]]);
    assert_eq!(status(post(&caller, &named(&receiver, "http", "mixed.example")).await), Ok(204));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_allows_is_called_without_tls_and_nothing_else_is() {
    let receiver = Receiver::start().await;
    let (caller, names) = caller(&["127.0.0.0/8"]);
    assert_eq!(status(post(&caller, &receiver.url).await), Ok(204));
    names.know("receiver.internal", &[&["127.0.0.1"]]);
    assert_eq!(status(post(&caller, &named(&receiver, "http", "receiver.internal")).await), Ok(204));
    names.know("public.example", &[&["8.8.8.8"]]);
    let error = status(post(&caller, "http://public.example/hooks").await).unwrap_err();
    assert!(error.contains("an allowed address"), "a public address is not called without TLS: {error}");
    let error = status(post(&caller, "https://unknown.example/hooks").await).unwrap_err();
    assert_eq!(error, "no such name");
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_inside_is_not_followed() {
    let (receiver, inside) = (Receiver::start().await, Receiver::start().await);
    let (caller, _) = caller(&["127.0.0.0/8"]);
    receiver.reply([Reply::from(307).with("Location", &inside.url)]);
    assert_eq!(status(post(&caller, &receiver.url).await), Ok(307));
    assert_eq!(inside.received().len(), 0);
}

/// A server that responds with a success and then sends without end.
async fn endless(pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
                while stream.write_all(&[b'x'; 1024]).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let (caller, _) = caller(&["127.0.0.0/8"]);
    let called = post(&caller, &endless(Duration::from_millis(10)).await).await;
    assert!(called.duration < Duration::from_secs(10), "{:?}", called.duration);
    assert_eq!(status(called), Ok(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_silent_is_waited_for_no_longer_than_is_said() {
    let receiver = Receiver::start().await;
    receiver.reply([Reply::from(204).after(Duration::from_secs(600))]);
    let (caller, _) = caller(&["127.0.0.0/8"]);
    let called = post(&caller, &receiver.url).await;
    assert!(called.duration >= Duration::from_secs(15) && called.duration < Duration::from_secs(40));
    assert_eq!(status(called).unwrap_err(), "There was no response within 15 seconds.");
}
