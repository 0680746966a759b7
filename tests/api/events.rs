//! The event feed: each event once, none is missing, and the order never changes.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::steps::{on_day, subscribe};
use crate::support::world::{World, company, id};
use crate::support::{Client, Database, Lock, Proxy, Server, database, settings};

/// All events after a position, page by page.
async fn follow(client: &Client, after: &str, query: &str) -> (Vec<Value>, String) {
    let mut after = after.to_owned();
    let mut all = Vec::new();
    loop {
        let from = if after.is_empty() { String::new() } else { format!("&after={after}") };
        let feed = client.get(&format!("/v1/events?limit=50{query}{from}")).await.ok();
        feed["next_after"].as_str().unwrap().clone_into(&mut after);
        let events = feed["data"].as_array().unwrap();
        if events.is_empty() {
            return (all, after);
        }
        all.extend(events.iter().cloned());
    }
}

async fn latest(client: &Client) -> String {
    client.get("/v1/events?after=latest").await.ok()["next_after"].as_str().unwrap().to_owned()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The events that are emitted during some work.
async fn told(client: &Client, work: impl AsyncFnOnce()) -> Vec<Value> {
    let after = latest(client).await;
    work().await;
    follow(client, &after, "").await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told_with_the_resource_as_its_get_shows_it() {
    let world = World::new().await;
    let World { admin, .. } = &world;
    let request = admin.with("x-request-id", "who-suspended-this");
    let path = world.active("");
    let events = told(admin, async || {
        request.post(&format!("{path}/suspend"), json!({ "reason": "Overdue" })).await.ok();
    })
    .await;
    assert_eq!(types(&events), ["subscription.suspended"]);
    let event = &events[0];
    assert_eq!(event["data"], admin.get(&path).await.ok());
    assert_eq!(event["resource"], json!({ "type": "subscription", "id": world.active_id, "version": 2 }));
    assert_eq!(event["request_id"], "who-suspended-this");
    assert_eq!(event["occurred_at"], "2027-01-01T12:00:00Z");
    assert!(event["actor"].as_str().unwrap().starts_with("api_key:"));

    let customer = world.customer("");
    let events = told(admin, async || drop(admin.patch(&customer, json!({ "contact": null })).await)).await;
    assert!(events.is_empty(), "a request without changes emits no event: {events:?}");
    let rename = json!({ "company_name": "Northwind 2" });
    let events = told(admin, async || drop(admin.patch(&customer, rename).await.ok())).await;
    assert_eq!((types(&events), &events[0]["data"]), (vec!["customer.updated"], &admin.get(&customer).await.ok()));

    let product = format!("/v1/products/{}", id(&world.product_id));
    let rename = json!({ "name": "Other" });
    let events = told(admin, async || drop(admin.patch(&product, rename).await.ok())).await;
    assert_eq!((types(&events), &events[0]["data"]), (vec!["product.updated"], &admin.get(&product).await.ok()));

    let reseller = format!("/v1/resellers/{}", id(&world.reseller_id));
    let events = told(admin, async || {
        admin.act(&format!("{reseller}/disable")).await.ok();
        admin.act(&format!("{reseller}/enable")).await.ok();
    })
    .await;
    assert_eq!(types(&events), ["reseller.disabled", "reseller.enabled"]);
    assert_eq!(events[1]["data"], admin.get(&reseller).await.ok());

    let invoice = format!("/v1/invoices/{}", id(&world.invoice_id));
    let events = told(admin, async || drop(admin.act(&format!("{invoice}/mark-emailed")).await.ok())).await;
    assert_eq!((types(&events), &events[0]["data"]), (vec!["invoice.emailed"], &admin.get(&invoice).await.ok()));
    let events = told(admin, async || drop(admin.act(&format!("{invoice}/void")).await.ok())).await;
    assert_eq!(types(&events), ["invoice.voided", "charge.reopened"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_tells_what_it_did_to_the_subscription_its_inventory_and_its_charges() {
    let world = World::new().await;
    let World { admin, .. } = &world;
    let path = world.active("");
    let more = json!({ "lines": [{ "certificate_type": "dv", "add": 5 }] });
    let events = told(admin, async || {
        admin.post(&format!("{path}/inventory/current"), more).await.created();
    })
    .await;
    assert_eq!(
        types(&events),
        ["inventory.current_raised", "order.confirmed", "charge.created"].as_slice(),
        "{events:?}"
    );
    assert_eq!(events[0]["data"], admin.get(&format!("{path}/inventory")).await.ok());
    let order = format!("/v1/orders/{}", id(&events[1]["resource"]["id"]));
    assert_eq!(events[1]["data"], admin.get(&order).await.ok());
    let charges = admin.get("/v1/charges?limit=1").await.ok();
    assert_eq!(events[2]["data"], charges["data"][0]);

    let set = json!({ "lines": [{ "certificate_type": "dv", "quantity": 9 }] });
    let events = told(admin, async || {
        admin.put(&format!("{path}/inventory/renewal"), set).await.ok();
    })
    .await;
    assert_eq!(types(&events), ["inventory.renewal_set", "order.confirmed"]);

    let pending = format!("/v1/subscriptions/{}", id(&world.pending_id));
    let events = told(admin, async || drop(admin.act(&format!("{pending}/cancel")).await.ok())).await;
    assert_eq!(types(&events), ["subscription.cancelled", "order.confirmed", "charge.voided"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_time_does_is_told_as_of_its_midnight_and_by_the_service() {
    let world = World::new().await;
    let after = latest(&world.admin).await;
    on_day(&world.server, "2028-01-02");
    world.admin.get("/v1/subscriptions").await.ok();
    let (events, _) = follow(&world.admin, &after, "").await;
    let renewed = events.iter().find(|event| event["type"] == "subscription.renewed").unwrap();
    assert_eq!(renewed["resource"]["id"], world.active_id);
    assert_eq!(renewed["occurred_at"], "2028-01-01T00:00:00Z");
    assert_eq!((&renewed["actor"], &renewed["request_id"]), (&json!("system"), &Value::Null));
    for kind in
        ["subscription.activated", "subscription.expired", "subscription.lapsed", "inventory.renewed", "charge.created"]
    {
        assert!(types(&events).contains(&kind), "{kind}: {:?}", types(&events));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn falling_to_the_threshold_is_low_and_to_nothing_exhausted_each_told_once() {
    let world = World::new().await;
    let admin = &world.admin;
    let path = subscribe(&world, json!({ "inventory": [{ "certificate_type": "dv", "quantity": 5 }] })).await;
    let thresholds = json!({ "lines": [{ "certificate_type": "dv", "low_threshold": 2 }] });
    let events = told(admin, async || {
        let inventory = admin.put(&format!("{path}/inventory/thresholds"), thresholds).await.ok();
        assert_eq!(inventory["data"][0]["low_threshold"], 2);
    })
    .await;
    assert_eq!(types(&events), ["inventory.threshold_set"]);
    let mut all = Vec::new();
    for number in 0..5 {
        let one = json!({ "certificate_type": "dv", "reference": format!("host {number}") });
        let events = told(admin, async || {
            admin.post(&format!("{path}/allocations"), one).await.created();
        })
        .await;
        let low = events
            .iter()
            .filter(|event| ["inventory.low", "inventory.exhausted"].map(Value::from).contains(&event["type"]));
        assert!(low.clone().all(|event| event["certificate_type"] == "dv"), "{events:?}");
        assert_eq!(events[0]["certificate_type"], Value::Null);
        all.push(types(&events).join(" "));
    }
    let allocated = "inventory.allocated";
    assert_eq!(
        all,
        [
            allocated,
            allocated,
            "inventory.allocated inventory.low",
            allocated,
            "inventory.allocated inventory.exhausted"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn thresholds_of_types_that_are_not_there_or_twice_are_refused_and_change_nothing() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    let line = |kind: &str| json!({ "certificate_type": kind, "low_threshold": 1 });
    let lines = json!({ "lines": [line("dv"), line("dv"), line("ev")] });
    let found = world.admin.put(&world.active("/inventory/thresholds"), lines).await.violations();
    let expected = [("/lines/1/certificate_type", "duplicate"), ("/lines/2/certificate_type", "unknown_reference")];
    assert_eq!(found, expected.map(|(place, code)| (place.to_owned(), code.to_owned())));
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_no_event() {
    let world = World::new().await;
    let admin = &world.admin;
    let events = told(admin, async || {
        admin.act(&world.active("/enable")).await.ok();
        admin.act(&world.active("/cancel")).await.problem(409, "invalid_transition");
        admin.post("/v1/customers", json!({})).await.problem(422, "validation_failed");
        let stale = admin.with("if-match", "\"99\"");
        stale.act(&world.active("/suspend")).await.problem(412, "version_mismatch");
    })
    .await;
    assert!(events.is_empty(), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reseller_is_told_of_its_own_and_of_products_and_of_a_customer_that_leaves_it() {
    let world = World::new().await;
    let (admin, own, other) = (&world.admin, &world.own, &world.other);
    let (all, _) = follow(other, "", "").await;
    let of_others = all.iter().filter(|event| {
        let kind = event["resource"]["type"].as_str().unwrap();
        kind != "product" && event["resource"]["id"] != world.other_reseller_id
    });
    assert_eq!(of_others.count(), 0, "{all:?}");
    assert!(types(&all).contains(&"product.created"));

    let starts = [latest(own).await, latest(other).await];
    let move_it = json!({ "partner_id": world.other_reseller_id });
    admin.patch(&world.customer(""), move_it).await.ok();
    admin.act(&world.active("/suspend")).await.ok();
    let (theirs, _) = follow(own, &starts[0], "").await;
    assert_eq!(types(&theirs), ["customer.released"]);
    assert_eq!(theirs[0]["data"]["partner_id"], world.reseller_id, "the data at that time, not the present reseller");
    let (others, _) = follow(other, &starts[1], "").await;
    assert_eq!(types(&others), ["customer.updated", "subscription.suspended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_can_be_narrowed_to_types() {
    let world = World::new().await;
    let (some, _) = follow(&world.admin, "", "&types=invoice.created,invoice.voided").await;
    assert_eq!(types(&some), ["invoice.created", "invoice.voided", "invoice.created"]);
    let (same, _) = follow(&world.admin, "", "&types=invoice.created&types=invoice.voided").await;
    assert_eq!(some, same);
    let wrong = world.admin.get("/v1/events?types=invoice.lost").await.violations();
    assert_eq!(wrong, [("types".to_owned(), "not_allowed".to_owned())]);
    let many = ["types=invoice.created"; 101].join("&");
    let found = world.admin.get(&format!("/v1/events?{many}&wait=x")).await.violations();
    let expected = [("types", "too_long"), ("wait", "invalid_type")];
    assert_eq!(found, expected.map(|(place, code)| (place.to_owned(), code.to_owned())), "nothing is ignored silently");
    for wait in ["31", "-1", "x"] {
        world.admin.get(&format!("/v1/events?wait={wait}")).await.problem(422, "validation_failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_goes_on_behind_any_event_by_its_sequence() {
    let world = World::new().await;
    let (all, _) = follow(&world.admin, "", "").await;
    let places: Vec<_> = all.iter().map(|event| event["sequence"].as_i64().unwrap()).collect();
    assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
    for (number, place) in places.iter().enumerate() {
        let next = world.admin.get(&format!("/v1/events?limit=1&after={place}")).await.ok();
        assert_eq!(next["data"].as_array().unwrap().first(), all.get(number + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_to_which_the_feed_never_came_is_refused() {
    let world = World::new().await;
    let (_, end) = follow(&world.admin, "", "").await;
    let beyond = (end.parse::<i64>().unwrap() + 1).to_string();
    for place in [&beyond, "9223372036854775807", "9223372036854775808", "-1", "nonsense", "AAAAAAAAACo"] {
        world.admin.get(&format!("/v1/events?after={place}")).await.problem(400, "cursor_invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_leaves_when_what_is_under_way_is_told() {
    let world = World::new().await;
    let start = latest(&world.own).await;
    // A write has inserted its event, and is not committed yet.
    let lock = Lock::hold(&world.server.database, "audit_entries").await;
    let suspend = tokio::spawn({
        let (own, path) = (world.own.clone(), world.active("/suspend"));
        async move { own.act(&path).await.ok() }
    });
    lock.wait_for(1).await;
    let leave = tokio::spawn({
        let (admin, path, to) = (world.admin.clone(), world.customer(""), world.other_reseller_id.clone());
        async move { admin.patch(&path, json!({ "partner_id": to })).await.ok() }
    });
    lock.wait_for(2).await;
    lock.release().await;
    suspend.await.unwrap();
    let customer = leave.await.unwrap();
    let (told, _) = follow(&world.own, &start, "").await;
    assert_eq!(types(&told), ["subscription.suspended", "customer.released"]);
    assert_eq!(told[1]["resource"]["version"], customer["version"], "newer than all versions in earlier events");
}

/// A server whose statements are recorded, and `many` requests with one key that wait for events.
async fn waiting(client: impl Fn(&World) -> Client, many: usize, query: &str) -> (World, Proxy, JoinSet<Value>) {
    let database = Database::create().await;
    let proxy = Proxy::start(&database).await;
    let world = World::on(Server::on(database, &proxy.url, settings()).await).await;
    let after = latest(&world.admin).await;
    let mut waiting = JoinSet::new();
    proxy.wire.take();
    for _ in 0..many {
        let (client, path) = (client(&world), format!("/v1/events?after={after}&wait=30{query}"));
        waiting.spawn(async move { client.get(&path).await.ok() });
    }
    // Each request checks the feed when it arrives. Later, one check serves all.
    let mut looks = 0;
    while looks < many {
        looks += proxy.wire.take().count(LOOK);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.wire.take();
    (world, proxy, waiting)
}

/// Checks whether the feed has new events.
const LOOK: &str = "FROM \"event_feed\"";

/// Reads the events.
const READ: &str = "SELECT \"event_places\".\"position\", \"events\".\"id\"";

#[tokio::test(flavor = "multi_thread")]
async fn however_many_wait_for_the_same_it_is_read_once() {
    for many in [1, 8] {
        let (world, proxy, waiting) = waiting(|world| world.admin.clone(), many, "").await;
        world.admin.act(&world.active("/suspend")).await.ok();
        for feed in waiting.join_all().await {
            assert_eq!(types(feed["data"].as_array().unwrap()), ["subscription.suspended"]);
        }
        let traffic = proxy.wire.take();
        assert_eq!(traffic.count(READ), 1, "{many} requests wait: {traffic:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_other_events_than_those_that_happen_reads_nothing() {
    for (many, query) in [(1, ""), (8, ""), (8, "&types=invoice.created")] {
        let whose = |world: &World| if query.is_empty() { world.other.clone() } else { world.admin.clone() };
        let (world, proxy, mut waiting) = waiting(whose, many, query).await;
        for action in ["/suspend", "/enable", "/suspend"] {
            world.own.act(&world.active(action)).await.ok();
            let mut told = 0;
            while told == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let traffic = proxy.wire.take();
                told += traffic.count("INSERT INTO event_places");
                assert_eq!(traffic.count(READ), 0, "{many} requests wait: {traffic:?}");
            }
        }
        assert!(waiting.try_join_next().is_none(), "there are no events for them");
        waiting.abort_all();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_answered_as_soon_as_something_happens_or_the_time_is_up() {
    let world = World::new().await;
    let after = latest(&world.admin).await;
    let client = world.admin.clone();
    let waiting = tokio::spawn(async move { client.get(&format!("/v1/events?after={after}&wait=30")).await.ok() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "there are no events yet");
    world.admin.act(&world.active("/suspend")).await.ok();
    let feed = tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .expect("the request does not wait longer")
        .unwrap();
    assert_eq!(types(feed["data"].as_array().unwrap()), ["subscription.suspended"]);

    let started = Instant::now();
    let after = feed["next_after"].as_str().unwrap();
    let empty = world.admin.get(&format!("/v1/events?after={after}&wait=1")).await.ok();
    assert_eq!(empty["data"], json!([]));
    assert!(started.elapsed() >= Duration::from_secs(1), "the request waits for the whole time");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_does_not_hold_up_a_service_that_is_stopped() {
    let world = World::new().await;
    let after = latest(&world.admin).await;
    let client = world.admin.clone();
    let waiting = tokio::spawn(async move { client.get(&format!("/v1/events?after={after}&wait=30")).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    world.server.stop().await;
    let answer = waiting.await.unwrap();
    assert_eq!(answer.header("connection"), "close", "the next request goes to another instance");
    assert_eq!(answer.ok()["data"], json!([]));
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// Inserts an event manually, in a transaction that stays open.
fn by_hand(number: u32) -> String {
    format!(
        "WITH written AS (INSERT INTO events (id, kind, occurred_at, resource_type, resource_id, data, actor, for_everyone) \
         VALUES (gen_random_uuid(), 'order.confirmed', now(), 'order', gen_random_uuid(), '{{\"number\": {number}}}', \
             'system', false) RETURNING id, kind, reseller_id, for_everyone) \
         INSERT INTO event_queue (event_id, kind, reseller_id, for_everyone) SELECT * FROM written"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_written_first_and_committed_last_is_shown_last_and_not_missed() {
    let world = World::new().await;
    let mut first = database::connect(&world.server.database).await;
    let mut second = database::connect(&world.server.database).await;
    let early = first.transaction().await.unwrap();
    early.batch_execute(&by_hand(1)).await.unwrap();
    let late = second.transaction().await.unwrap();
    late.batch_execute(&by_hand(2)).await.unwrap();
    let after = latest(&world.admin).await;
    late.commit().await.unwrap();
    let (seen, after) = follow(&world.admin, &after, "").await;
    assert_eq!(seen.iter().map(|event| &event["data"]["number"]).collect::<Vec<_>>(), [2]);
    early.commit().await.unwrap();
    let (seen, _) = follow(&world.admin, &after, "").await;
    assert_eq!(seen.iter().map(|event| &event["data"]["number"]).collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_of_many_writers_each_see_every_event_once_and_in_the_same_order() {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let world = World::new().await;
    let beside = world.server.beside().await;
    let start = latest(&world.admin).await;
    let followers: Vec<_> = (0..4)
        .map(|number| {
            let client = world.admin.at(if number % 2 == 0 { &world.server.url } else { &beside.url });
            let mut after = start.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while seen.len() < WRITERS * EACH {
                    let limit = fastrand::u8(1..20);
                    let feed = client.get(&format!("/v1/events?after={after}&limit={limit}&wait=20")).await.ok();
                    feed["next_after"].as_str().unwrap().clone_into(&mut after);
                    let events = feed["data"].as_array().unwrap();
                    assert!(!events.is_empty(), "all events arrive within the waiting time");
                    seen.extend(events.iter().map(|event| event["id"].as_str().unwrap().to_owned()));
                }
                seen
            })
        })
        .collect();
    let writers = (0..WRITERS).map(|writer| {
        let client = world.admin.at(if writer % 2 == 0 { &world.server.url } else { &beside.url });
        tokio::spawn(async move {
            for number in 0..EACH {
                client.post("/v1/resellers", company(&format!("Reseller {writer} {number}"))).await.created();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let mut all = Vec::new();
    for follower in followers {
        all.push(follower.await.unwrap());
    }
    assert_eq!(all[0].iter().collect::<HashSet<_>>().len(), WRITERS * EACH, "each once");
    assert!(all.iter().all(|seen| *seen == all[0]), "all readers see the same order");
    let (again, _) = follow(&world.admin, &start, "").await;
    let again: Vec<_> = again.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(again, all[0], "a later reader sees the same order, too");
}
