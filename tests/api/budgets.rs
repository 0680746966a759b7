//! Limits on concurrent work per caller and per tenant, so that other tenants are not affected.

use std::time::Duration;

use partner_platform::domain::authorization::{Role, Scope};
use partner_platform::domain::id::ResellerId;
use partner_platform::domain::limits::budget::{Limit, Limits, Resource};
use partner_platform::ops::budget::Budgets;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::coverage::{call, operations, recipe};
use crate::support::world::{World, company};
use crate::support::{Client, Lock, Raw, Server};

const LIMITS: Limits = Limits {
    requests: Limit { caller: 4, tenant: 6, instance: u64::MAX },
    waits: Limit { caller: 2, tenant: 3, instance: u64::MAX },
    body_bytes: Limit { caller: 2_000_000, tenant: 3_000_000, instance: 4_000_000 },
    webhook_tests: Limit::NONE,
};

async fn server(limits: Limits, connections: usize) -> Server {
    with(&Budgets::new(limits, connections)).await
}

async fn with(budgets: &Budgets) -> Server {
    Server::adjusted(|state, _| state.budgets = budgets.clone()).await
}

/// Returns once `amount` of a resource is in use.
async fn until_used(budgets: &Budgets, resource: Resource, amount: u64) {
    let wait = async {
        while budgets.used(resource) != amount {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the amount is in use");
}

/// Administrators of two resellers.
async fn neighbours(server: &Server) -> (Client, Client) {
    let admin = server.admin().await;
    let one = admin.post("/v1/resellers", company("One")).await.created()["id"].clone();
    let other = admin.post("/v1/resellers", company("Other")).await.created()["id"].clone();
    (server.client(Role::Admin, Some(&one)).await, server.client(Role::Admin, Some(&other)).await)
}

/// Another key of the same tenant.
async fn sibling(server: &Server, client: &Client) -> Client {
    let reseller = client.get("/v1/resellers").await.ok()["data"][0]["id"].clone();
    server.client(Role::Admin, Some(&reseller)).await
}

fn send(all: &mut JoinSet<u16>, client: &Client, path: &str) {
    let (client, path) = (client.clone(), path.to_owned());
    all.spawn(async move { client.get(&path).await.status });
}

#[track_caller]
fn assert_refused(answer: crate::support::Answer, says: &str) {
    assert_eq!(answer.header("retry-after"), "2");
    let problem = answer.problem(429, "too_many_concurrent_requests");
    assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_caller_and_of_a_tenant_are_bounded_and_a_place_is_free_when_one_ends() {
    let server = server(LIMITS, 100).await;
    let (one, other) = neighbours(&server).await;
    let sibling = sibling(&server, &one).await;
    let lock = Lock::hold(&server.database, "price_lists").await;
    let mut under_way = JoinSet::new();
    (0..4).for_each(|_| send(&mut under_way, &one, "/v1/price-lists"));
    lock.wait_for(4).await;
    assert_refused(one.get("/v1/customers").await, "This key or user already has 4 requests in progress");
    (0..2).for_each(|_| send(&mut under_way, &sibling, "/v1/price-lists"));
    lock.wait_for(6).await;
    assert_refused(sibling.get("/v1/customers").await, "This tenant already has 6 requests in progress");
    assert_refused(sibling.post("/v1/customers", company("Refused")).await, "in progress");
    other.get("/v1/customers").await.ok();
    lock.release().await;
    assert!(under_way.join_all().await.iter().all(|status| *status == 200));
    for _ in 0..10 {
        one.get("/v1/customers").await.ok();
        sibling.get("/v1/customers").await.ok();
    }
    assert_eq!(server.database.text("SELECT count(*) FROM customers").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_holds_no_more_than_its_share_of_the_connections() {
    let server = server(Limits::NONE, 3).await;
    let (one, other) = neighbours(&server).await;
    other.get("/v1/customers").await.ok();
    let lock = Lock::hold(&server.database, "price_lists").await;
    let mut under_way = JoinSet::new();
    // More than the pool has connections.
    (0..20).for_each(|_| send(&mut under_way, &one, "/v1/price-lists"));
    lock.wait_for(3).await;
    for _ in 0..20 {
        other.get("/v1/customers").await.ok();
    }
    assert_eq!(lock.waiting().await, 3, "the others wait for the share of their tenant");
    lock.release().await;
    assert!(under_way.join_all().await.iter().all(|status| *status == 200));
}

/// A connection with the beginning of a body whose announced length is never completed.
async fn unfinished(server: &Server, client: &Client, framing: &str, bytes: usize) -> Raw {
    let mut raw = Raw::connect(&server.url).await;
    let head = format!(
        "POST /v1/customers HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         {framing}\r\n\r\n",
        client.key().unwrap()
    );
    raw.write(head.as_bytes()).await;
    raw.write(&vec![b' '; bytes]).await;
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_end_are_no_more_than_their_senders_budget() {
    let budgets = Budgets::new(LIMITS, 100);
    let server = with(&budgets).await;
    let (one, other) = neighbours(&server).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(unfinished(&server, &one, "Content-Length: 900000", 800_000).await);
    }
    until_used(&budgets, Resource::BodyBytes, 1_800_000).await;
    let answer = unfinished(&server, &one, "Content-Length: 900000", 0).await.read().await;
    assert_eq!(answer.status(), 429, "{answer:?}");
    assert!(answer.body.contains("2000000 bytes of request bodies"), "{answer:?}");
    other.post("/v1/customers", company("Served")).await.created();
    one.post("/v1/customers", company("Small enough")).await.created();
    // When the client disconnects, its resources are released.
    drop(held);
    until_used(&budgets, Resource::BodyBytes, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_takes_of_the_budget_as_it_comes() {
    let limits = Limits { body_bytes: Limit { caller: 100_000, ..Limit::NONE }, ..Limits::NONE };
    let server = server(limits, 100).await;
    let (one, _) = neighbours(&server).await;
    let mut raw = unfinished(&server, &one, "Transfer-Encoding: chunked", 0).await;
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, " ".repeat(60_000));
    raw.write(chunk.repeat(2).as_bytes()).await;
    assert_eq!(raw.read().await.status(), 429);
    one.post("/v1/customers", company("Next")).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_requests_of_a_caller_and_of_a_tenant_wait_for_events_and_no_more() {
    let budgets = Budgets::new(Limits { requests: Limit::NONE, ..LIMITS }, 100);
    let server = with(&budgets).await;
    let (one, other) = neighbours(&server).await;
    let sibling = sibling(&server, &one).await;
    let wait = "/v1/events?after=latest&wait=20";
    let mut waiting = JoinSet::new();
    [&one, &one, &sibling].into_iter().for_each(|client| send(&mut waiting, client, wait));
    until_used(&budgets, Resource::Waits, 3).await;
    assert_refused(one.get(wait).await, "This key or user already has 2 requests that wait for events");
    assert_refused(sibling.get(wait).await, "This tenant already has 3 requests that wait for events");
    one.get("/v1/events?after=latest").await.ok();
    other.get("/v1/events?after=latest&wait=1").await.ok();
    one.post("/v1/customers", company("Event")).await.created();
    assert!(waiting.join_all().await.iter().all(|status| *status == 200));
    until_used(&budgets, Resource::Waits, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_pages_and_bodies_of_a_tenant_wait_for_one_another_and_nothing_small_waits_for_them() {
    let budgets = Budgets::new(Limits::NONE, 100);
    let server = with(&budgets).await;
    let (one, other) = neighbours(&server).await;
    let reseller = one.get("/v1/resellers").await.ok()["data"][0]["id"].clone();
    let scope = Scope::Reseller(ResellerId(reseller.as_str().unwrap().parse().unwrap()));
    let mut long = company("Long");
    long["contact"] = Value::String("x".repeat(70_000));
    let (client, body) = (one.clone(), long.clone());
    let turn = budgets.large(scope).acquire_owned().await.unwrap();
    let mut waiting = JoinSet::new();
    send(&mut waiting, &one, "/v1/customers?limit=51");
    send(&mut waiting, &one, "/v1/reports/usage?limit=200");
    waiting.spawn(async move { client.post("/v1/customers", body).await.status });
    one.get("/v1/customers?limit=50").await.ok();
    one.post("/v1/customers", company("Short")).await.created();
    other.get("/v1/customers?limit=200").await.ok();
    other.post("/v1/customers", long).await.problem(422, "validation_failed");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(waiting.try_join_next().is_none(), "it is not their turn yet");
    drop(turn);
    let mut statuses = waiting.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 422]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_never_holds_a_connection_while_it_waits_for_another() {
    let world = World::on(server(Limits::NONE, 1).await).await;
    let (previews, others): (Vec<_>, Vec<_>) = operations().partition(|operation| operation.id.starts_with("preview"));
    for operation in previews.into_iter().chain(others) {
        let recipe = recipe(&operation.id, &world);
        let path = recipe.id.as_str().unwrap_or_default();
        let keyed = world.admin.with("idempotency-key", &operation.id);
        let answer = call(&keyed, operation, path, recipe.body.as_ref()).await;
        assert!((200..300).contains(&answer.status), "{}: {} {}", operation.id, answer.status, answer.body);
    }
    let csv = world.admin.with("accept", "text/csv").get("/v1/reports/usage").await;
    assert!(matches!(csv.ok(), Value::String(_)));
}
