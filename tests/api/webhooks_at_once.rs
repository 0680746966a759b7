//! Many events to many endpoints by several instances at the same time: none is lost, and none waits for a slow
//! endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use partner_platform::domain::authorization::Role;
use partner_platform::domain::limits::budget::{Limit, Limits};
use partner_platform::domain::webhooks::address::Addresses;
use partner_platform::ops::budget::Budgets;
use partner_platform::ops::courier::Courier;
use partner_platform::platform::outbound::guarded::Caller;
use reqwest::dns::{Name, Resolve, Resolving};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::world::company;
use crate::support::{Answer, Client, Lock, Receiver, Reply, Server, settings};
use crate::worker::until;

/// Emits `count` events of new customers.
async fn happen(admin: &Client, count: usize) {
    for number in 0..count {
        admin.post("/v1/customers", company(&format!("Customer {number}"))).await.created();
    }
}

/// How often each message was received.
fn counts(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for message in receiver.received() {
        *counts.entry(message.header("webhook-id").to_owned()).or_default() += 1;
    }
    counts
}

const PENDING: &str = "SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_on_its_way_within_about_a_second() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let receiver = Receiver::start().await;
    receiver.endpoint(&admin, &[]).await;
    let postman = server.postman();
    happen(&admin, 1).await;
    let started = Instant::now();
    receiver.wait_for(1).await;
    assert!(started.elapsed() < Duration::from_secs(10), "took {:?}", started.elapsed());
    server.stop().await;
    postman.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_endpoint_delays_no_other() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (slow, silent, quick) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    slow.reply([Reply::from(204).after(Duration::from_millis(1500))]);
    silent.reply([Reply::from(204).after(Duration::from_secs(600))]);
    for receiver in [&slow, &silent, &quick] {
        receiver.endpoint(&admin, &["customer.created"]).await;
    }
    let postman = server.postman();
    happen(&admin, 40).await;
    let started = Instant::now();
    quick.wait_for(40).await;
    let quick_took = started.elapsed();
    assert!(slow.received().len() < 40, "four at a time, each for one and a half seconds");
    assert_eq!(silent.received().len(), 4, "only its own concurrency slots wait for it");
    assert!(quick_took < Duration::from_secs(12), "{quick_took:?}");
    slow.wait_for(40).await;
    assert!(
        started.elapsed() < Duration::from_secs(40),
        "the slots of the slow endpoint continue: {:?}",
        started.elapsed()
    );
    drop(postman);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_does_not_wait_for_the_answer_to_another() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let silent = Receiver::start().await;
    silent.reply([Reply::from(204).after(Duration::from_secs(600))]);
    silent.endpoint(&admin, &["customer.created"]).await;
    let postman = server.postman();
    let started = Instant::now();
    for count in 1..=4 {
        happen(&admin, 1).await;
        silent.wait_for(count).await;
    }
    assert!(
        started.elapsed() < Duration::from_secs(14),
        "no delivery waited for the slow ones: {:?}",
        started.elapsed()
    );
    drop(postman);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_endpoints_with_a_backlog_leave_the_others_their_turn() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.reply([Reply::from(204).after(Duration::from_secs(2))]);
    for _ in 0..3 {
        slow.endpoint(&admin, &["customer.created"]).await;
    }
    quick.endpoint(&admin, &["reseller.created"]).await;
    happen(&admin, 40).await;
    let postman = server.postman_with(2);
    slow.wait_for(2).await;
    let started = Instant::now();
    admin.post("/v1/resellers", company("Harbour Resale")).await.created();
    quick.wait_for(1).await;
    assert!(started.elapsed() < Duration::from_secs(40), "{:?} for four minutes of work", started.elapsed());
    assert!(slow.received().len() < 100, "the slow ones are not finished");
    drop(postman);
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_does_not_wait_for_writing_down() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let receiver = Receiver::start().await;
    receiver.endpoint(&admin, &["customer.created"]).await;
    happen(&admin, 1).await;
    partner_platform::ops::courier::fan_out(&server.context(), || false).await.unwrap();
    let lock = Lock::hold(&server.database, "event_feed").await;
    let postman = server.postman();
    receiver.wait_for(1).await;
    drop(lock);
    drop(postman);
}

