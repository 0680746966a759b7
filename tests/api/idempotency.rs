//! Safe retries: a request with an idempotency key is executed once, however often it is sent and whichever responses
//! are lost.

use std::sync::Arc;
use std::time::Duration;

use partner_platform::ops::request;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::concurrency::at_once;
use crate::coverage::{call, operations, recipe};
use crate::steps::{allocate, assert_ledger_adds_up, subscribe};
use crate::support::world::{World, basket, company, id};
use crate::support::{Answer, Client, database};

fn keyed(client: &Client, key: &str) -> Client {
    client.with("idempotency-key", key)
}

fn is_replay(answer: &Answer) -> bool {
    answer.headers.contains_key("idempotency-replayed")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_that_is_sent_again_with_its_key_is_answered_as_before_and_done_once() {
    let world = World::new().await;
    let writes = operations().filter(|operation| !["GET", "DELETE"].contains(&operation.method.as_str()));
    // Requests without changes come first, because the others change the states of the subscriptions.
    let (previews, others): (Vec<_>, Vec<_>) = writes.partition(|operation| operation.id.starts_with("preview"));
    for (number, operation) in previews.into_iter().chain(others).enumerate() {
        let recipe = recipe(&operation.id, &world);
        let client = keyed(&world.admin, &format!("operation-{number}"));
        let path_id = recipe.id.as_str().unwrap_or_default();
        let first = call(&client, operation, path_id, recipe.body.as_ref()).await;
        assert!((200..300).contains(&first.status) && !is_replay(&first), "{}: {}", operation.id, first.body);
        let between = world.server.database.fingerprint().await;
        let second = call(&client, operation, path_id, recipe.body.as_ref()).await;
        assert!(is_replay(&second), "{}", operation.id);
        assert_eq!(second.status, first.status, "{}", operation.id);
        let mut expected = first.body.clone();
        if expected.get("secret").is_some() {
            expected["secret"] = Value::Null;
        }
        assert_eq!(second.body, expected, "{}", operation.id);
        for header in ["etag", "location", "content-type"] {
            assert_eq!(second.headers.get(header), first.headers.get(header), "{}: {header}", operation.id);
        }
        assert_eq!(between, world.server.database.fingerprint().await, "{}: executed once", operation.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_kept_as_well() {
    let world = World::new().await;
    let client = keyed(&world.admin, "too many");
    let client = client.with("idempotency-key", "too-many");
    let path = world.active("/allocations");
    let wanted = json!({ "certificate_type": "ov", "quantity": 11, "reference": "eleven" });
    client.post(&path, wanted.clone()).await.problem(409, "inventory_exhausted");
    let more = json!({ "lines": [{ "certificate_type": "ov", "add": 5 }] });
    world.admin.post(&world.active("/inventory/current"), more).await.created();
    let again = client.post(&path, wanted.clone()).await;
    assert!(is_replay(&again));
    again.problem(409, "inventory_exhausted");
    keyed(&world.admin, "another").post(&path, wanted).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_used_for_another_request_is_refused() {
    let world = World::new().await;
    let client = keyed(&world.admin, "mine");
    client.post("/v1/resellers", company("First")).await.created();
    let before = world.server.database.fingerprint().await;
    client.post("/v1/resellers", company("Second")).await.problem(422, "idempotency_key_reused");
    client.post("/v1/customers", company("First")).await.problem(422, "idempotency_key_reused");
    let conditional = client.with("if-match", "\"1\"");
    conditional.post("/v1/resellers", company("First")).await.problem(422, "idempotency_key_reused");
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_its_callers_own() {
    let world = World::new().await;
    let admin = keyed(&world.admin, "shared").post("/v1/customers", company("Ours")).await.created();
    let own = keyed(&world.own, "shared").post("/v1/customers", company("Theirs")).await.created();
    assert_ne!(admin["id"], own["id"]);
    world.other.get("/v1/idempotency-keys/shared").await.problem(404, "not_found");
    let known = world.own.get("/v1/idempotency-keys/shared").await.ok();
    assert_eq!(known["resource"], json!({ "type": "customer", "id": own["id"] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_the_answer_learns_what_became_of_its_request() {
    let world = World::new().await;
    let unknown = world.admin.get("/v1/idempotency-keys/never-sent").await.problem(404, "not_found");
    assert!(unknown["detail"].as_str().unwrap().contains("safe to send"));
    let client = keyed(&world.admin, "a/b%c+d");
    client.act(&world.active("/suspend")).await.ok();
    let known = world.admin.get("/v1/idempotency-keys/a%2Fb%25c%2Bd").await.ok();
    assert_eq!(known["key"], "a/b%c+d");
    assert_eq!(known["state"], "completed");
    assert_eq!(known["operation"], "suspendSubscription");
    assert_eq!(known["status"], 200);
    assert_eq!(known["resource"], json!({ "type": "subscription", "id": world.active_id }));
    assert_eq!(known["created_at"], "2027-01-01T12:00:00Z");
    assert_eq!(known["expires_at"], "2027-01-02T12:00:00Z");

    world.admin.act(&world.active("/enable")).await.ok();
    let allocated = allocate(&keyed(&world.admin, "allocate"), &world.active(""), 1, "host").await;
    let known = world.admin.get("/v1/idempotency-keys/allocate").await.ok();
    assert_eq!(known["resource"], json!({ "type": "allocation", "id": allocated["id"] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_no_key_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for (key, code) in [("", "invalid_format"), ("two words", "invalid_format"), (&"k".repeat(256), "too_long")] {
        let found = keyed(&world.admin, key).post("/v1/resellers", company("New")).await.violations();
        assert_eq!(found, [("Idempotency-Key".to_owned(), code.to_owned())]);
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
    keyed(&world.admin, &"k".repeat(255)).post("/v1/resellers", company("New")).await.created();
    world.admin.get(&format!("/v1/idempotency-keys/{}", "k".repeat(256))).await.problem(400, "malformed_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_try_may_change_is_not_kept() {
    let world = World::new().await;
    let client = keyed(&world.admin, "late");
    let path = world.active("/suspend");
    // No request can be served while the table has another name.
    world.server.database.execute("ALTER TABLE subscriptions RENAME TO hidden").await;
    client.act(&path).await.problem(500, "internal");
    world.server.database.execute("ALTER TABLE hidden RENAME TO subscriptions").await;
    let done = client.act(&path).await;
    assert!(!is_replay(&done));
    done.ok();
    let stranger = keyed(&world.server.stranger(), "stranger");
    stranger.act(&path).await.problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_for_a_day_and_then_forgotten() {
    let world = World::new().await;
    let client = keyed(&world.admin, "daily");
    let first = client.post("/v1/resellers", company("Daily")).await.created();
    world.server.clock.set(world.server.clock.machine() + chrono::TimeDelta::hours(23));
    assert_eq!(client.post("/v1/resellers", company("Daily")).await.body["id"], first["id"]);
    world.server.clock.set(world.server.clock.machine() + chrono::TimeDelta::hours(2));
    world.admin.get("/v1/idempotency-keys/daily").await.problem(404, "not_found");
    let second = client.post("/v1/resellers", company("Daily")).await.created();
    let kept = "SELECT count(*) FROM idempotency_keys WHERE key = 'daily'";
    assert_ne!(second["id"], first["id"]);
    assert_eq!(world.server.database.text(kept).await, "1");
    world.server.clock.set(world.server.clock.machine() + chrono::TimeDelta::hours(25));
    request::forget_expired(&world.server.db, world.server.clock.machine()).await.unwrap();
    assert_eq!(world.server.database.text(kept).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_same_request_at_once_one_is_done_and_all_others_are_its_answer_or_come_again() {
    let world = World::new().await;
    let beside = world.server.beside().await;
    let path = subscribe(&world, json!({ "inventory": [{ "certificate_type": "dv", "quantity": 5 }] })).await;
    let more = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    for round in 0..8 {
        let requests = (0..12).map(|number| {
            let server = if number % 2 == 0 { &world.server.url } else { &beside.url };
            let client = keyed(&world.admin.at(server), &format!("round-{round}"));
            let (path, more) = (format!("{path}/inventory/current"), more.clone());
            async move { client.post(&path, more).await }
        });
        let mut ids = Vec::new();
        for answer in at_once(requests).await {
            match answer.status {
                201 => ids.push(answer.body["id"].clone()),
                _ => {
                    assert_eq!(answer.header("retry-after"), "2");
                    answer.problem(409, "idempotency_in_progress");
                }
            }
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "one order");
    }
    let inventory = world.admin.get(&format!("{path}/inventory")).await.ok();
    assert_eq!(inventory["data"][0]["current"]["quantity"], 5 + 8);
}

/// A request that a client wants to be executed once.
enum Wish {
    Reseller(usize),
    Raise,
    Add,
}

/// Repeats a request until it has a response. Some responses are lost: the connection is closed at a random moment.
async fn insist(client: &Client, path: &str, body: &Value, lost: &mut usize) -> Answer {
    loop {
        let attempt = client.send(Method::POST, path, Some(body.to_string().into_bytes()));
        let answer = if fastrand::u8(..100) < 30 {
            *lost += 1;
            tokio::time::timeout(Duration::from_micros(fastrand::u64(0..60_000)), attempt).await.ok()
        } else {
            Some(attempt.await)
        };
        match answer {
            // If the response arrived before the connection was closed, it was not lost.
            Some(answer) if answer.status < 300 => return answer,
            Some(answer) if answer.status != 503 => drop(answer.problem(409, "idempotency_in_progress")),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..20))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_operations_of_which_answers_are_lost_each_is_done_exactly_once() {
    const CLIENTS: usize = 16;
    const EACH: usize = 63;
    let world = Arc::new(World::new().await);
    let path = subscribe(&world, json!({ "inventory": [{ "certificate_type": "dv", "quantity": 1 }] })).await;
    let before = count(&world, "orders").await;
    let entries_before = count(&world, "audit_entries").await;
    let mut tasks = JoinSet::new();
    for number in 0..CLIENTS {
        let client = world.admin.clone();
        let (raise, add) = (format!("{path}/inventory/current"), world.customer("/subscriptions"));
        let product_id = world.product_id.clone();
        tasks.spawn(async move {
            let (mut lost, mut done) = (0, [0_usize; 3]);
            for turn in 0..EACH {
                let client = keyed(&client, &format!("{number}-{turn}"));
                let wish = match turn % 3 {
                    0 => Wish::Reseller(number * EACH + turn),
                    1 => Wish::Raise,
                    _ => Wish::Add,
                };
                let (to, body) = match wish {
                    Wish::Reseller(name) => ("/v1/resellers", company(&format!("Insistent {name}"))),
                    Wish::Raise => (&*raise, json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] })),
                    Wish::Add => (&*add, basket(&product_id, 1)),
                };
                insist(&client, to, &body, &mut lost).await;
                done[turn % 3] += 1;
            }
            (lost, done)
        });
    }
    let (mut lost, mut done) = (0, [0; 3]);
    while let Some(result) = tasks.join_next().await {
        let (their_lost, their_done) = result.unwrap();
        lost += their_lost;
        done.iter_mut().zip(their_done).for_each(|(all, theirs)| *all += theirs);
    }
    let all: usize = done.iter().sum();
    assert!(all >= 1000 && lost > all / 5, "{all} operations, {lost} cut connections");

    let database = &world.server.database;
    let names =
        "SELECT concat(count(*), ' ', count(DISTINCT company_name)) FROM resellers WHERE company_name LIKE 'Ins%'";
    assert_eq!(database.text(names).await, format!("{0} {0}", done[0]));
    let inventory = world.admin.get(&format!("{path}/inventory")).await.ok();
    assert_eq!(inventory["data"][0]["current"]["quantity"], 1 + done[1]);
    assert_eq!(count(&world, "orders").await - before, done[1] + done[2]);
    assert_eq!(count(&world, "audit_entries").await - entries_before, all, "each has one audit entry");
    let confirmed = "SELECT count(*) FROM events WHERE kind = 'order.confirmed'";
    assert_eq!(database.text(confirmed).await, database.text("SELECT count(*) FROM orders").await);
    assert_ledger_adds_up(&world.admin, &path).await;
}

async fn count(world: &World, table: &str) -> usize {
    world.server.database.text(&format!("SELECT count(*) FROM {table}")).await.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_under_way_says_so() {
    let world = World::new().await;
    let mut holder = database::connect(&world.server.database).await;
    let transaction = holder.transaction().await.unwrap();
    let lock = format!("SELECT FROM subscriptions WHERE id = '{}' FOR UPDATE", id(&world.active_id));
    transaction.batch_execute(&lock).await.unwrap();

    let client = keyed(&world.admin, "slow");
    let path = world.active("/suspend");
    let first = tokio::spawn({
        let (client, path) = (client.clone(), path.clone());
        async move { client.act(&path).await }
    });
    let state = loop {
        let known = world.admin.get("/v1/idempotency-keys/slow").await;
        if known.status == 200 {
            break known.ok();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((&state["state"], &state["status"]), (&json!("in_progress"), &Value::Null));
    client.act(&path).await.problem(409, "idempotency_in_progress");
    transaction.rollback().await.unwrap();
    assert_eq!(first.await.unwrap().ok()["status"], "suspended");
    assert!(is_replay(&client.act(&path).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_another_media_type_can_be_sent_again_in_the_right_one() {
    let world = World::new().await;
    let client = keyed(&world.admin, "typed");
    let body = company("Typed");
    let wrong = client.with("content-type", "text/plain").post("/v1/resellers", body.clone()).await;
    wrong.problem(415, "unsupported_media_type");
    client.post("/v1/resellers", body).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_invoices_is_billed_told_and_kept_or_nothing_of_it() {
    let world = World::new().await;
    let client = keyed(&world.admin, "run");
    let database = &world.server.database;
    let count = "SELECT count(*) FROM invoices";
    let before = database.text(count).await;
    database.execute("ALTER TABLE audit_entries RENAME TO hidden").await;
    client.post("/v1/invoices/run", json!({})).await.problem(500, "internal");
    database.execute("ALTER TABLE hidden RENAME TO audit_entries").await;
    assert_eq!(database.text(count).await, before);
    world.admin.get("/v1/idempotency-keys/run").await.problem(404, "not_found");

    let path = "/v1/invoices/run";
    let runs = (0..8).map(|_| async { client.post(path, json!({})).await });
    let answers = futures_util::future::join_all(runs).await;
    let (done, waiting): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert!(waiting.into_iter().all(|answer| answer.problem(409, "idempotency_in_progress").is_object()));
    assert!(done.iter().all(|answer| answer.body == done[0].body), "all have the same response");
    let billed = database.text(count).await.parse::<i64>().unwrap() - before.parse::<i64>().unwrap();
    assert_eq!(json!(billed), done[0].body["invoices"]);
    assert!(billed > 0);
}
