//! Resellers: disabling a reseller cuts off only this reseller. What resellers have in common with customers is tested
//! in `companies.rs`.

use partner_platform::domain::authorization::Role;
use serde_json::{Value, json};

use crate::support::world::{World, basket, company, id};
use crate::support::{Database, Server};

/// All customers and everything that belongs to them.
async fn customers_of(database: &Database) -> String {
    let rows = ["customers", "subscriptions", "inventory_lines", "charges", "allocations"]
        .map(|table| format!("(SELECT string_agg(t::text, '|' ORDER BY t::text) FROM {table} t)"));
    database.text(&format!("SELECT md5(concat({}))", rows.join(", "))).await
}

fn own(world: &World, rest: &str) -> String {
    format!("/v1/resellers/{}{rest}", id(&world.reseller_id))
}

/// The actions of a resource, with the error codes of those that are denied.
fn actions(resource: &Value) -> Vec<(&str, Option<&str>)> {
    let actions = resource["actions"].as_array().unwrap().iter();
    actions
        .map(|action| {
            assert_eq!(action["allowed"] == json!(false), action["code"].is_string(), "{action}");
            assert_eq!(action["allowed"] == json!(false), action["detail"].is_string(), "{action}");
            (action["action"].as_str().unwrap(), action["code"].as_str())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_keeps_when_and_why_and_touches_no_customer() {
    let world = World::new().await;
    let before = customers_of(&world.server.database).await;
    assert_eq!(world.admin.get(&own(&world, "")).await.header("etag"), "\"2\"");
    world.server.clock.set("2027-01-03T10:00:00Z".parse().unwrap());
    let answer = world.admin.post(&own(&world, "/disable"), json!({ "reason": "  Unpaid since March " })).await;
    assert_eq!(answer.header("etag"), "\"3\"");
    let disabled = answer.ok();
    assert_eq!((&disabled["status"], &disabled["version"]), (&json!("disabled"), &json!(3)));
    assert_eq!(disabled["disabled"], json!({ "at": "2027-01-03T10:00:00Z", "reason": "Unpaid since March" }));
    assert_eq!(disabled["updated_at"], "2027-01-03T10:00:00Z");
    assert_eq!(world.admin.get(&own(&world, "")).await.ok(), disabled);

    let enabled = world.admin.act(&own(&world, "/enable")).await.ok();
    assert_eq!(
        (&enabled["status"], &enabled["disabled"], &enabled["version"]),
        (&json!("enabled"), &Value::Null, &json!(4))
    );
    assert_eq!(before, customers_of(&world.server.database).await, "no customer was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_may_be_left_out() {
    let world = World::new().await;
    for body in [None, Some("{}")] {
        let body = body.map(|body| body.as_bytes().to_vec());
        let disabled = world.admin.send(reqwest::Method::POST, &own(&world, "/disable"), body).await.ok();
        assert_eq!(disabled["disabled"], json!({ "at": "2027-01-01T12:00:00Z", "reason": null }));
        world.admin.act(&own(&world, "/enable")).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doing_it_twice_changes_nothing() {
    let world = World::new().await;
    let enabled = world.admin.get(&own(&world, "")).await.ok();
    assert_eq!(world.admin.act(&own(&world, "/enable")).await.ok(), enabled);
    let disabled = world.admin.post(&own(&world, "/disable"), json!({ "reason": "First" })).await.ok();
    let before = world.server.database.fingerprint().await;
    world.server.clock.set("2027-01-03T10:00:00Z".parse().unwrap());
    let again = world.admin.post(&own(&world, "/disable"), json!({ "reason": "Second" })).await.ok();
    assert_eq!(again, disabled, "the first reason stays");
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partner_goes_on_with_a_disabled_resellers_customers() {
    let world = World::new().await;
    world.admin.act(&own(&world, "/disable")).await.ok();
    let renamed = world.admin.patch(&world.customer(""), json!({ "company_name": "Renamed" })).await.ok();
    assert_eq!(renamed["partner_id"], world.reseller_id);
    world.admin.post(&world.customer("/subscriptions"), basket(&world.product_id, 1)).await.created();
    world.admin.act(&world.active("/suspend")).await.ok();
    world.admin.act(&world.active("/enable")).await.ok();
    let idle = format!("/v1/customers/{}/archive", id(&world.idle_customer_id));
    assert_eq!(world.admin.act(&idle).await.ok()["status"], "archived");
    let found = world.admin.get(&format!("/v1/customers?partner_id={}", id(&world.reseller_id))).await.ok();
    assert_eq!(found["data"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_reseller_can_be_edited_and_stays_disabled() {
    let world = World::new().await;
    let disabled = world.admin.post(&own(&world, "/disable"), json!({ "reason": "Why" })).await.ok();
    let renamed = world.admin.patch(&own(&world, ""), json!({ "company_name": "Renamed" })).await.ok();
    assert_eq!((&renamed["status"], &renamed["disabled"]), (&json!("disabled"), &disabled["disabled"]));
    assert_eq!((&renamed["company_name"], &renamed["version"]), (&json!("Renamed"), &json!(4)));
    let found = world.admin.patch(&own(&world, ""), json!({ "disabled": null })).await.violations();
    assert_eq!(found, [("/disabled".to_owned(), "immutable_field".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_tell_what_will_happen() {
    let world = World::new().await;
    for (go, back) in [("disable", "enable"), ("enable", "disable")] {
        let before = world.admin.get(&own(&world, "")).await.ok();
        let mut expected = [(go, None), (back, Some("invalid_transition"))];
        expected.sort();
        assert_eq!(actions(&before), expected, "before {go}");
        let unchanged = world.admin.act(&own(&world, &format!("/{back}"))).await.ok();
        assert_eq!(unchanged["version"], before["version"], "{back} has no effect");
        let changed = world.admin.act(&own(&world, &format!("/{go}"))).await.ok();
        assert_ne!(changed["version"], before["version"], "{go} has an effect");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_for_the_callers_own_role() {
    let world = World::new().await;
    let reseller = Some(&world.reseller_id);
    for (role, of, may) in [
        (Role::Admin, None, true),
        (Role::Sales, None, true),
        (Role::Technician, None, false),
        (Role::Billing, None, false),
        (Role::Admin, reseller, false),
        (Role::Sales, reseller, false),
    ] {
        let client = world.server.client(role, of).await;
        let seen = client.get(&own(&world, "")).await.ok();
        let (disable, enable) =
            if may { (None, Some("invalid_transition")) } else { (Some("forbidden"), Some("forbidden")) };
        assert_eq!(
            actions(&seen),
            [("disable", disable), ("enable", enable)],
            "{role}, of a reseller: {}",
            of.is_some()
        );
        let status = client.act(&own(&world, "/disable")).await.status;
        assert_eq!(status, if may { 200 } else { 403 }, "{role}, of a reseller: {}", of.is_some());
        world.admin.act(&own(&world, "/enable")).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resellers_see_themselves_and_not_each_other() {
    let world = World::new().await;
    for (client, own, other) in [
        (&world.own, &world.reseller_id, &world.other_reseller_id),
        (&world.other, &world.other_reseller_id, &world.reseller_id),
    ] {
        let list = client.get("/v1/resellers").await.ok();
        assert_eq!(list["data"].as_array().unwrap().iter().map(|row| &row["id"]).collect::<Vec<_>>(), [own]);
        assert_eq!(client.get(&format!("/v1/resellers/{}", id(own))).await.ok()["id"], *own);
        client.get(&format!("/v1/resellers/{}", id(other))).await.problem(404, "not_found");
        let found = client.get("/v1/resellers?q=resale&status=enabled&sort=-created_at").await.ok();
        assert_eq!(found["data"].as_array().unwrap().len(), 1, "no filter shows more");
    }
    let all = world.admin.get("/v1/resellers").await.ok();
    assert_eq!(all["data"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_resellers_may_not_share_an_external_id_whatever_their_state() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let mut first = company("First");
    first["external_id"] = json!("7");
    let path =
        format!("/v1/resellers/{}/disable", id(&admin.post("/v1/resellers", first.clone()).await.created()["id"]));
    admin.act(&path).await.ok();
    admin.post("/v1/resellers", first.clone()).await.problem(409, "duplicate_external_id");
    // A customer's reference is in another namespace.
    admin.post("/v1/customers", first).await.created();
}
