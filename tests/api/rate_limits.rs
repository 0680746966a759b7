//! Rate limits: which requests are rejected, and the headers of the responses, on one and on several instances.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use partner_platform::api::contract::document::DOCUMENT;
use partner_platform::api::state::AppState;
use partner_platform::domain::authorization::{Actor, Identity, Role};
use partner_platform::domain::limits::rate_limit::{Limits, RateLimitKind, Verdict};
use partner_platform::ops::rate_limits::{RateLimits, exchange};
use serde_json::Value;

use crate::coverage::{call, operations, recipe};
use crate::support::world::{World, company};
use crate::support::{Answer, Client, Database, Lock, Mode, Proxy, Server, settings};

const LIMITS: Limits = Limits { reads: Some(5), writes: Some(3), tenant_reads: None, tenant_writes: None };

/// The number of remaining requests, and the seconds until the reset.
#[track_caller]
fn left(answer: &Answer, kind: &str) -> (u32, i64) {
    let rest = answer.header("ratelimit").strip_prefix(&format!("\"{kind}\";r=")).unwrap();
    let (remaining, seconds) = rest.split_once(";t=").unwrap();
    (remaining.parse().unwrap(), seconds.parse().unwrap())
}

/// Reads until a request is rejected. Returns the number of successful reads.
async fn reads(client: &Client) -> u32 {
    let mut admitted = 0;
    loop {
        match client.get("/v1/customers").await {
            answer if answer.status == 429 => return admitted,
            answer => drop(answer.ok()),
        }
        admitted += 1;
    }
}

