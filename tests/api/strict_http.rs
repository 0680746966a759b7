//! One spelling per path, and strict HTTP where it matters for security.

use partner_platform::api::contract::document::{DOCUMENT, Operation};
use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::coverage::{operations, recipe};
use crate::support::world::{World, company, id};
use crate::support::{Raw, Server};

/// Variants of an operation's path with one escaped character, at the start and the end of each part.
fn spellings(path: &str) -> Vec<String> {
    let is_needless = |(_, c): &(usize, char)| c.is_ascii_alphanumeric();
    let ends: Vec<_> = path
        .char_indices()
        .filter(is_needless)
        .filter(|(at, _)| path[..*at].ends_with('/') || path[at + 1..].starts_with('/') || path.len() == at + 1)
        .collect();
    let escape = |(at, c): (usize, char)| {
        [format!("%{:02x}", c as u32), format!("%{:02X}", c as u32)]
            .map(|escape| format!("{}{escape}{}", &path[..at], &path[at + 1..]))
    };
    ends.into_iter().flat_map(escape).collect()
}

fn own_path(operation: &Operation, world: &World) -> String {
    let recipe = recipe(&operation.id, world);
    let id = recipe.id.as_str().unwrap_or_default();
    operation.path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn another_spelling_of_an_operations_path_is_not_found_and_does_nothing() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    let mut tried = 0;
    for operation in operations() {
        let body = recipe(&operation.id, &world).body.map(|body| body.to_string().into_bytes());
        let method: Method = operation.method.parse().unwrap();
        for path in spellings(&own_path(operation, &world)) {
            let client = world.admin.with("idempotency-key", &format!("spelling-{tried}"));
            let problem = client.send(method.clone(), &path, body.clone()).await.problem(404, "not_found");
            assert!(problem["detail"].as_str().unwrap().contains("escape"), "{path}: {problem}");
            tried += 1;
        }
    }
    assert!(tried > 1000, "{tried}");
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_escaped_path_needs_no_key_to_be_refused_and_is_not_limited() {
    let server = Server::start().await;
    let problem = server.stranger().get("/%76%31/customers").await.problem(404, "not_found");
    assert_eq!(problem["instance"], "/%76%31/customers");
    for path in ["/v1/customers/%2E%2E%2Forders", "/v1%2Fcustomers", "/v1/customers%00", "/v1/customers%zz", "/v1/%"] {
        server.stranger().get(path).await.problem(404, "not_found");
    }
}

fn lasting(headers: &HeaderMap) -> Vec<(String, String)> {
    let differs = |name: &str| ["date", "x-request-id", "ratelimit", "content-disposition"].contains(&name);
    let all = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let mut lasting: Vec<_> = all.filter(|(name, _)| !differs(name)).collect();
    lasting.sort();
    lasting
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_get_without_the_body() {
    let world = World::new().await;
    let gets = DOCUMENT.operations.iter().filter(|operation| operation.method == "GET");
    let mut paths: Vec<_> = gets
        .map(
            |operation| {
                if operation.path.starts_with("/v1/") { own_path(operation, &world) } else { operation.path.clone() }
            },
        )
        // The length of its body varies.
        .filter(|path| path != "/metrics")
        .collect();
    paths.extend(["/docs/", "/nothing", "/v1/customers?limit=0"].map(str::to_owned));
    for path in &paths {
        let get = world.admin.open(Method::GET, path, None).await;
        let head = world.admin.open(Method::HEAD, path, None).await;
        assert_eq!(head.status(), get.status(), "{path}");
        assert_eq!(lasting(head.headers()), lasting(get.headers()), "{path}");
        assert!(!get.bytes().await.unwrap().is_empty() && head.bytes().await.unwrap().is_empty(), "{path}");
    }
    let csv = world.admin.with("accept", "text/csv").open(Method::HEAD, "/v1/reports/usage", None).await;
    assert_eq!(
        (csv.status().as_u16(), &csv.headers()["content-type"]),
        (200, &"text/csv; charset=utf-8; header=present".parse().unwrap())
    );
    let tag = format!("/v1/customers/{}", id(&world.customer_id));
    let same = world.admin.with("if-none-match", "\"1\"").open(Method::HEAD, &tag, None).await;
    assert_eq!(same.status(), 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_after_head() {
    let server = Server::start().await;
    let mut raw = Raw::connect(&server.url).await;
    for _ in 0..3 {
        raw.write(b"HEAD /openapi.json HTTP/1.1\r\nHost: test\r\n\r\nGET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
            .await;
        let head = raw.read_head().await;
        assert_eq!((head.status(), head.header("content-length")), (200, Some(&*DOCUMENT.text.len().to_string())));
        assert_eq!(raw.read().await.body, r#"{"status":"ok"}"#);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_is_not_allowed_with_or_without_a_key() {
    let world = World::new().await;
    for client in [&world.admin, &world.server.stranger()] {
        let answer = client.send(Method::OPTIONS, "/v1/customers", None).await;
        assert_eq!(answer.header("allow"), "GET, HEAD, POST");
        answer.problem(405, "method_not_allowed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_credentials_are_none() {
    let server = Server::start().await;
    let key = server.key().await;
    let header = format!("Authorization: Bearer {key}\r\n");
    for other in ["Bearer other", "Basic eDp5", &format!("Bearer {key}")] {
        let both = format!("{header}Authorization: {other}\r\n");
        let answer = Raw::connect(&server.url).await.get("/v1/customers", both.as_bytes()).await;
        assert_eq!(answer.status(), 400, "{answer:?}");
        assert!(answer.body.contains("malformed_request") && answer.body.contains("more than one"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_host_is_refused() {
    let server = Server::start().await;
    for (host, status) in [
        ("api.example.com", 200),
        ("api.example.com:8443", 200),
        ("[2001:db8::1]:8080", 200),
        ("", 200),
        ("api.example.com/path", 400),
        ("user@api.example.com", 400),
        ("a b", 400),
        ("api.example.com:port", 400),
        ("[2001:db8::1", 400),
        ("\u{e9}", 400),
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = Raw::connect(&server.url).await.send(request.as_bytes()).await;
        assert_eq!(answer.status(), status, "{host}: {answer:?}");
        assert!(status == 200 || answer.body.contains("`Host`"), "{host}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_after_a_request_that_closes_the_connection() {
    let server = Server::start().await;
    let key = server.key().await;
    let body = company("Pipelined").to_string();
    let request = |more: &str| {
        format!(
            "POST /v1/customers HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\n{more}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for closing in ["Connection: close\r\n", "Connection: Close, TE\r\n"] {
        let mut raw = Raw::connect(&server.url).await;
        raw.write([request(closing), request(""), request("")].concat().as_bytes()).await;
        let first = raw.read().await;
        assert_eq!((first.status(), first.header("connection")), (201, Some("close")), "{first:?}");
        let rest = raw.rest().await;
        assert!(!rest.contains("201"), "{rest}");
    }
    assert_eq!(server.database.text("SELECT count(*) FROM customers").await, "2", "one of each connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_another_encoding_is_refused_with_what_to_send() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for (name, value, says) in [
        ("content-encoding", "gzip", "uncompressed"),
        ("content-encoding", "identity, br", "uncompressed"),
        ("content-type", "application/json; charset=iso-8859-1", "UTF-8"),
        ("content-type", "application/json; charset=\"utf-16\"", "UTF-8"),
    ] {
        let answer = world.admin.with(name, value).post("/v1/customers", company("Encoded")).await;
        let problem = answer.problem(415, "unsupported_media_type");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{value}: {problem}");
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
    for (name, value) in [
        ("content-encoding", "identity"),
        ("content-type", "application/json; charset=utf-8"),
        ("content-type", "application/json; charset=\"UTF-8\""),
        ("content-type", "Application/JSON"),
    ] {
        world.admin.with(name, value).post("/v1/customers", company("Plain")).await.created();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_with_broken_framing_ends_its_connection_and_does_nothing() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let head = format!(
        "POST /v1/customers HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        admin.key().unwrap()
    );
    for length in [
        "Content-Length: two\r\n\r\n{}",
        "Content-Length: -2\r\n\r\n{}",
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    ] {
        let mut raw = Raw::connect(&server.url).await;
        raw.write(format!("{head}{length}").as_bytes()).await;
        let answer = raw.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{length:?}: {answer}");
    }
    let abandoned = async || {
        let metrics = admin.get("/metrics").await.ok();
        let count =
            metrics.as_str().unwrap().lines().find_map(|line| line.strip_prefix("http_requests_abandoned_total "));
        count.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    // actix treats an invalid chunk as a lost client, and allows no response.
    for chunks in ["zz\r\n{}\r\n0\r\n\r\n", "2\r\n{}garbage\r\n0\r\n\r\n", "ffffffffffffffffff\r\n{}"] {
        let before = abandoned().await;
        let mut raw = Raw::connect(&server.url).await;
        raw.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").as_bytes()).await;
        let answer = raw.rest().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{chunks:?}: {answer}");
        assert!(!answer.is_empty() || abandoned().await > before, "{chunks:?} is counted");
    }
    assert_eq!(server.database.text("SELECT count(*) FROM customers").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_names_the_server_in_its_target_is_the_same_request() {
    let server = Server::start().await;
    let key = server.key().await;
    let body = company("Once").to_string();
    for target in ["/v1/customers", "http://test/v1/customers"] {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: same\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(Raw::connect(&server.url).await.send(request.as_bytes()).await.status(), 201, "{target}");
    }
    assert_eq!(server.database.text("SELECT count(*) FROM customers").await, "1");
}
