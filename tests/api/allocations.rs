//! Allocations: certificates are allocated and released.

use serde_json::{Value, json};

use crate::steps::{all, allocate, assert_ledger_adds_up, on_day, subscribe, used};
use crate::support::world::{World, id};
use crate::support::{Answer, Client};

async fn ask(client: &Client, path: &str, quantity: i32, reference: &str) -> Answer {
    let body = json!({ "certificate_type": "dv", "quantity": quantity, "reference": reference });
    client.post(&format!("{path}/allocations"), body).await
}

async fn release(client: &Client, allocation: &Value) -> Value {
    client.act(&format!("/v1/allocations/{}/release", id(&allocation["id"]))).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_put_to_use_and_given_back() {
    let world = World::new().await;
    let path = subscribe(&world, json!({})).await;
    let allocation = allocate(&world.admin, &path, 2, "host 1").await;
    let expected = json!({
        "id": allocation["id"], "subscription_id": path.rsplit('/').next(), "certificate_type": "dv", "quantity": 2,
        "reference": "host 1", "status": "open", "created_at": "2027-01-01T12:00:00Z", "released_at": null,
    });
    assert_eq!(allocation, expected);
    let alone = format!("/v1/allocations/{}", id(&allocation["id"]));
    assert_eq!(world.admin.get(&alone).await.ok(), allocation);
    let line = json!({ "quantity": 5, "used": 2, "available": 3, "overage": 0 });
    assert_eq!(world.admin.get(&path).await.ok()["inventory"][0]["current"], line);

    on_day(&world.server, "2027-01-02");
    let released = release(&world.admin, &allocation).await;
    assert_eq!((&released["status"], &released["released_at"]), (&json!("released"), &json!("2027-01-02T12:00:00Z")));
    assert_eq!(used(&world.admin, &path).await, 0);
    assert_eq!(world.admin.get(&alone).await.ok(), released);
    assert_eq!(all(&world.admin, &format!("{path}/allocations")).await, [released]);
    assert_ledger_adds_up(&world.admin, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocation_is_of_one_certificate_when_nothing_is_said() {
    let world = World::new().await;
    let body = json!({ "certificate_type": "dv", "reference": "one" });
    let allocation = world.admin.post(&world.active("/allocations"), body.clone()).await.created();
    assert_eq!(allocation["quantity"], 1);
    let listed = all(&world.admin, &world.active("/allocations")).await;
    assert_eq!((listed.len(), &listed[0]), (2, &allocation), "newest first");
    let explicit = ask(&world.admin, &world.active(""), 1, "one").await.ok();
    assert_eq!(explicit, allocation, "the default quantity is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_certificates_than_there_are() {
    let world = World::new().await;
    let path = subscribe(&world, json!({})).await;
    allocate(&world.admin, &path, 3, "three").await;
    let before = world.server.database.fingerprint().await;
    let problem = ask(&world.admin, &path, 3, "too many").await.problem(409, "inventory_exhausted");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("3 certificate(s) of dv") && detail.contains("2 are available"), "{detail}");
    for other in ["ov", "ev"] {
        let body = json!({ "certificate_type": other, "reference": "not held" });
        let problem = world.admin.post(&format!("{path}/allocations"), body).await.problem(409, "inventory_exhausted");
        assert!(problem["detail"].as_str().unwrap().contains("0 are available"), "{problem}");
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing is written");
    allocate(&world.admin, &path, 2, "the rest").await;
    assert_eq!(used(&world.admin, &path).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_reference_again_answers_the_first_and_for_something_else_is_refused() {
    let world = World::new().await;
    let path = world.active("");
    let first = allocate(&world.admin, &path, 2, "host").await;
    let before = world.server.database.fingerprint().await;
    assert_eq!(ask(&world.admin, &path, 2, "host").await.ok(), first);
    assert_eq!(
        ask(&world.admin, &path, 2, "  host  ").await.ok(),
        first,
        "surrounding spaces are not part of the reference"
    );
    ask(&world.admin, &path, 3, "host").await.problem(409, "duplicate_reference");
    let other = json!({ "certificate_type": "ov", "quantity": 2, "reference": "host" });
    world.admin.post(&world.active("/allocations"), other).await.problem(409, "duplicate_reference");
    assert_eq!(before, world.server.database.fingerprint().await, "nothing is written");

    let elsewhere = subscribe(&world, json!({})).await;
    let own = allocate(&world.admin, &elsewhere, 2, "host").await;
    assert_ne!(own["id"], first["id"], "a reference belongs to one subscription");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_can_be_used_again_once_it_is_released() {
    let world = World::new().await;
    let path = world.active("");
    let first = allocate(&world.admin, &path, 2, "host").await;
    release(&world.admin, &first).await;
    let second = allocate(&world.admin, &path, 5, "host").await;
    assert_ne!(second["id"], first["id"]);
    assert_eq!(release(&world.admin, &first).await["status"], "released");
    assert_eq!(used(&world.admin, &path).await, 6, "the second allocation is still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_given_back_once() {
    let world = World::new().await;
    let path = world.active("");
    let allocation = allocate(&world.admin, &path, 2, "host").await;
    let released = release(&world.admin, &allocation).await;
    let before = world.server.database.fingerprint().await;
    on_day(&world.server, "2027-01-02");
    assert_eq!(release(&world.admin, &allocation).await, released);
    assert_eq!(before, world.server.database.fingerprint().await, "nothing is written");
    assert_eq!(used(&world.admin, &path).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_can_be_given_back_while_the_subscription_is_off_or_over() {
    let world = World::new().await;
    let path = world.active("");
    let allocation = allocate(&world.admin, &path, 2, "host").await;
    world.admin.act(&format!("{path}/suspend")).await.ok();
    release(&world.admin, &allocation).await;
    assert_eq!(used(&world.admin, &path).await, 1);
    on_day(&world.server, "2028-01-01");
    release(&world.admin, &json!({ "id": world.allocation_id })).await;
    assert_eq!(used(&world.admin, &path).await, 0);
    assert_ledger_adds_up(&world.admin, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_allocated_or_added_after_the_last_day_of_the_last_term() {
    let world = World::new().await;
    let path = world.active("");
    world.admin.patch(&path, json!({ "auto_renew": false })).await.ok();
    on_day(&world.server, "2027-12-31");
    allocate(&world.admin, &path, 1, "last day").await;
    on_day(&world.server, "2028-01-01");
    ask(&world.admin, &path, 1, "too late").await.problem(409, "invalid_transition");
    let more = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    world.admin.post(&format!("{path}/inventory/current"), more).await.problem(409, "invalid_transition");
    assert_eq!(used(&world.admin, &path).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_allocated_before_the_first_day() {
    let world = World::new().await;
    let path = format!("/v1/subscriptions/{}", id(&world.pending_id));
    ask(&world.admin, &path, 1, "early").await.problem(409, "invalid_transition");
    let more = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    world.admin.post(&format!("{path}/inventory/current"), more).await.problem(409, "invalid_transition");
}
