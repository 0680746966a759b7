//! The life of a subscription: suspended, enabled, edited, cancelled and renewed, and its `actions`.

use partner_platform::domain::authorization::{Right, Role};
use reqwest::Method;
use serde_json::{Value, json};

use crate::steps::{all, allocate, on_day, subscribe, whole_orders};
use crate::support::world::{World, id};
use crate::support::{Answer, Client};

/// A subscription without the fields that every change updates.
fn lasting(mut subscription: Value) -> Value {
    for field in ["version", "updated_at"] {
        subscription[field] = Value::Null;
    }
    subscription
}

#[tokio::test(flavor = "multi_thread")]
async fn suspending_and_enabling_loses_nothing() {
    let world = World::new().await;
    let set = json!({ "lines": [{ "certificate_type": "dv", "quantity": 25 }] });
    world.admin.put(&world.active("/inventory/renewal"), set).await.ok();
    let before = world.admin.get(&world.active("")).await.ok();
    let lists = ["/inventory", "/inventory/ledger", "/allocations", "/terms"];
    let mut details = Vec::new();
    for list in lists {
        details.push(world.admin.get(&world.active(list)).await.ok());
    }

    on_day(&world.server, "2027-02-01");
    let reason = json!({ "reason": "Unpaid since December" });
    let suspended = world.admin.post(&world.active("/suspend"), reason).await.ok();
    assert_eq!(suspended["status"], "suspended");
    assert_eq!(suspended["suspended"], json!({ "at": "2027-02-01T12:00:00Z", "reason": "Unpaid since December" }));
    assert_eq!(world.admin.get(&world.active("")).await.ok(), suspended);
    for field in ["term", "inventory", "auto_renew", "external_id"] {
        assert_eq!(suspended[field], before[field], "{field}");
    }

    on_day(&world.server, "2027-03-01");
    let enabled = world.admin.act(&world.active("/enable")).await.ok();
    assert_eq!(enabled["version"].as_i64(), before["version"].as_i64().map(|version| version + 2));
    assert_eq!(lasting(enabled), lasting(before));
    for (list, before) in lists.iter().zip(details) {
        assert_eq!(world.admin.get(&world.active(list)).await.ok(), before, "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_so_already_stays_as_it_is() {
    let world = World::new().await;
    let before = world.admin.get(&world.active("")).await.ok();
    assert_eq!(world.admin.act(&world.active("/enable")).await.ok(), before);
    let suspended = world.admin.post(&world.active("/suspend"), json!({ "reason": "First" })).await.ok();
    on_day(&world.server, "2027-01-02");
    assert_eq!(world.admin.post(&world.active("/suspend"), json!({ "reason": "Second" })).await.ok(), suspended);
    let same = json!({ "auto_renew": suspended["auto_renew"], "external_id": null });
    assert_eq!(world.admin.patch(&world.active(""), same).await.ok(), suspended);
    assert_eq!(world.admin.patch(&world.active(""), json!({})).await.ok(), suspended);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_suspended_only_the_next_term_can_change() {
    let world = World::new().await;
    let path = format!("/v1/subscriptions/{}", id(&world.suspended_id));
    let one = json!({ "certificate_type": "dv", "reference": "one" });
    let more = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    for (rest, body) in [("allocations", one), ("inventory/current", more.clone()), ("inventory/current/preview", more)]
    {
        let problem = world.admin.post(&format!("{path}/{rest}"), body).await.problem(409, "subscription_suspended");
        let allowed: Vec<_> =
            problem["actions"].as_array().unwrap().iter().filter(|it| it["allowed"] == true).collect();
        assert!(allowed.iter().any(|it| it["action"] == "enable"), "{rest}: {problem}");
    }
    let set = json!({ "lines": [{ "certificate_type": "dv", "quantity": 2 }] });
    world.admin.put(&format!("{path}/inventory/renewal"), set).await.ok();
    world.admin.patch(&path, json!({ "auto_renew": false })).await.ok();
    let now = world.admin.act(&format!("{path}/enable")).await.ok();
    assert_eq!(now["auto_renew"], false);
    assert_eq!(now["inventory"][0]["renewal"], json!({ "quantity": 2, "effective_quantity": 2 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_subscription_can_be_enabled_until_its_term_ends() {
    let world = World::new().await;
    let path = format!("/v1/subscriptions/{}", id(&world.suspended_id));
    on_day(&world.server, "2028-01-01");
    let problem = world.admin.act(&format!("{path}/enable")).await.problem(409, "term_ended");
    assert!(problem["detail"].as_str().unwrap().contains("2028-01-01"), "{problem}");
    on_day(&world.server, "2027-12-31");
    assert_eq!(world.admin.act(&format!("{path}/enable")).await.ok()["status"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_voids_the_charges_and_empties_the_inventory_for_good() {
    let world = World::new().await;
    let path = format!("/v1/subscriptions/{}", id(&world.pending_id));
    let reason = json!({ "reason": "Ordered twice" });
    let cancelled = world.admin.post(&format!("{path}/cancel"), reason).await.ok();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["cancelled"], json!({ "at": "2027-01-01T12:00:00Z", "reason": "Ordered twice" }));
    assert_eq!(cancelled["inventory"][0]["current"]["quantity"], 0);

    let of_it = |rows: Vec<Value>| rows.into_iter().filter(|row| row["subscription_id"] == world.pending_id);
    let charges: Vec<_> = of_it(all(&world.admin, "/v1/charges").await).collect();
    assert_eq!((charges.len(), &charges[0]["status"]), (1, &json!("voided")));
    let voided = all(&world.admin, "/v1/charges").await.into_iter().filter(|charge| charge["status"] == "voided");
    assert_eq!(voided.count(), 1, "no other is voided");

    let order = &whole_orders(&world.admin, "/v1/orders").await[0];
    assert_eq!((&order["kind"], &order["total"]["amount"]), (&json!("cancellation"), &json!(0)));
    let newest = &all(&world.admin, &format!("{path}/inventory/ledger")).await[0];
    assert_eq!((&newest["delta"], &newest["after"], &newest["order_id"]), (&json!(-5), &json!(0), &order["id"]));

    assert_eq!(world.admin.act(&format!("{path}/cancel")).await.ok(), cancelled, "repeating it changes nothing");
    for action in ["suspend", "enable", "renew"] {
        let problem = world.admin.act(&format!("{path}/{action}")).await.problem(409, "invalid_transition");
        assert!(problem["detail"].as_str().unwrap().contains("cancelled"), "{problem}");
    }
    assert_eq!(world.admin.get(&path).await.ok(), cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn automatic_renewal_and_the_reference_can_be_edited() {
    let world = World::new().await;
    let path = world.active("");
    let edited = world.admin.patch(&path, json!({ "auto_renew": false, "external_id": "po-17" })).await.ok();
    assert_eq!((&edited["auto_renew"], &edited["external_id"]), (&json!(false), &json!("po-17")));
    let cleared = world.admin.patch(&path, json!({ "external_id": null })).await.ok();
    assert_eq!((&cleared["auto_renew"], &cleared["external_id"]), (&json!(false), &Value::Null));
    assert_eq!(cleared["version"].as_i64(), edited["version"].as_i64().map(|version| version + 1));
    let found = world.admin.patch(&path, json!({ "auto_renew": null })).await.violations();
    assert_eq!(found, [("/auto_renew".to_owned(), "required".to_owned())]);
    for field in ["status", "term", "customer_id", "version"] {
        let found = world.admin.patch(&path, json!({ field: "other" })).await.violations();
        assert_eq!(found[0].0, format!("/{field}"));
    }

    let over = format!("/v1/subscriptions/{}", id(&world.pending_id));
    world.admin.act(&format!("{over}/cancel")).await.ok();
    world.admin.patch(&over, json!({ "auto_renew": true })).await.problem(409, "invalid_transition");
    world.admin.patch(&over, json!({ "auto_renew": false, "external_id": "kept" })).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_has_ended_does_not_renew_whatever_shows_it() {
    let world = World::new().await;
    let pending = format!("/v1/subscriptions/{}", id(&world.pending_id));
    let lapsed = format!("/v1/subscriptions/{}", id(&world.lapsed_id));
    world.admin.act(&format!("{pending}/cancel")).await.ok();
    // 90 days after its term.
    on_day(&world.server, "2027-03-20");
    let renewing: Vec<_> = all(&world.admin, "/v1/subscriptions?auto_renew=true").await;
    let renewing: Vec<_> = renewing.iter().map(|row| row["id"].clone()).collect();
    let ended = all(&world.admin, "/v1/subscriptions?auto_renew=false&status=expired,cancelled").await;
    assert_eq!(ended.len(), 2, "{ended:?}");
    for (path, status) in [(&pending, "cancelled"), (&lapsed, "expired")] {
        let shown = world.admin.get(path).await.ok();
        assert_eq!((&shown["status"], &shown["auto_renew"]), (&json!(status), &json!(false)));
        let actions = shown["actions"].as_array().unwrap();
        let set = actions.iter().find(|action| action["action"] == "set_auto_renew").unwrap();
        assert_eq!((&set["allowed"], &set["code"]), (&json!(false), &json!("invalid_transition")));
        assert!(!renewing.contains(&shown["id"]), "the filter matches this");
        world.admin.patch(path, json!({ "auto_renew": true })).await.problem(409, "invalid_transition");
    }
    let events = "SELECT string_agg(data->>'auto_renew', ' ') FROM events \
         WHERE kind IN ('subscription.cancelled', 'subscription.expired')";
    assert_eq!(world.server.database.text(events).await, "false false");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_subscription_is_renewed_from_today_with_its_renewal_inventory() {
    let world = World::new().await;
    let lines = json!([
        { "certificate_type": "dv", "quantity": 5, "renewal_quantity": 2 },
        { "certificate_type": "ov", "quantity": 3 },
    ]);
    let path = subscribe(&world, json!({ "term_months": 1, "start_date": "2027-01-01", "inventory": lines })).await;
    allocate(&world.admin, &path, 4, "in use").await;
    world.admin.act(&format!("{path}/suspend")).await.ok();
    on_day(&world.server, "2027-03-10");
    assert_eq!(world.admin.get(&path).await.ok()["lapsed"], true);

    let before = world.server.database.fingerprint().await;
    let quote = world.admin.act(&format!("{path}/renew/preview")).await.ok();
    assert_eq!(before, world.server.database.fingerprint().await, "a preview writes nothing");
    // 2 × 990 + 3 × 2500, for all 31 days.
    assert_eq!((&quote["kind"], &quote["total"]["amount"]), (&json!("renewal"), &json!(1980 + 7500)));
    assert_eq!(quote["lines"][0]["calculation"]["remaining_days"], 31);
    on_day(&world.server, "2027-03-11");
    let stale = world.admin.post(&format!("{path}/renew"), json!({ "digest": quote["digest"] })).await;
    let fresh = stale.problem(409, "quote_stale")["quote"].clone();
    let renewed = world.admin.post(&format!("{path}/renew"), json!({ "digest": fresh["digest"] })).await.ok();

    assert_eq!((&renewed["status"], &renewed["suspended"]), (&json!("active"), &Value::Null));
    let term = json!({ "number": 2, "months": 1, "start_date": "2027-03-11", "end_date": "2027-04-11" });
    assert_eq!(renewed["term"], term);
    let dv = json!({ "quantity": 2, "used": 4, "available": 0, "overage": 2 });
    assert_eq!(renewed["inventory"][0]["current"], dv, "allocated certificates stay allocated");
    assert_eq!(renewed["inventory"][0]["renewal"]["quantity"], 2, "an explicit quantity stays");
    assert_eq!(renewed["inventory"][1]["current"]["quantity"], 3);
    let order = &whole_orders(&world.admin, "/v1/orders").await[0];
    assert_eq!((&order["kind"], &order["lines"]), (&quote["kind"], &fresh["lines"]));
    let terms = all(&world.admin, &format!("{path}/terms")).await;
    let seen: Vec<_> = terms.iter().map(|term| json!([term["number"], term["start_date"], term["end_date"]])).collect();
    assert_eq!(seen, [json!([2, "2027-03-11", "2027-04-11"]), json!([1, "2027-01-01", "2027-02-01"])], "newest first");
    let again = world.admin.post(&format!("{path}/renew"), json!({ "digest": fresh["digest"] })).await;
    again.problem(409, "invalid_transition");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_renew_to_nothing_is_not_renewed() {
    let world = World::new().await;
    let path = format!("/v1/subscriptions/{}", id(&world.lapsed_id));
    let set = |quantity: i32| json!({ "lines": [{ "certificate_type": "dv", "quantity": quantity }] });
    world.admin.put(&format!("{path}/inventory/renewal"), set(0)).await.ok();
    for rest in ["renew/preview", "renew"] {
        world.admin.act(&format!("{path}/{rest}")).await.problem(409, "nothing_to_renew");
    }
    world.admin.put(&format!("{path}/inventory/renewal"), set(1)).await.ok();
    assert_eq!(world.admin.act(&format!("{path}/renew")).await.ok()["inventory"][0]["current"]["quantity"], 1);
}

const STATES: &[&str] = &["pending", "active", "suspended", "cancelled", "lapsed"];

/// A new subscription in a state.
async fn in_state(world: &World, state: &str) -> String {
    on_day(&world.server, if state == "lapsed" { "2026-12-01" } else { "2027-01-01" });
    let item = match state {
        "pending" | "cancelled" => json!({ "start_date": "2027-02-01" }),
        "lapsed" => json!({ "term_months": 1 }),
        _ => json!({}),
    };
    let path = subscribe(world, item).await;
    let action = match state {
        "suspended" | "lapsed" => "suspend",
        "cancelled" => "cancel",
        _ => "enable",
    };
    if state != "pending" {
        world.admin.act(&format!("{path}/{action}")).await.ok();
    }
    on_day(&world.server, "2027-01-01");
    path
}

/// Performs an action.
async fn act(client: &Client, path: &str, action: &str) -> Answer {
    let (method, rest, body) = match action {
        // The other value, because the same value changes nothing in any state.
        "set_auto_renew" => {
            let auto_renew = client.get(path).await.ok()["auto_renew"].as_bool().unwrap();
            (Method::PATCH, "", json!({ "auto_renew": !auto_renew }))
        }
        "add_current_inventory" => {
            (Method::POST, "/inventory/current", json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] }))
        }
        "set_renewal_inventory" => {
            (Method::PUT, "/inventory/renewal", json!({ "lines": [{ "certificate_type": "dv", "quantity": 1 }] }))
        }
        "set_thresholds" => (
            Method::PUT,
            "/inventory/thresholds",
            json!({ "lines": [{ "certificate_type": "dv", "low_threshold": 1 }] }),
        ),
        "allocate" => (Method::POST, "/allocations", json!({ "certificate_type": "dv", "reference": "one" })),
        transition => return client.act(&format!("{path}/{transition}")).await,
    };
    client.send(method, &format!("{path}{rest}"), Some(body.to_string().into())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_say_what_really_happens_in_each_state_to_each_role() {
    let world = World::new().await;
    let mut allowed = 0;
    for role in Role::ALL {
        let client = world.server.client(*role, None).await;
        for state in STATES {
            let path = in_state(&world, state).await;
            let subscription = client.get(&path).await.ok();
            for offer in subscription["actions"].as_array().unwrap() {
                let context = format!("{role}, {state}: {offer}");
                let action = offer["action"].as_str().unwrap();
                if offer["allowed"] == true {
                    let path = in_state(&world, state).await;
                    let done = act(&client, &path, action).await;
                    assert!((200..300).contains(&done.status), "{context}: {}", done.body);
                    allowed += 1;
                    continue;
                }
                let answer = act(&client, &path, action).await;
                if answer.status == 200 {
                    assert_eq!(offer["code"], "invalid_transition", "{context}: it is so already");
                } else {
                    assert_eq!(
                        json!([answer.body["code"], answer.body["detail"]]),
                        json!([offer["code"], offer["detail"]]),
                        "{context}"
                    );
                }
                assert_eq!(client.get(&path).await.ok(), subscription, "{context}: nothing changes");
            }
        }
    }
    let rights = [Right::WriteSubscriptions, Right::SuspendSubscriptions, Right::Allocate].map(|it| it.roles().len());
    // From the table of the state machine: pending, active, suspended and lapsed; suspend and enable; allocate.
    assert_eq!(allowed, rights[0] * (4 + 4 + 3 + 4) + rights[1] * 2 + rights[2]);
}
