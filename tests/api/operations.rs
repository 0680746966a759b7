//! The service itself: request ids, health, metrics, documentation, and the details of HTTP.

use std::collections::BTreeSet;

use partner_platform::api::contract::document::DOCUMENT;
use reqwest::Method;
use serde_json::json;

use crate::support::{Client, Raw, Server, http};

/// How long a readiness result is cached, and a little more.
const BELIEVED_FOR: std::time::Duration = std::time::Duration::from_millis(1100);

const UNKNOWN: &str = "01990000-0000-7000-8000-0000000a11ce";

#[tokio::test(flavor = "multi_thread")]
async fn a_sane_request_id_is_taken_and_stands_in_the_header_and_in_the_problem() {
    let server = Server::start().await;
    for id in ["a", "trace-4711/a=b", "{\"quoted\"}", &"x".repeat(128)] {
        let client = server.stranger().with("x-request-id", id);
        assert_eq!(client.get("/healthz").await.header("x-request-id"), id);
        assert_eq!(client.get("/v1/customers").await.problem(401, "unauthenticated")["request_id"], id);
        assert_eq!(client.get("/nothing").await.problem(404, "not_found")["request_id"], id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_request_id_is_replaced_by_one_of_our_own() {
    let server = Server::start().await;
    let mut seen = BTreeSet::new();
    let long = "x".repeat(129);
    for id in ["", " ", "two words", "tab\there", "ünïcödé", "\u{7f}", &long] {
        let mut raw = Raw::connect(&server.url).await;
        let answer = raw.get("/nothing", format!("X-Request-Id: {id}\r\n").as_bytes()).await;
        let Some(made) = answer.header("x-request-id") else {
            // A character that no header may contain is invalid HTTP.
            assert_eq!((answer.status(), id), (400, "\u{7f}"), "{answer:?}");
            continue;
        };
        assert!(uuid::Uuid::parse_str(made).is_ok_and(|made| made.get_version_num() == 7), "{made} for {id:?}");
        assert!(answer.body.contains(&format!("\"request_id\":\"{made}\"")), "{answer:?}");
        assert!(seen.insert(made.to_owned()), "each request has its own id");
    }
    let mut raw = Raw::connect(&server.url).await;
    let answer = raw.get("/nothing", b"X-Request-Id: \xff\xfe\r\n").await;
    assert!(uuid::Uuid::parse_str(answer.header("x-request-id").unwrap()).is_ok(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_readiness_are_told_without_a_key() {
    let server = Server::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.stranger().get(path).await.ok(), json!({ "status": "ok" }), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_ready_only_on_the_schema_that_it_was_built_for() {
    let server = Server::start().await;
    let stranger = server.stranger();
    let last = server.database.text("SELECT max(version) FROM __diesel_schema_migrations").await;
    let behind = format!("DELETE FROM __diesel_schema_migrations WHERE version = '{last}'");
    let caught_up = format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{last}')");
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')";
    let no_more = "DELETE FROM __diesel_schema_migrations WHERE version = '29990101000000'";
    for (broken, repaired, word) in [(&*behind, &*caught_up, "lacks migrations"), (newer, no_more, "newer release")] {
        server.database.execute(broken).await;
        tokio::time::sleep(BELIEVED_FOR).await;
        let problem = stranger.get("/readyz").await.problem(503, "unavailable");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
        stranger.get("/healthz").await.ok();
        server.database.execute(repaired).await;
        tokio::time::sleep(BELIEVED_FOR).await;
        stranger.get("/readyz").await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_asked_whether_it_is_ready_once_a_second_however_many_ask() {
    let server = Server::start().await;
    let stranger = server.stranger();
    stranger.get("/readyz").await.ok();
    let transactions = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    let committed = async || -> i64 { server.database.text(transactions).await.parse().unwrap() };
    let (before, started) = (committed().await, std::time::Instant::now());
    futures_util::future::join_all((0..500).map(|_| stranger.get("/readyz"))).await.into_iter().for_each(|answer| {
        answer.ok();
    });
    let seconds = i64::try_from(started.elapsed().as_secs()).unwrap() + 1;
    let asked = committed().await - before;
    // The credential cache queries three times per second, and this test adds a few queries.
    assert!(asked < 50 + 20 * seconds, "{asked} in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_may_have_a_listener_of_their_own() {
    let server = Server::with_operators().await;
    let operators = server.operators.clone().unwrap();
    let admin = server.admin().await;
    let status = async |client: &Client, path| client.open(Method::GET, path, None).await.status().as_u16();
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!((status(&admin, path).await, status(&admin.at(&operators), path).await), (404, 200), "{path}");
    }
    for path in ["/v1/customers", "/openapi.json", "/docs/"] {
        assert_eq!((status(&admin, path).await, status(&admin.at(&operators), path).await), (200, 404), "{path}");
    }
}

/// The samples of Prometheus' text format: name, labels, value. Panics at an invalid line.
fn samples(text: &str) -> Vec<(String, String, f64)> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').map_or((series, ""), |(name, labels)| {
                (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("the labels are closed: {line}")))
            });
            let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
            assert!(is_name && !name.is_empty(), "{line}");
            (
                name.to_owned(),
                labels.to_owned(),
                value.parse().unwrap_or_else(|_| panic!("the line ends with a number: {line}")),
            )
        })
        .collect()
}

async fn metrics(client: &Client) -> String {
    let answer = client.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain"));
    answer.ok().as_str().unwrap().to_owned()
}

/// The sum of a metric over the series with all these labels.
fn sum(text: &str, metric: &str, labels: &[&str]) -> f64 {
    let fits = |have: &str| labels.iter().all(|label| have.contains(label));
    samples(text).iter().filter(|(name, have, _)| name == metric && fits(have)).map(|(_, _, value)| value).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_and_status() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let route = ["method=\"GET\"", "route=\"/v1/customers/{customer_id}\""];
    let not_found = [route[0], route[1], "status=\"404\""];
    let before = metrics(&admin).await;
    for _ in 0..3 {
        admin.get(&format!("/v1/customers/{UNKNOWN}")).await.problem(404, "not_found");
    }
    let after = metrics(&admin).await;
    // Requests of other tests in this process may be included.
    let more = |metric: &str, labels: &[&str]| sum(&after, metric, labels) - sum(&before, metric, labels);
    assert!(more("http_requests_total", &not_found) >= 3.0, "{after}");
    assert!(more("http_request_duration_seconds_count", &route) >= 3.0, "{after}");
    let all = [route[0], route[1], "le=\"+Inf\""];
    assert!(more("http_request_duration_seconds_bucket", &all) >= 3.0, "{after}");
    for gauge in ["db_pool_connections", "db_pool_waiting"] {
        assert!(samples(&after).iter().any(|(name, ..)| name == gauge), "{gauge}: {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_can_invent_a_metric() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for path in ["/invented", "/v1/invented", "/v1/customers/invented", "/docs/invented", "/v1/invented/{x}"] {
        for method in ["GET", "POST", "INVENTED"] {
            admin.send(Method::from_bytes(method.as_bytes()).unwrap(), path, None).await;
        }
    }
    let text = metrics(&admin).await;
    assert!(!text.to_lowercase().contains("invented"), "{text}");
    assert!(
        sum(&text, "http_requests_total", &["route=\"unknown\""]) > 0.0,
        "unknown paths are counted together: {text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_that_is_served_is_the_committed_one() {
    let server = Server::start().await;
    let served = http().get(format!("{}/openapi.json", server.url)).send().await.unwrap();
    assert_eq!(served.headers()["content-type"], "application/json");
    let served = served.text().await.unwrap();
    assert!(served == include_str!("../../openapi/openapi.json"), "run `partner-platform openapi` and commit it");
    assert!(served == DOCUMENT.text);
}

/// The values of `src` and `href` in a page.
fn links(html: &str) -> Vec<&str> {
    let starts = ["src=\"", "href=\""].into_iter().flat_map(|name| html.split(name).skip(1));
    starts.map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_needs_nothing_from_elsewhere() {
    let server = Server::start().await;
    for start in ["/docs", "/docs/"] {
        let page = http().get(format!("{}{start}", server.url)).send().await.unwrap();
        assert_eq!((page.status().as_u16(), page.url().path()), (200, "/docs/"), "of {start}");
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
        let base = page.url().clone();
        let mut pages = vec![page.text().await.unwrap()];
        let links: Vec<String> = links(&pages[0]).into_iter().map(str::to_owned).collect();
        assert!(links.iter().any(|link| link.ends_with("swagger-ui-bundle.js")), "{links:?}");
        for link in links {
            let asset = http().get(base.join(&link).unwrap()).send().await.unwrap();
            assert_eq!((asset.status().as_u16(), asset.url().origin()), (200, base.origin()), "{link}");
            let kind = asset.headers()["content-type"].to_str().unwrap().to_owned();
            let kinds = [(".js", "javascript"), (".css", "text/css"), (".png", "image/png")];
            assert!(kinds.iter().any(|(end, want)| link.ends_with(end) && kind.contains(want)), "{link} as {kind}");
            let body = asset.bytes().await.unwrap();
            assert!(!body.is_empty(), "{link}");
            if link.ends_with("initializer.js") {
                pages.push(String::from_utf8(body.to_vec()).unwrap());
            }
        }
        let [page, initializer] = &pages[..] else { panic!("there is one initializer") };
        assert!(initializer.contains("\"/openapi.json\"") && initializer.contains("\"validatorUrl\": \"none\""));
        assert!(![page, initializer].iter().any(|text| text.contains("http://") || text.contains("https://")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_json_in_any_way_gets_it_and_others_are_told() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for accept in [
        "*/*",
        "application/*",
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        "application/json;q=0.001",
        "text/html, application/json;q=0.9",
        "text/html,*/*;q=0.1",
        "text/html;q=0, application/*",
    ] {
        admin.with("accept", accept).get("/v1/customers").await.ok();
    }
    for accept in
        ["text/html", "application/xml, text/*", "application/json;q=0", "*/*;q=0.000", "application/json ; q=0"]
    {
        admin.with("accept", accept).get("/v1/customers").await.problem(406, "not_acceptable");
    }
    // The most specific range decides.
    for accept in ["*/*, application/json;q=0", "application/json;q=0, application/*;q=0.5"] {
        admin.with("accept", accept).get("/v1/customers").await.problem(406, "not_acceptable");
    }
    for accept in ["*/*;q=0, application/json", "application/*;q=0, application/json;q=0.2"] {
        admin.with("accept", accept).get("/v1/customers").await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_answered_in_http_1_and_the_connection_then_closed() {
    let server = Server::start().await;
    for path in ["/healthz", "/v1/customers", "/nothing"] {
        let mut raw = Raw::connect(&server.url).await;
        let upgrade =
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";
        let answer = raw.get(path, upgrade).await;
        assert!(answer.status() != 101 && answer.header("connection") == Some("close"), "{path}: {answer:?}");
        assert!(!answer.body.is_empty() && raw.is_closed().await, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_many_requests_errors_included() {
    let server = Server::start().await;
    let mut raw = Raw::connect(&server.url).await;
    for round in 0..5 {
        for (path, status) in [("/healthz", 200), ("/nothing", 404), ("/v1/customers", 401), ("/healthz?x=1", 422)] {
            let answer = raw.get(path, b"").await;
            assert_eq!((answer.status(), answer.header("connection")), (status, None), "{path} in round {round}");
        }
    }
    let last = raw.get("/healthz", b"Connection: close\r\n").await;
    assert!(last.status() == 200 && last.header("connection") == Some("close"), "{last:?}");
    assert!(raw.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_closed_for_an_unread_body_says_so() {
    let server = Server::start().await;
    let head = "POST /v1/customers HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n";
    let mut raw = Raw::connect(&server.url).await;
    let answer = raw.send(format!("{head}Content-Length: 2\r\n\r\n{{}}").as_bytes()).await;
    assert_eq!(answer.status(), 401, "the body of a request without a key is not read");
    if answer.header("connection") == Some("close") {
        assert!(raw.is_closed().await);
    } else {
        assert_eq!(raw.get("/healthz", b"").await.status(), 200);
    }
}
