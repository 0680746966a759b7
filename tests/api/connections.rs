//! Clients that are slow, silent or too many: their connections are closed in time, and the others are served.

use std::time::Duration;

use partner_platform::api::state::AppState;
use partner_platform::service::Http;
use socket2::{Domain, Socket, Type};

use crate::support::world::company;
use crate::support::{Raw, Server};

/// The timeouts for clients in these tests.
const SHORT: Duration = Duration::from_millis(600);

/// The maximum time of any response, on the slowest machine.
const BOUND: Duration = Duration::from_secs(25);

const HEAD: &str = "POST /v1/customers HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";

fn narrow(state: &mut AppState, http: &mut Http) {
    state.answer_timeout = SHORT;
    let Http { request_timeout, keep_alive, send_timeout, .. } = http;
    (*request_timeout, *keep_alive, *send_timeout) = (SHORT, SHORT, SHORT);
    (http.workers, http.max_connections) = (1, 1);
}

/// A server for a single connection. If another client is served, the first connection has been closed.
async fn server() -> Server {
    Server::adjusted(narrow).await
}

async fn assert_there_is_room(server: &Server) {
    let answer = async {
        let mut other = Raw::connect(&server.url).await;
        other.get("/healthz", b"Connection: close\r\n").await
    };
    assert_eq!(tokio::time::timeout(BOUND, answer).await.expect("there is room for a connection").status(), 200);
}

/// Sends a byte from time to time, and checks that the connection is closed.
async fn assert_dripping_is_cut_off(server: &Server, mut slow: Raw) {
    let mut drops = 0;
    while drops < 100 && slow.try_write(b"x").await {
        drops += 1;
        tokio::time::sleep(SHORT / 6).await;
    }
    assert!((1..60).contains(&drops), "{drops}");
    assert_there_is_room(server).await;
}

