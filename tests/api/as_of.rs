//! The inventory as of an instant, replayed from the ledger.

use serde_json::{Value, json};

use crate::steps::{allocate, on_day, subscribe};
use crate::support::world::{World, id};

async fn now(world: &World, path: &str) -> Value {
    world.admin.get(&format!("{path}/inventory")).await.ok()["data"].clone()
}

async fn as_of(world: &World, path: &str, instant: &str) -> Value {
    let inventory = world.admin.get(&format!("{path}/inventory?as_of={instant}")).await.ok();
    assert_eq!(inventory["as_of"].as_str().unwrap().trim_end_matches('Z'), instant.trim_end_matches('Z'));
    inventory["data"].clone()
}

/// The current quantity, the renewal quantity and the use of the first line.
fn numbers(lines: &Value) -> Value {
    let line = &lines[0];
    json!([line["current"]["quantity"], line["renewal"]["quantity"], line["current"]["used"]])
}

/// The lines with any number. The ledger does not know the others.
fn held(lines: &Value) -> Value {
    let something = |line: &&Value| numbers(&json!([line])) != json!([0, null, 0]);
    lines.as_array().unwrap().iter().filter(something).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_at_an_instant_is_answered_for_it_later() {
    let world = World::new().await;
    let lines = json!([{ "certificate_type": "dv", "quantity": 5 }, { "certificate_type": "ov", "quantity": 0 }]);
    let path = subscribe(&world, json!({ "term_months": 1, "inventory": lines })).await;
    let raise = json!({ "lines": [{ "certificate_type": "ov", "add": 2 }, { "certificate_type": "dv", "add": 1 }] });
    let set = |quantity: Value| json!({ "lines": [{ "certificate_type": "dv", "quantity": quantity }] });
    let mut recorded = vec![(world.server.clock.now(), now(&world, &path).await)];
    let mut allocation = Value::Null;
    for day in 2..=95 {
        let at = recorded[0].0 + chrono::TimeDelta::days(day) + chrono::TimeDelta::microseconds(day);
        world.server.clock.set(at);
        match day {
            5 => drop(world.admin.post(&format!("{path}/inventory/current"), raise.clone()).await.created()),
            9 => allocation = allocate(&world.admin, &path, 4, "four").await["id"].clone(),
            20 => drop(world.admin.put(&format!("{path}/inventory/renewal"), set(json!(3))).await.ok()),
            40 => drop(world.admin.act(&format!("/v1/allocations/{}/release", id(&allocation))).await.ok()),
            50 => drop(world.admin.put(&format!("{path}/inventory/renewal"), set(Value::Null)).await.ok()),
            70 => drop(world.admin.patch(&path, json!({ "auto_renew": false })).await.ok()),
            _ => {}
        }
        recorded.push((at, now(&world, &path).await));
    }
    assert_eq!(world.admin.get(&path).await.ok()["status"], "expired", "the subscription has gone through all states");
    let states: std::collections::BTreeSet<_> = recorded.iter().map(|(_, lines)| lines.to_string()).collect();
    assert_eq!(states.len(), 7, "opened, raised, allocated, set, renewed with fewer, released, following");
    for (at, lines) in recorded {
        let instant = at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
        assert_eq!(as_of(&world, &path, &instant).await, held(&lines), "{instant}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_counts_from_its_very_instant_on() {
    let world = World::new().await;
    let path = subscribe(&world, json!({})).await;
    world.server.clock.set("2027-01-10T08:00:00.000002Z".parse().unwrap());
    allocate(&world.admin, &path, 2, "two").await;
    on_day(&world.server, "2027-02-01");
    for (instant, expected) in [
        ("2020-01-01T00:00:00Z", json!([])),
        ("2027-01-01T11:59:59.999999Z", json!([])),
        ("2027-01-01T12:00:00Z", json!([5, null, 0])),
        ("2027-01-10T08:00:00.000001Z", json!([5, null, 0])),
        ("2027-01-10T08:00:00.000002Z", json!([5, null, 2])),
        ("2027-02-01T12:00:00Z", json!([5, null, 2])),
    ] {
        let lines = as_of(&world, &path, instant).await;
        if expected == json!([]) {
            assert_eq!(lines, expected, "before {instant} there was nothing");
        } else {
            assert_eq!(numbers(&lines), expected, "{instant}");
        }
    }
    assert_eq!(as_of(&world, &path, "2027-02-01T12:00:00Z").await, now(&world, &path).await);
    for future in ["2027-02-01T12:00:00.000001Z", "2030-01-01T00:00:00Z"] {
        let answer = world.admin.get(&format!("{path}/inventory?as_of={future}")).await;
        assert_eq!(answer.violations(), [("as_of".to_owned(), "out_of_range".to_owned())]);
    }
    let answer = world.admin.get(&format!("{path}/inventory?as_of=yesterday")).await;
    assert_eq!(answer.violations(), [("as_of".to_owned(), "invalid_format".to_owned())]);
    let other_zone = world.admin.get(&format!("{path}/inventory?as_of=2027-01-10T10:00:00%2B02:00")).await.ok();
    assert_eq!(numbers(&other_zone["data"]), json!([5, null, 0]), "08:00 UTC");
    assert_eq!(other_zone["as_of"], "2027-01-10T08:00:00Z");
    let leap = world.admin.get(&format!("{path}/inventory?as_of=2026-12-31T23:59:60.0000001Z")).await;
    assert!(!leap.headers.contains_key("etag"), "a past state has no version that could be changed");
    assert_eq!(leap.ok()["as_of"], "2027-01-01T00:00:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_counts_from_midnight_however_late_it_was_dealt_with() {
    let world = World::new().await;
    let lines = json!([{ "certificate_type": "dv", "quantity": 5, "renewal_quantity": 8 }]);
    let path = subscribe(&world, json!({ "term_months": 1, "inventory": lines })).await;
    on_day(&world.server, "2027-03-10");
    assert_eq!(numbers(&as_of(&world, &path, "2027-01-31T23:59:59.999999Z").await), json!([5, 8, 0]));
    assert_eq!(numbers(&as_of(&world, &path, "2027-02-01T00:00:00Z").await), json!([8, 8, 0]));
    world.other.get(&format!("{path}/inventory?as_of=2027-02-01T00:00:00Z")).await.problem(404, "not_found");
}