/// Sends `count` concurrent tests of an endpoint.
fn test_at_once(client: &Client, endpoint: &str, count: usize) -> Vec<JoinHandle<Answer>> {
    let path = format!("{endpoint}/test");
    let test = |_| {
        let (client, path) = (client.clone(), path.clone());
        tokio::spawn(async move { client.act(&path).await })
    };
    (0..count).map(test).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_four_tests_under_way_and_the_others_are_refused_at_once() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let reseller = admin.post("/v1/resellers", company("Harbour Resale")).await.created()["id"].clone();
    let own = server.client(Role::Admin, Some(&reseller)).await;
    let silent = Receiver::start().await;
    silent.reply([Reply::from(204).after(Duration::from_secs(600))]);
    let (endpoint, _) = silent.endpoint(&admin, &["reseller.created"]).await;
    let (of_reseller, _) = silent.endpoint(&own, &["reseller.created"]).await;
    let mut tests = test_at_once(&admin, &endpoint, 60);
    tests.extend(test_at_once(&own, &of_reseller, 60));
    silent.wait_for(8).await;
    let started = Instant::now();
    let keyed = own.with("idempotency-key", "test-1");
    let refused = keyed.act(&format!("{of_reseller}/test")).await;
    assert_eq!(refused.header("retry-after"), "2");
    let problem = refused.problem(429, "too_many_concurrent_requests");
    let detail = "This key or user already has 4 webhook tests in progress. Wait until one finishes, then retry.";
    assert_eq!(problem["detail"], detail);
    assert!(started.elapsed() < Duration::from_secs(5), "without waiting: {:?}", started.elapsed());
    let mut statuses = BTreeMap::new();
    for test in tests {
        let answer = test.await.unwrap();
        *statuses.entry(answer.status).or_insert(0) += 1;
        if answer.status == 429 {
            answer.problem(429, "too_many_concurrent_requests");
        }
    }
    assert_eq!(statuses, BTreeMap::from([(200, 8), (429, 112)]), "four of each tenant");
    assert_eq!(silent.connections(), 8);
    silent.reply([204]);
    assert_eq!(
        keyed.act(&format!("{of_reseller}/test")).await.ok()["status"],
        "succeeded",
        "a rejection is not kept for retries"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_and_tests_together_keep_to_the_bound_of_the_process() {
    let addresses = Addresses::public_and(vec!["127.0.0.0/8".parse().unwrap()]);
    let courier = Courier::bounded(Caller::new(addresses).unwrap(), 6);
    let two = Limit { caller: 2, tenant: 2, instance: 2 };
    let server = Server::adjusted(|state, _| {
        state.courier = courier;
        state.budgets = Budgets::new(Limits { webhook_tests: two, ..Limits::NONE }, 100);
    })
    .await;
    let admin = server.admin().await;
    let silent = Receiver::start().await;
    silent.reply([Reply::from(204).after(Duration::from_secs(600))]);
    let (endpoint, _) = silent.endpoint(&admin, &["customer.created"]).await;
    silent.endpoint(&admin, &["customer.created"]).await;
    let tests = test_at_once(&admin, &endpoint, 20);
    silent.wait_for(2).await;
    let postman = server.postman();
    happen(&admin, 10).await;
    silent.wait_for(6).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(silent.connections(), 6, "two tests and four deliveries");
    admin.act(&format!("{endpoint}/test")).await.problem(429, "too_many_concurrent_requests");
    tests.iter().for_each(JoinHandle::abort);
    drop(postman);
}

/// A resolver that panics.
struct Defective;

impl Resolve for Defective {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            panic!("an intended panic")
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_comes_to_grief_takes_nothing_with_it() {
    let addresses = Addresses::public_and(vec!["127.0.0.0/8".parse().unwrap()]);
    let caller = Caller::with_names(addresses, Arc::new(Defective)).unwrap();
    let server = Server::adjusted(|state, _| state.courier = Courier::new(caller)).await;
    let admin = server.admin().await;
    let new = json!({ "url": "http://receiver.example/", "event_types": ["customer.created"] });
    admin.post("/v1/webhook-endpoints", new).await.created();
    happen(&admin, 1).await;
    let postman = server.postman();
    let on_its_way = "SELECT count(*) FROM webhook_deliveries WHERE next_attempt_at > created_at";
    until(&server.database, on_its_way, "1").await;
    server.stop().await;
    postman.await.expect("it ends normally");
    assert_eq!(server.database.text(PENDING).await, "1", "another attempt will be made");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_while_messages_are_on_their_way() {
    // With a single connection, which would be exhausted if an attempt held it.
    let server = Server::with(partner_platform::platform::db::Settings { max_connections: 1, ..settings() }).await;
    let admin = server.admin().await;
    let silent = Receiver::start().await;
    silent.reply([Reply::from(204).after(Duration::from_secs(600))]);
    silent.endpoint(&admin, &[]).await;
    let postman = server.postman();
    happen(&admin, 8).await;
    silent.wait_for(4).await;
    let started = Instant::now();
    admin.get("/v1/customers").await.ok();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop(postman);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_instances_deliver_every_event_once() {
    let server = Server::start().await;
    let beside = server.beside().await;
    let admin = server.admin().await;
    let receivers = [Receiver::start().await, Receiver::start().await, Receiver::start().await];
    for receiver in &receivers {
        receiver.endpoint(&admin, &["customer.created"]).await;
    }
    let postmen = [server.postman(), server.postman(), beside.postman()];
    let other = beside.admin().await;
    tokio::join!(happen(&admin, 60), happen(&other, 60));
    for receiver in &receivers {
        receiver.wait_for(120).await;
    }
    until(&server.database, PENDING, "0").await;
    for receiver in &receivers {
        let counts = counts(receiver);
        assert_eq!((counts.len(), counts.values().max()), (120, Some(&1)), "each event, each once");
    }
    let rows = "SELECT count(*) || ' ' || sum(attempts) FROM webhook_deliveries WHERE status = 'succeeded'";
    assert_eq!(server.database.text(rows).await, "360 360");
    server.stop().await;
    beside.stop().await;
    for postman in postmen {
        tokio::time::timeout(Duration::from_secs(60), postman).await.expect("it stops").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_are_killed_on_the_way_lose_nothing() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let receiver = Receiver::start().await;
    receiver.reply([Reply::from(204).after(Duration::from_millis(20))]);
    receiver.endpoint(&admin, &["customer.created"]).await;
    let killing = async {
        for round in 0..8_u64 {
            let postmen = [server.postman(), server.postman()];
            tokio::time::sleep(Duration::from_millis(700 + 37 * round)).await;
            postmen.iter().for_each(|postman| postman.abort());
            // Deliveries of a stopped instance are released after a minute.
            server.clock.set(server.clock.now() + TimeDelta::seconds(61));
        }
    };
    tokio::join!(happen(&admin, 150), killing);
    let postman = server.postman();
    until(&server.database, "SELECT count(*) FROM webhook_deliveries WHERE status = 'succeeded'", "150").await;
    let counts = counts(&receiver);
    assert_eq!(counts.len(), 150, "all events have arrived");
    let fed = server.database.text("SELECT count(*) FROM events WHERE kind = 'customer.created'").await;
    assert_eq!(fed, "150");
    server.stop().await;
    postman.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_stop_ends_what_is_on_its_way_and_begins_nothing() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let receiver = Receiver::start().await;
    receiver.reply([Reply::from(204).after(Duration::from_millis(1500))]);
    receiver.endpoint(&admin, &["customer.created"]).await;
    happen(&admin, 10).await;
    let postman = server.postman();
    receiver.wait_for(4).await;
    server.stop().await;
    postman.await.unwrap();
    assert_eq!(receiver.received().len(), 4);
    let ended = "SELECT string_agg(status, ' ' ORDER BY status DESC) FROM webhook_deliveries WHERE attempts > 0";
    assert_eq!(server.database.text(ended).await, ["succeeded"; 4].join(" "), "each is recorded");
    let other = Server::beside(&server).await;
    other.clock.set(server.clock.now());
    let postman = other.postman();
    receiver.reply([204]);
    receiver.wait_for(10).await;
    other.stop().await;
    postman.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_far_behind_is_not_given_all_at_once() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let receiver = Receiver::start().await;
    let (endpoint, _) = receiver.endpoint(&admin, &["product.created"]).await;
    // As another program could have imported them.
    let many = "WITH written AS (INSERT INTO events (id, kind, occurred_at, resource_type, resource_id, data, actor, for_everyone) \
         SELECT gen_random_uuid(), CASE WHEN n % 2 = 0 THEN 'product.created' ELSE 'product.updated' END, now(), \
         'product', gen_random_uuid(), '{}', 'system', true FROM generate_series(1, 25000) n \
         RETURNING id, kind, reseller_id, for_everyone) \
         INSERT INTO event_queue (event_id, kind, reseller_id, for_everyone) SELECT * FROM written";
    server.database.execute(many).await;
    let fan_out = async || partner_platform::ops::courier::fan_out(&server.context(), || false).await.unwrap();
    fan_out().await;
    assert_eq!(server.database.text(PENDING).await, "10000", "the rest stays in the feed");
    fan_out().await;
    assert_eq!(server.database.text(PENDING).await, "10000");
    server.database.execute("DELETE FROM webhook_deliveries").await;
    fan_out().await;
    assert_eq!(server.database.text(PENDING).await, "2500");
    admin.patch(&endpoint, json!({ "event_types": ["product.updated"] })).await.ok();
    fan_out().await;
    assert_eq!(server.database.text(PENDING).await, "2500", "events before its position are not read again");
}
