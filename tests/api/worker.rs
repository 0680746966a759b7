//! The background worker, and concurrent work on the same subscriptions.

use std::time::Duration;

use futures_util::future::join_all;
use partner_platform::domain::authorization::Role;
use partner_platform::ops::milestones;
use serde_json::json;

use crate::steps::{all, assert_ledger_adds_up, on_day};
use crate::support::world::{World, id};
use crate::support::{Database, Mode, Proxy, Server, settings};

/// Longer than anything here takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until a query has this result.
pub async fn until(database: &Database, sql: &str, expected: &str) {
    let there = async {
        while database.text(sql).await != expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.unwrap_or_else(|_| panic!("{sql} did not become {expected}"));
}

/// Waits until nothing is due on a day.
async fn until_done(database: &Database, day: &str) {
    until(database, &format!("SELECT count(*) FROM subscriptions WHERE due_date <= '{day}'"), "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_does_what_is_due_without_being_asked_until_it_is_stopped() {
    let world = World::new().await;
    let database = &world.server.database;
    let worker = world.server.worker();
    on_day(&world.server, "2027-02-01");
    until_done(database, "2027-02-01").await;
    let of_pending = format!("WHERE id = '{}'", id(&world.pending_id));
    assert_eq!(database.text(&format!("SELECT status FROM subscriptions {of_pending}")).await, "active");
    on_day(&world.server, "2028-06-01");
    until_done(database, "2028-06-01").await;
    let states =
        "SELECT string_agg(status || ' ' || term_number, ', ' ORDER BY status, term_number) FROM subscriptions";
    assert_eq!(database.text(states).await, "active 2, active 2, expired 1, expired 1");
    let by = "SELECT string_agg(DISTINCT confirmed_by || confirmed_at::time, ',') FROM orders WHERE kind = 'renewal'";
    assert_eq!(database.text(by).await, "system00:00:00");

    world.server.stop().await;
    tokio::time::timeout(PATIENCE, worker).await.expect("it stops").unwrap();
    let before = database.fingerprint().await;
    on_day(&world.server, "2040-01-01");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(database.fingerprint().await, before, "it has stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_goes_on_once_the_database_is_back() {
    let database = Database::create().await;
    let proxy = Proxy::start(&database).await;
    let world = World::on(Server::on(database, &proxy.url, settings()).await).await;
    let worker = world.server.worker();
    proxy.set(Mode::Refuse);
    on_day(&world.server, "2027-02-01");
    // Long enough to notice a mistake. A slow machine notices fewer.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let due = "SELECT count(*) FROM subscriptions WHERE due_date <= '2027-02-01'";
    assert_eq!(world.server.database.text(due).await, "1", "it cannot be processed");
    assert!(!worker.is_finished());
    proxy.set(Mode::Pass);
    until_done(&world.server.database, "2027-02-01").await;
    let failures = world.server.database.text("SELECT count(*) FROM renewal_failures").await;
    assert_eq!(failures, "0", "an unavailable database is not a failure of a subscription");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_leaves_the_rest_for_another() {
    let world = World::new().await;
    on_day(&world.server, "2028-06-01");
    let cx = world.server.context();
    milestones::drain(&cx, || true).await.unwrap();
    let due = "SELECT count(*) FROM subscriptions WHERE due_date <= '2028-06-01'";
    assert_eq!(world.server.database.text(due).await, "4");
    milestones::drain(&cx, || false).await.unwrap();
    assert_eq!(world.server.database.text(due).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_in_upkeep_keeps_nothing_else_waiting() {
    let world = World::new().await;
    let database = &world.server.database;
    world.admin.act(&world.active("/suspend")).await.ok();
    on_day(&world.server, "2027-03-01");
    let without_place = "SELECT count(*) FROM event_queue";
    let without_seal = "SELECT count(*) FROM audit_queue";
    let kept = "SELECT count(*) FROM idempotency_keys";
    for query in [without_place, without_seal, kept] {
        assert_ne!(database.text(query).await, "0", "{query}");
    }
    database.execute("ALTER TABLE audit_chain RENAME TO gone").await;
    let upkeep = world.server.upkeep();
    until(database, without_place, "0").await;
    until(database, kept, "0").await;
    database.execute("ALTER TABLE gone RENAME TO audit_chain").await;
    until(database, without_seal, "0").await;
    world.server.stop().await;
    tokio::time::timeout(PATIENCE, upkeep).await.expect("it stops").unwrap();
}

/// Adds monthly subscriptions from 1 January 2027, half of which renew with fewer certificates.
async fn subscribe_many(world: &World, count: usize) {
    let item = |index: usize| {
        let mut line = json!({ "certificate_type": "dv", "quantity": 3 });
        if index.is_multiple_of(2) {
            line["renewal_quantity"] = json!(2);
        }
        json!({ "product_id": world.product_id, "term_months": 1, "inventory": [line] })
    };
    for start in (0..count).step_by(50) {
        let items: Vec<_> = (start..count.min(start + 50)).map(item).collect();
        let body = json!({ "auto_renew": true, "subscriptions": items });
        world.admin.post(&world.customer("/subscriptions"), body).await.created();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_at_work_each_term_is_renewed_once() {
    let world = World::new().await;
    subscribe_many(&world, 200).await;
    let paths: Vec<String> = all(&world.admin, "/v1/subscriptions")
        .await
        .iter()
        .filter(|subscription| subscription["term"]["months"] == 1 && subscription["status"] == "active")
        .map(|subscription| format!("/v1/subscriptions/{}", id(&subscription["id"])))
        .collect();
    assert_eq!(paths.len(), 200);
    // Four terms are overdue.
    on_day(&world.server, "2027-05-20");
    let drains = (0..4).map(|_| {
        let cx = world.server.context();
        tokio::spawn(async move { milestones::drain(&cx, || false).await.unwrap() })
    });
    let drains: Vec<_> = drains.collect();
    let mut clients = Vec::new();
    for number in 0..16_usize {
        let client = world.server.client(Role::Admin, (number % 2 == 0).then_some(&world.reseller_id)).await;
        let own: Vec<_> = paths.iter().skip(number).step_by(16).cloned().collect();
        clients.push(tokio::spawn(async move {
            for path in own {
                let subscription = client.get(&path).await.ok();
                assert_eq!(subscription["term"]["start_date"], "2027-05-01", "a request finds it done");
                let list = client.get("/v1/subscriptions?limit=5").await;
                assert!(list.status == 200 || list.body["code"] == "unavailable", "{}", list.body);
            }
        }));
    }
    join_all(drains.into_iter().chain(clients)).await.into_iter().for_each(Result::unwrap);

    let database = &world.server.database;
    let monthly = "subscription_id IN (SELECT id FROM subscriptions WHERE term_months = 1 AND status = 'active')";
    let count = async |of: &str| database.text(&format!("SELECT {of} AND {monthly}")).await;
    assert_eq!(count("count(*) || ' ' || max(number) FROM subscription_terms WHERE true").await, "1000 5");
    let renewals = "FROM order_lines JOIN orders ON orders.id = order_id WHERE kind = 'renewal'";
    let each = format!(
        "count(*) || ' ' || count(DISTINCT order_id) || ' ' || count(DISTINCT (subscription_id, confirmed_at)) {renewals}"
    );
    assert_eq!(count(&each).await, "800 800 800");
    assert_eq!(
        count("count(*) || ' ' || count(DISTINCT (subscription_id, due_date)) FROM charges WHERE true").await,
        "1000 1000"
    );
    assert_eq!(
        count("sum(amount) FROM charges WHERE true").await,
        (200 * 3 * 990 + 4 * 100 * (2 + 3) * 990).to_string()
    );
    let sums = "count(*) FROM inventory_lines l WHERE current <> \
        (SELECT sum(coalesce(after, 0) - coalesce(before, 0)) FROM inventory_ledger e WHERE measure = 'current' \
         AND e.subscription_id = l.subscription_id AND e.certificate_type = l.certificate_type)";
    assert_eq!(count(sums).await, "0", "the ledger adds up");
    for path in paths.iter().take(3) {
        assert_ledger_adds_up(&world.admin, path).await;
    }
    assert_eq!(database.text("SELECT count(*) FROM renewal_failures").await, "0", "the workers did not conflict");
}
