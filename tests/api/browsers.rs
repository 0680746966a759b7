//! Browsers: which web pages may call the API, and the security headers of all responses.

use reqwest::Method;
use serde_json::Value;

use crate::support::world::{World, company, id};
use crate::support::{Answer, Client, Server};

const OURS: &str = "https://app.example.com";
const LOCAL: &str = "http://localhost:5173";

async fn server() -> Server {
    let origins = [OURS, LOCAL].map(|origin| origin.parse().unwrap());
    Server::adjusted(|_, http| http.cors_origins = origins.to_vec()).await
}

/// A preflight request, which a browser sends before the request of a page.
async fn preflight(client: &Client, path: &str, origin: &str, method: &str, headers: &str) -> Answer {
    let client = client.with("origin", origin).with("access-control-request-method", method);
    let client = if headers.is_empty() { client } else { client.with("access-control-request-headers", headers) };
    client.send(Method::OPTIONS, path, None).await
}

/// The names in a header that is a list.
fn list(answer: &Answer, header: &str) -> Vec<String> {
    let mut names: Vec<_> = answer.header(header).split(',').map(|name| name.trim().to_lowercase()).collect();
    names.sort();
    names
}

fn says_nothing_to_a_page(answer: &Answer) -> bool {
    let tells = ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"];
    !tells.iter().any(|header| answer.headers.contains_key(*header))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_named_origin_may_call_with_what_clients_send() {
    let server = server().await;
    for origin in [OURS, LOCAL] {
        for path in ["/v1/customers", "/v1/customers/01990000-0000-7000-8000-000000000000", "/healthz"] {
            let headers = "authorization, content-type, if-match, if-none-match, idempotency-key, x-request-id";
            // Without a key, because browsers send none with a preflight.
            let answer = preflight(&server.stranger(), path, origin, "PATCH", headers).await;
            assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, origin), "{path}");
            assert_eq!(
                list(&answer, "access-control-allow-methods"),
                ["delete", "get", "head", "patch", "post", "put"]
            );
            let mut wanted: Vec<_> = headers.split(", ").collect();
            wanted.sort_unstable();
            assert_eq!(list(&answer, "access-control-allow-headers"), wanted);
            assert!(answer.header("vary").to_lowercase().contains("origin"));
            assert!(!answer.headers.contains_key("access-control-allow-credentials"), "there are no cookies");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_answers_and_problems_with_the_headers_that_clients_need() {
    let server = server().await;
    let page = server.admin().await.with("origin", OURS);
    let answers = [
        page.post("/v1/customers", company("From a page")).await,
        page.post("/v1/customers", Value::Null).await,
        server.stranger().with("origin", OURS).get("/v1/customers").await,
        page.get("/nothing").await,
        page.with("accept", "text/csv").get("/v1/reports/usage").await,
    ];
    for (answer, status) in answers.iter().zip([201, 422, 401, 404, 200]) {
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, OURS), "{}", answer.body);
        let exposed = list(answer, "access-control-expose-headers");
        let wanted = [
            "content-disposition",
            "etag",
            "idempotency-replayed",
            "link",
            "location",
            "ratelimit",
            "ratelimit-policy",
            "retry-after",
            "x-request-id",
        ];
        assert_eq!(exposed, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_page_is_refused_by_a_problem_and_told_nothing() {
    let server = server().await;
    for origin in [
        "https://evil.example",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.example",
        "https://sub.app.example.com",
        "null",
    ] {
        let refused = preflight(&server.stranger(), "/v1/customers", origin, "GET", "authorization").await;
        assert!(says_nothing_to_a_page(&refused), "{origin}");
        let problem = refused.problem(403, "cors_refused");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("`Origin`, {origin},")), "{problem}");
        // A request with a key is served without regard to its origin, but the browser does not let the page read the
        // response.
        let answer = server.admin().await.with("origin", origin).get("/v1/customers").await;
        assert!(says_nothing_to_a_page(&answer), "{origin}");
        answer.ok();
    }
    let refused = preflight(&server.stranger(), "/nothing", "https://evil.example", "GET", "").await;
    refused.problem(404, "not_found");
    for (method, headers, named) in [
        ("TRACE", "", "TRACE. Use one of DELETE, GET"),
        ("GET", "cookie", ": cookie. Send only authorization, "),
        ("GET", "authorization, X-Surprise,x-other", ": X-Surprise, x-other. "),
        ("GET", "a b", "header"),
    ] {
        let refused = preflight(&server.stranger(), "/v1/customers", OURS, method, headers).await;
        assert!(says_nothing_to_a_page(&refused), "{method} {headers}");
        let problem = refused.problem(403, "cors_refused");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(named), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_named_origins_no_page_may_call() {
    let server = Server::start().await;
    let refused = preflight(&server.stranger(), "/v1/customers", OURS, "GET", "authorization").await;
    assert!(says_nothing_to_a_page(&refused));
    refused.problem(405, "method_not_allowed");
    let refused = preflight(&server.admin().await, "/v1/customers", OURS, "GET", "authorization").await;
    refused.problem(405, "method_not_allowed");
    let answer = server.admin().await.with("origin", OURS).get("/v1/customers").await;
    assert!(says_nothing_to_a_page(&answer) && !answer.headers.contains_key("vary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_forbids_to_guess_keep_run_frame_and_tell_of_it() {
    let world = World::new().await;
    let document = format!("/v1/invoices/{}/document", id(&world.invoice_id));
    let html = world.admin.with("accept", "text/html");
    for path in [
        "/v1/customers",
        "/v1/customers?limit=0",
        "/v1/nothing",
        "/nothing",
        "/healthz",
        "/openapi.json",
        "/metrics",
        "/docs/",
        "/docs",
        &document,
    ] {
        let client = if path == document { &html } else { &world.admin };
        let answer = client.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; "), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") || path == document, "{path}: {policy}");
        assert!(!answer.headers.contains_key("strict-transport-security"), "this is http");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_is_made_of_what_its_policy_lets_it_load() {
    let server = Server::start().await;
    let answer = server.stranger().get("/docs/").await;
    let policy = answer.header("content-security-policy").to_owned();
    for directive in ["script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'"] {
        assert!(policy.split("; ").any(|part| part == directive), "{directive} in {policy}");
    }
    let page = answer.ok().as_str().unwrap().to_owned();
    // The page has no inline code: scripts and styles are separate files.
    for script in page.split("<script").skip(1) {
        let (tag, rest) = script.split_once('>').unwrap();
        assert!(tag.contains("src=\"./") && rest.split("</script>").next().unwrap().trim().is_empty(), "{script}");
    }
    for inline in ["<style", "style=", "onload=", "onclick=", "javascript:", "http:", "https:", "src=\"//"] {
        assert!(!page.contains(inline), "{inline} in {page}");
    }
    let styles = server.stranger().get("/docs/swagger-ui.css").await.ok().as_str().unwrap().to_owned();
    for url in styles.split("url(").skip(1) {
        assert!(url.trim_start_matches('"').starts_with("data:image/"), "{}", &url[..40]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_by_https_through_a_proxy_is_told_to_do_so_always() {
    let server = Server::start().await;
    for (header, value) in [("x-forwarded-proto", "https"), ("forwarded", "for=192.0.2.1;proto=https")] {
        let proxy = server.stranger().with(header, value);
        for path in ["/healthz", "/v1/customers", "/docs/"] {
            assert_eq!(proxy.get(path).await.header("strict-transport-security"), "max-age=31536000", "{path}");
        }
    }
    let plain = server.stranger().with("x-forwarded-proto", "http").get("/healthz").await;
    assert!(!plain.headers.contains_key("strict-transport-security"));
}