fn authorization(key: &str) -> String {
    format!("Authorization: Bearer {key}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_or_half_a_head_is_told_so_and_cut_off() {
    let server = server().await;
    for start in ["", "GET /heal", "GET /healthz HTTP/1.1\r\nHost: te", HEAD] {
        let mut slow = Raw::connect(&server.url).await;
        slow.write(start.as_bytes()).await;
        assert_eq!(slow.read().await.status(), 408, "{start}");
        assert!(slow.is_closed().await);
        assert_there_is_room(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_is_cut_off_all_the_same() {
    let server = server().await;
    let mut slow = Raw::connect(&server.url).await;
    slow.write(b"GET /healthz HTTP/1.1\r\nX-Slow: ").await;
    assert_dripping_is_cut_off(&server, slow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_answered_and_begins_another_head_is_cut_off_as_well() {
    let server = server().await;
    for start in ["", "G", "GET /healthz HTTP/1.1\r\nHost: te", HEAD] {
        let mut slow = Raw::connect(&server.url).await;
        for _ in 0..2 {
            assert_eq!(slow.get("/healthz", b"").await.status(), 200);
        }
        slow.write(start.as_bytes()).await;
        assert!(slow.is_closed().await, "{start}");
        assert_there_is_room(&server).await;
    }
    let mut slow = Raw::connect(&server.url).await;
    assert_eq!(slow.get("/healthz", b"").await.status(), 200);
    assert_dripping_is_cut_off(&server, slow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_on_asking_or_waits_for_its_answer_is_not_cut_off() {
    let server = Server::adjusted(|state, http| {
        narrow(state, http);
        state.answer_timeout = BOUND;
        // The server checks its timers only every half second.
        http.keep_alive = 4 * SHORT;
    })
    .await;
    let key = server.key().await;
    let mut busy = Raw::connect(&server.url).await;
    for _ in 0..20 {
        assert_eq!(busy.get("/healthz", b"").await.status(), 200);
        tokio::time::sleep(SHORT / 3).await;
    }
    let events = busy.get("/v1/events?after=latest&wait=4", authorization(&key).as_bytes()).await;
    assert_eq!(events.status(), 200, "{events:?}");
    assert_eq!(busy.get("/healthz", b"").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_given_up_and_its_client_cut_off() {
    let server = server().await;
    let key = server.key().await;
    for (framing, start) in
        [("Content-Length: 1000\r\n", "{\"company"), ("Transfer-Encoding: chunked\r\n", "9\r\n{\"company\r\n")]
    {
        let mut slow = Raw::connect(&server.url).await;
        slow.write(format!("{HEAD}{}{framing}\r\n{start}", authorization(&key)).as_bytes()).await;
        let answer = slow.read().await;
        assert_eq!((answer.status(), answer.header("connection")), (400, Some("close")), "{answer:?}");
        assert!(answer.body.contains("in time"), "{answer:?}");
        assert!(slow.is_closed().await);
        assert_there_is_room(&server).await;
    }
    assert_eq!(server.database.text("SELECT count(*) FROM customers").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_reads_holds_no_connection() {
    let server = server().await;
    for framing in ["Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n"] {
        for path in ["/v1/customers", "/nothing", "/healthz"] {
            let mut slow = Raw::connect(&server.url).await;
            slow.write(format!("POST {path} HTTP/1.1\r\nHost: test\r\n{framing}\r\n").as_bytes()).await;
            let answer = slow.read().await;
            assert!(answer.status() >= 400 && answer.header("connection") == Some("close"), "{answer:?}");
            assert!(slow.is_closed().await, "{path} {framing}");
            assert_there_is_room(&server).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_after_a_body_in_chunks() {
    let server = Server::start().await;
    let key = server.key().await;
    let body = company("In chunks").to_string();
    let (first, second) = body.split_at(20);
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    let mut raw = Raw::connect(&server.url).await;
    for _ in 0..3 {
        let head = format!("{HEAD}{}Transfer-Encoding: chunked\r\n\r\n", authorization(&key));
        let answer = raw.send(format!("{head}{chunks}").as_bytes()).await;
        assert_eq!((answer.status(), answer.header("connection")), (201, None), "{answer:?}");
    }
    let refused = raw.send(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunks}").as_bytes()).await;
    assert_eq!(
        (refused.status(), refused.header("connection")),
        (401, Some("close")),
        "the body was not read: {refused:?}"
    );
    assert!(raw.is_closed().await);
    assert_eq!(server.database.text("SELECT count(*) FROM customers").await, "3");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_its_answers_is_cut_off() {
    let server = server().await;
    let greedy = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Requests more than the buffers on both sides can hold.
    greedy.set_recv_buffer_size(4096).unwrap();
    let address: std::net::SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    greedy.connect(&address.into()).unwrap();
    let ask = "GET /openapi.json HTTP/1.1\r\nHost: test\r\n\r\n".repeat(16);
    greedy.send(ask.as_bytes()).unwrap();
    assert_there_is_room(&server).await;

    greedy.set_read_timeout(Some(BOUND)).unwrap();
    let (mut greedy, mut taken) = (std::net::TcpStream::from(greedy), 0);
    let end = loop {
        match std::io::Read::read(&mut greedy, &mut [0; 65536]) {
            Ok(0) => break None,
            Ok(some) => taken += some,
            Err(error) => break Some(error.kind()),
        }
    };
    let whole = 16 * partner_platform::api::contract::document::DOCUMENT.text.len();
    assert!(taken < whole, "{taken} of {whole}, then {end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_wait_and_those_within_it_go_on() {
    let server = Server::adjusted(|_, http| {
        *http = Http { workers: 2, max_connections: 4, request_timeout: SHORT, ..http.clone() };
    })
    .await;
    let mut known = Raw::connect(&server.url).await;
    assert_eq!(known.get("/healthz", b"").await.status(), 200);
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Raw::connect(&server.url).await);
    }
    let mut new = Raw::connect(&server.url).await;
    let (mut served, mut last) = (0, None);
    let waiting = new.get("/readyz", b"");
    tokio::pin!(waiting);
    // Meanwhile, connected clients are served.
    while last.is_none() {
        assert_eq!(known.get("/healthz", b"").await.status(), 200);
        served += 1;
        last = tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.ok();
    }
    assert_eq!(last.unwrap().status(), 200, "a later client is served when the silent ones are disconnected");
    assert!(served > 10, "{served}");
}
