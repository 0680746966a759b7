//! Assigning price lists: who may do it, to whom, and who can see the list afterwards.

use partner_platform::domain::authorization::Role;
use serde_json::{Value, json};

use crate::price_lists::create;
use crate::support::world::{World, basket, company, id, price_list_in};
use crate::support::{Answer, Client};

const UNKNOWN: &str = "01990000-0000-7000-8000-000000000000";

fn assign(list: &Value) -> Value {
    json!({ "price_list_id": list })
}

fn at(pointer: &str, code: &str) -> (String, String) {
    (pointer.to_owned(), code.to_owned())
}

/// A list in the currency of the world's customers.
async fn dollars(world: &World) -> Value {
    create(&world.admin, price_list_in("USD", "Silver", &world.product_id, &[("dv", 12, 7_000)])).await.1["id"].clone()
}

fn idle_customer(world: &World) -> String {
    format!("/v1/customers/{}", id(&world.idle_customer_id))
}

fn reseller(world: &World) -> String {
    format!("/v1/resellers/{}", id(&world.reseller_id))
}

/// The names of the lists that a client can see.
async fn seen(client: &Client) -> Vec<String> {
    let page = client.get("/v1/price-lists").await.ok();
    page["data"].as_array().unwrap().iter().map(|list| list["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partner_s_admin_and_sales_assign_lists_and_take_them_away() {
    let world = World::new().await;
    let list = dollars(&world).await;
    for (role, path) in [
        (Role::Admin, idle_customer(&world)),
        (Role::Sales, idle_customer(&world)),
        (Role::Admin, reseller(&world)),
        (Role::Sales, reseller(&world)),
    ] {
        let client = world.server.client(role, None).await;
        let before = client.get(&path).await.ok();
        let assigned = client.patch(&path, assign(&list)).await.ok();
        assert_eq!(assigned["price_list_id"], list);
        assert_eq!(assigned["version"].as_i64().unwrap(), before["version"].as_i64().unwrap() + 1);
        assert_eq!(client.get(&path).await.ok(), assigned);
        assert_eq!(client.patch(&path, assign(&list)).await.ok(), assigned, "repeating it changes nothing");
        assert_eq!(client.patch(&path, assign(&Value::Null)).await.ok()["price_list_id"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_neither_assign_a_customer_s_list_nor_take_it_away() {
    let world = World::new().await;
    let (mine, other) = (dollars(&world).await, dollars(&world).await);
    let path = idle_customer(&world);
    world.admin.patch(&path, assign(&mine)).await.ok();
    let mut clients = vec![world.server.client(Role::Technician, None).await];
    for role in [Role::Admin, Role::Sales, Role::Technician] {
        clients.push(world.server.client(role, Some(&world.reseller_id)).await);
    }
    let before = world.server.database.fingerprint().await;
    for client in &clients {
        for list in [&other, &Value::Null, &json!(UNKNOWN)] {
            let problem = client.patch(&path, assign(list)).await.problem(403, "forbidden");
            assert!(problem["detail"].as_str().unwrap().contains("`write_products`"), "{problem}");
        }
        // The value that they read may be sent back.
        let same = json!({ "company_name": "Idle", "price_list_id": mine });
        assert_eq!(client.patch(&path, same).await.ok()["price_list_id"], mine);
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reseller_s_list_is_the_partner_s_to_assign() {
    let world = World::new().await;
    let list = dollars(&world).await;
    let technician = world.server.client(Role::Technician, None).await;
    for client in [&world.own, &technician] {
        for list in [&list, &Value::Null] {
            client.patch(&reseller(&world), assign(list)).await.problem(403, "forbidden");
        }
    }
    assert_eq!(world.admin.get(&reseller(&world)).await.ok()["price_list_id"], world.price_list_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_there_or_in_another_currency_is_not_assigned() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for path in [idle_customer(&world), reseller(&world)] {
        let found = world.admin.patch(&path, assign(&json!(UNKNOWN))).await.violations();
        assert_eq!(found, [at("/price_list_id", "unknown_reference")], "{path}");
    }
    let in_euros = &world.idle_price_list_id;
    let found = world.admin.patch(&idle_customer(&world), assign(in_euros)).await.violations();
    assert_eq!(found, [at("/price_list_id", "not_allowed")]);
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
    world.admin.patch(&reseller(&world), assign(in_euros)).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_does_not_leave_the_currency_of_its_list() {
    let world = World::new().await;
    let (list, path) = (dollars(&world).await, idle_customer(&world));
    world.admin.patch(&path, assign(&list)).await.ok();
    let before = world.server.database.fingerprint().await;
    for client in [&world.admin, &world.own] {
        let found = client.patch(&path, json!({ "currency": "EUR" })).await.violations();
        assert_eq!(found, [at("/price_list_id", "not_allowed")]);
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
    let in_euros = &world.idle_price_list_id;
    let both = json!({ "currency": "EUR", "price_list_id": in_euros });
    assert_eq!(world.admin.patch(&path, both).await.ok()["price_list_id"], *in_euros);
    let neither = json!({ "currency": "USD", "price_list_id": null });
    assert_eq!(world.admin.patch(&path, neither).await.ok()["currency"], "USD");
    world.own.patch(&path, json!({ "currency": "EUR" })).await.ok();

    // After an order, the currency cannot change, so no list in another currency is possible.
    world.admin.patch(&world.customer(""), assign(&list)).await.ok();
    world.admin.patch(&world.customer(""), json!({ "currency": "EUR" })).await.problem(409, "currency_fixed");
}

/// The response without the values that differ for each request.
fn essence(answer: Answer) -> (u16, Value) {
    let mut body = answer.body;
    for field in ["request_id", "instance"] {
        body[field] = Value::Null;
    }
    (answer.status, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reseller_sees_the_lists_that_it_or_its_customers_pay_by() {
    let world = World::new().await;
    let list = dollars(&world).await;
    let path = format!("/v1/price-lists/{}", id(&list));
    assert_eq!(seen(&world.admin).await, ["Gold", "Idle", "Silver"]);
    let hidden = async |client: &Client| {
        let not_there = client.get(&format!("/v1/price-lists/{UNKNOWN}")).await;
        assert_eq!(essence(client.get(&path).await), essence(not_there.clone()));
        not_there.problem(404, "not_found");
    };
    assert_eq!((seen(&world.own).await, seen(&world.other).await), (vec!["Gold".to_owned()], vec![]));
    hidden(&world.own).await;

    world.admin.patch(&idle_customer(&world), assign(&list)).await.ok();
    assert_eq!(seen(&world.own).await, ["Gold", "Silver"]);
    assert_eq!(world.own.get(&path).await.ok(), world.admin.get(&path).await.ok());
    hidden(&world.other).await;

    // When the customer moves to another reseller, its list is no longer visible.
    let moved = json!({ "partner_id": world.other_reseller_id });
    world.admin.patch(&idle_customer(&world), moved).await.ok();
    assert_eq!(
        (seen(&world.own).await, seen(&world.other).await),
        (vec!["Gold".to_owned()], vec!["Silver".to_owned()])
    );
    hidden(&world.own).await;
    world.admin.patch(&idle_customer(&world), assign(&Value::Null)).await.ok();
    assert_eq!(seen(&world.other).await, [""; 0]);
    hidden(&world.other).await;
    world.admin.patch(&format!("/v1/resellers/{}", id(&world.other_reseller_id)), assign(&list)).await.ok();
    assert_eq!(seen(&world.other).await, ["Silver"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reseller_s_keys_write_no_lists() {
    let world = World::new().await;
    let gold = format!("/v1/price-lists/{}", id(&world.price_list_id));
    let before = world.server.database.fingerprint().await;
    let body = price_list_in("USD", "Mine", &world.product_id, &[]);
    for answer in [
        world.own.post("/v1/price-lists", body).await,
        world.own.patch(&gold, json!({ "prices": [] })).await,
        world.own.delete(&gold).await,
    ] {
        let problem = answer.problem(403, "forbidden");
        assert!(problem["detail"].as_str().unwrap().contains("`write_products`"), "{problem}");
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_customer_pays_by_no_list_of_its_own() {
    let world = World::new().await;
    let mut body = company("New");
    body["price_list_id"] = dollars(&world).await;
    let found = world.admin.post("/v1/customers", body.clone()).await.violations();
    assert_eq!(found, [at("/price_list_id", "unknown_field")]);
    body.as_object_mut().unwrap().remove("price_list_id");
    let customer = world.own.post("/v1/customers", body).await.created();
    assert_eq!(customer["price_list_id"], Value::Null);
    let subscriptions = format!("/v1/customers/{}/subscriptions", id(&customer["id"]));
    // Its reseller's list is in euros, and the customer pays in dollars.
    let added = world.own.post(&subscriptions, basket(&world.product_id, 1)).await.created();
    assert_eq!(added["order"]["lines"][0]["price_list_id"], Value::Null);
}