fn pass(server: &Server, seconds: i64) {
    server.clock.set(server.clock.machine() + TimeDelta::seconds(seconds));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_what_is_left_and_what_is_one_too_many_is_told_when_to_come_again() {
    let server = Server::limited(LIMITS).await;
    let admin = server.admin().await;
    pass(&server, 18);
    for remaining in (0..5).rev() {
        let answer = admin.get("/v1/customers").await;
        assert_eq!(answer.header("ratelimit-policy"), "\"reads\";q=5;w=60");
        assert_eq!(left(&answer, "reads"), (remaining, 42));
        answer.ok();
    }
    pass(&server, 30);
    for _ in 0..3 {
        let answer = admin.get("/v1/customers").await;
        assert_eq!(answer.header("ratelimit-policy"), "\"reads\";q=5;w=60");
        assert_eq!((left(&answer, "reads"), answer.header("retry-after")), ((0, 12), "12"));
        let problem = answer.problem(429, "rate_limited");
        assert_eq!(problem["instance"], "/v1/customers");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("5 reads") && detail.contains("12 seconds"), "{detail}");
    }
    pass(&server, 11);
    admin.get("/v1/customers").await.problem(429, "rate_limited");
    pass(&server, 1);
    assert_eq!(left(&admin.get("/v1/customers").await, "reads"), (4, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_writes_are_counted_apart() {
    let server = Server::limited(LIMITS).await;
    let admin = server.admin().await;
    for remaining in (0..3).rev() {
        let answer = admin.post("/v1/customers", company("Counted")).await;
        assert_eq!(answer.header("ratelimit-policy"), "\"writes\";q=3;w=60");
        assert_eq!(left(&answer, "writes").0, remaining);
        answer.created();
    }
    admin.post("/v1/customers", company("Refused")).await.problem(429, "rate_limited");
    admin.patch("/v1/nothing", company("Not served")).await.problem(404, "not_found");
    assert_eq!(left(&admin.get("/v1/customers").await, "reads").0, 4);
    assert_eq!(reads(&admin).await, 4);
    let customers = server.database.text("SELECT count(*) FROM customers").await;
    assert_eq!(customers, "3", "a rejected request has no effect");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_counted_apart_and_who_is_none_is_not_counted() {
    let server = Server::limited(LIMITS).await;
    let (first, second) = (server.admin().await, server.admin().await);
    assert_eq!((reads(&first).await, reads(&second).await), (5, 5));
    let reseller = server.client(Role::Billing, None).await;
    assert_eq!(reads(&reseller).await, 5);
    for _ in 0..10 {
        let answer = server.stranger().get("/v1/customers").await;
        assert!(!answer.headers.contains_key("ratelimit"));
        answer.problem(401, "unauthenticated");
        first.get("/v1/nothing").await.problem(404, "not_found");
        let not_there = first.delete("/v1/customers").await;
        assert!(!not_there.headers.contains_key("ratelimit"), "an unknown path is not counted");
        not_there.problem(405, "method_not_allowed");
        first.get("/healthz").await.ok();
        first.get("/openapi.json").await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_counts_as_well() {
    let server = Server::limited(LIMITS).await;
    let admin = server.admin().await;
    let unknown = "/v1/customers/01990000-0000-7000-8000-000000000000";
    let answers = [
        (admin.get("/v1/customers?limit=0").await, 422, "reads"),
        (admin.get(unknown).await, 404, "reads"),
        (admin.with("accept", "image/png").get("/v1/customers").await, 406, "reads"),
        (server.client(Role::Billing, None).await.post("/v1/customers", company("No")).await, 403, "writes"),
    ];
    for (answer, status, kind) in answers {
        assert_eq!(answer.status, status, "{}", answer.body);
        left(&answer, kind);
    }
    assert_eq!(reads(&admin).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_answer_counts_like_any_other_and_is_there_again_in_the_next_minute() {
    let server = Server::limited(LIMITS).await;
    let admin = server.admin().await.with("idempotency-key", "again");
    pass(&server, 7);
    let first = admin.post("/v1/customers", company("Once")).await.created();
    for _ in 0..2 {
        assert_eq!(admin.post("/v1/customers", company("Once")).await.created(), first);
    }
    let refused = admin.post("/v1/customers", company("Once")).await;
    let wait = refused.header("retry-after").parse().unwrap();
    refused.problem(429, "rate_limited");
    pass(&server, wait);
    assert_eq!(admin.post("/v1/customers", company("Once")).await.created(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_limit_nothing_is_said_of_one() {
    let server = Server::limited(Limits { reads: None, ..LIMITS }).await;
    let admin = server.admin().await;
    for _ in 0..20 {
        let answer = admin.get("/v1/customers").await;
        assert!(!answer.headers.contains_key("ratelimit") && !answer.headers.contains_key("ratelimit-policy"));
        answer.ok();
    }
    assert_eq!(left(&admin.post("/v1/customers", company("One")).await, "writes").0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_limited_and_documents_it() {
    let limits = Limits { reads: Some(1000), writes: Some(1000), ..Limits::default() };
    let world = World::on(Server::limited(limits).await).await;
    for operation in operations() {
        let recipe = recipe(&operation.id, &world);
        let path = recipe.id.as_str().unwrap_or_default();
        let answer = call(&world.admin, operation, path, recipe.body.as_ref()).await;
        let kind = if operation.method == "GET" { "reads" } else { "writes" };
        assert!(left(&answer, kind).0 < 1000, "{}", operation.id);

        let documented = &DOCUMENT.value["paths"][&operation.path][operation.method.to_lowercase()]["responses"];
        assert_eq!(documented["429"]["$ref"], "#/components/responses/TooManyRequests", "{}", operation.id);
        for (status, answer) in documented.as_object().unwrap().iter().filter(|(status, _)| *status != "401") {
            let reference = answer["$ref"].as_str().map(|reference| reference.trim_start_matches('#'));
            let answer = reference.map_or(answer, |reference| DOCUMENT.value.pointer(reference).unwrap());
            for header in ["RateLimit", "RateLimit-Policy"] {
                assert_ne!(answer["headers"][header], Value::Null, "{} {status} {header}", operation.id);
            }
        }
    }
    let refusal = &DOCUMENT.value["components"]["responses"]["TooManyRequests"];
    assert_ne!(refusal["headers"]["Retry-After"], Value::Null);
}

/// A client that waits for the time in `Retry-After` succeeds, however often it was rejected.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_waits_as_told_gets_through() {
    let server = Server::limited(LIMITS).await;
    let admin = server.admin().await;
    pass(&server, 7);
    for round in 0..4 {
        for _ in 0..3 {
            admin.post("/v1/customers", company("Busy")).await.created();
        }
        let mut wait = 0;
        for _ in 0..10 {
            let refused = admin.post("/v1/customers", company("Retried")).await;
            wait = refused.header("retry-after").parse().unwrap();
            refused.problem(429, "rate_limited");
        }
        assert!((1..=60).contains(&wait));
        pass(&server, wait);
        admin.post("/v1/customers", company("Retried")).await.created();
        pass(&server, 60 + 13 * round);
    }
    let retried = "SELECT count(*) FROM customers WHERE company_name = 'Retried'";
    assert_eq!(server.database.text(retried).await, "4", "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_keep_the_limit_together() {
    let limits = Limits { reads: Some(40), writes: Some(3), ..Limits::default() };
    let limited = |state: &mut AppState| {
        state.rate_limits = RateLimits::new(limits, state.clock.clone());
    };
    let first = Server::adjusted(|state, _| limited(state)).await;
    let second = first.beside_with(|state, _| limited(state)).await;
    let admin = first.admin().await;
    let there = admin.at(&second.url);
    let mut admitted = 0;
    'asking: loop {
        // Both get five requests between two exchanges.
        for client in [&admin, &there].into_iter().cycle().take(10) {
            match client.get("/v1/customers").await.status {
                200 => admitted += 1,
                status => {
                    assert_eq!(status, 429);
                    break 'asking;
                }
            }
        }
        for server in [&first, &second] {
            exchange(&server.rate_limits, &server.db).await.unwrap();
        }
    }
    assert!((36..=50).contains(&admitted), "{admitted}");
    admitted += reads(&admin).await + reads(&there).await;
    assert!((40..=50).contains(&admitted), "the limit, and the requests since the last exchange: {admitted}");
    for server in [&first, &second] {
        exchange(&server.rate_limits, &server.db).await.unwrap();
    }
    let counted = "SELECT sum(requests) FROM rate_limit_windows WHERE kind = 'reads'";
    assert_eq!(first.database.text(counted).await, admitted.to_string(), "each is reported once");
    // The window ends on both.
    for server in [&first, &second] {
        pass(server, 60);
    }
    admin.get("/v1/customers").await.ok();
    there.get("/v1/customers").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_forgets_what_is_over_and_asks_nothing_where_nothing_is_new() {
    let server = Server::limited(LIMITS).await;
    let admin = server.admin().await;
    let windows = "SELECT count(DISTINCT window_start) FROM rate_limit_windows";
    for expected in ["1", "2", "2", "2"] {
        admin.get("/v1/customers").await.ok();
        admin.post("/v1/customers", company("Counted")).await.created();
        exchange(&server.rate_limits, &server.db).await.unwrap();
        assert_eq!(server.database.text(windows).await, expected, "this window and the one before");
        pass(&server, 60);
    }
    // A query would wait for the lock.
    let lock = Lock::hold(&server.database, "rate_limit_windows").await;
    let quiet = tokio::time::timeout(Duration::from_secs(10), exchange(&server.rate_limits, &server.db)).await;
    quiet.expect("there is no query").unwrap();
    lock.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_neither_refuses_nor_delays_and_is_told_later() {
    let database = Database::create().await;
    let proxy = Proxy::start(&database).await;
    let limited = |state: &mut AppState| state.rate_limits = RateLimits::new(LIMITS, state.clock.clone());
    let server = Server::on_with(database, &proxy.url, settings(), |state, _| limited(state)).await;
    let admin = server.admin().await;
    admin.get("/v1/customers").await.ok();
    proxy.set(Mode::Refuse);
    exchange(&server.rate_limits, &server.db).await.unwrap_err();
    // Authentication also queries the database, so the limits are called directly here.
    let started = Instant::now();
    let actor = Actor { identity: Identity::Subject("one".to_owned()), ..Actor::system() };
    let count = |_| server.rate_limits.count(&actor, RateLimitKind::Writes).unwrap();
    let verdicts: Vec<_> = (0..4).map(count).collect();
    assert!(started.elapsed() < Duration::from_millis(500));
    let is_admitted = |verdict: &Verdict| matches!(verdict, Verdict::Admitted(_));
    assert_eq!(verdicts.iter().map(is_admitted).collect::<Vec<_>>(), [true, true, true, false]);
    proxy.set(Mode::Pass);
    // A connection of the pool may have to be found broken first.
    for _ in 0..20 {
        if exchange(&server.rate_limits, &server.db).await.is_ok() {
            break;
        }
    }
    let counted = "SELECT string_agg(kind || ' ' || requests, ', ' ORDER BY kind) FROM rate_limit_windows";
    assert_eq!(server.database.text(counted).await, "reads 1, writes 3");
}
