//! Orders and charges: the record of what was confirmed, and the amounts to pay.

use partner_platform::domain::authorization::Role;
use serde_json::{Value, json};

use crate::steps::{all, on_day, whole_orders};
use crate::support::world::{World, basket, id};

/// The ids in a list.
async fn ids(world: &World, path: &str) -> Vec<Value> {
    let page = world.admin.get(path).await.ok();
    page["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect()
}

/// A world with a confirmed order of every kind, the newest last.
async fn with_every_kind(world: &World) -> Vec<Value> {
    let mut orders = Vec::new();
    let added = world.admin.post(&world.customer("/subscriptions"), basket(&world.product_id, 2)).await.created();
    orders.push(added["order"].clone());
    let more = json!({ "lines": [{ "certificate_type": "dv", "add": 2 }, { "certificate_type": "ov", "add": 1 }] });
    orders.push(world.admin.post(&world.active("/inventory/current"), more).await.created());
    let less = json!({ "lines": [{ "certificate_type": "dv", "quantity": 25 }] });
    orders.push(world.admin.put(&world.active("/inventory/renewal"), less).await.ok());
    world.admin.act(&format!("/v1/subscriptions/{}/renew", id(&world.lapsed_id))).await.ok();
    orders.push(whole_orders(&world.admin, "/v1/orders").await[0].clone());
    world.admin.act(&format!("/v1/subscriptions/{}/cancel", id(&world.pending_id))).await.ok();
    orders.push(whole_orders(&world.admin, "/v1/orders").await[0].clone());
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_is_listed_newest_first_as_it_was_confirmed() {
    let world = World::new().await;
    let mut orders = with_every_kind(&world).await;
    let kinds: Vec<_> = orders.iter().map(|order| order["kind"].clone()).collect();
    let expected = ["add_subscriptions", "current_inventory", "renewal_inventory", "renewal", "cancellation"];
    assert_eq!(kinds, expected);
    for order in &orders {
        assert_eq!(world.admin.get(&format!("/v1/orders/{}", id(&order["id"]))).await.ok(), *order);
        let lines = order["lines"].as_array().unwrap();
        let sum: i64 = lines.iter().map(|line| line["amount"]["amount"].as_i64().unwrap()).sum();
        assert_eq!(order["total"], json!({ "amount": sum, "currency": "USD" }));
        assert!(lines.iter().all(|line| line["subscription_id"].is_string()), "{order}");
        assert_eq!(order["customer_id"], world.customer_id);
    }
    orders.reverse();
    assert_eq!(whole_orders(&world.admin, "/v1/orders").await[..5], orders);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_names_the_key_that_confirmed_it_and_when() {
    let world = World::new().await;
    let sales = world.server.client(Role::Sales, None).await;
    on_day(&world.server, "2027-01-05");
    let mut names = Vec::new();
    for client in [&world.admin, &sales, &world.own] {
        let added = client.post(&world.customer("/subscriptions"), basket(&world.product_id, 1)).await.created();
        assert_eq!(added["order"]["confirmed_at"], "2027-01-05T12:00:00Z");
        names.push(added["order"]["confirmed_by"].as_str().unwrap().to_owned());
    }
    let keys = "SELECT string_agg('api_key:' || id, ' ' ORDER BY id) FROM api_keys WHERE role IN ('admin', 'sales')";
    let keys = world.server.database.text(keys).await;
    assert!(names.iter().all(|name| keys.contains(name.as_str())), "all of {names:?} are among {keys}");
    assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2], "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_charges_are_the_lines_that_cost_something() {
    let world = World::new().await;
    for order in with_every_kind(&world).await {
        let charges = all(&world.admin, "/v1/charges").await.into_iter().filter(|it| it["order_id"] == order["id"]);
        let fields = ["subscription_id", "certificate_type", "calculation", "amount"];
        let mut charges: Vec<_> = charges.map(|charge| json!(fields.map(|field| &charge[field]))).collect();
        charges.reverse();
        let lines = order["lines"].as_array().unwrap().iter().filter(|line| line["amount"]["amount"] != 0);
        let lines: Vec<_> = lines.map(|line| json!(fields.map(|field| &line[field]))).collect();
        assert_eq!(charges, lines, "{}", order["kind"]);
        let costs = ["add_subscriptions", "current_inventory", "renewal"].iter().any(|kind| order["kind"] == *kind);
        assert_eq!(charges.is_empty(), !costs, "{}", order["kind"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_is_due_on_the_first_day_that_is_paid_for() {
    let world = World::new().await;
    on_day(&world.server, "2027-01-10");
    for (start, due) in [("2027-02-10", "2027-02-10"), ("2027-01-10", "2027-01-10"), ("2026-12-10", "2027-01-10")] {
        let mut body = basket(&world.product_id, 1);
        body["subscriptions"][0]["start_date"] = json!(start);
        world.admin.post(&world.customer("/subscriptions"), body).await.created();
        let charge = &all(&world.admin, "/v1/charges").await[0];
        assert_eq!((&charge["due_date"], &charge["status"]), (&json!(due), &json!("pending")), "{start}");
        assert_eq!(charge["invoice_id"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_by_customer_subscription_kind_and_time() {
    let world = World::new().await;
    on_day(&world.server, "2027-01-02");
    let orders = with_every_kind(&world).await;
    let of = |index: usize| orders[index]["id"].clone();
    let idle = format!("/v1/customers/{}/subscriptions", id(&world.idle_customer_id));
    let others = world.admin.post(&idle, basket(&world.product_id, 1)).await.created()["order"]["id"].clone();

    let found = async |query: &str| ids(&world, &format!("/v1/orders?{query}")).await;
    assert_eq!(found(&format!("customer_id={}", id(&world.idle_customer_id))).await, std::slice::from_ref(&others));
    let about = format!("subscription_id={}", id(&world.active_id));
    assert_eq!(found(&about).await, [of(2), of(1), world.order_id.clone()]);
    assert_eq!(found(&format!("{about}&kind=current_inventory")).await, [of(1)]);
    assert_eq!(found("kind=cancellation,renewal").await, [of(4), of(3)]);
    let after = found("confirmed_after=2027-01-02T12:00:00Z").await;
    assert_eq!(after, [others, of(4), of(3), of(2), of(1), of(0)], "that instant itself counts as after");
    assert_eq!(found("confirmed_after=2027-01-02T12:00:00.000001Z").await, Vec::<Value>::new());
    let before = found("confirmed_before=2027-01-02T12:00:00Z").await;
    assert_eq!(before.len(), 4);
    assert!(before.contains(&world.order_id), "that instant itself does not count as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn charges_are_found_by_customer_status_and_day() {
    let world = World::new().await;
    world.admin.act(&format!("/v1/subscriptions/{}/cancel", id(&world.pending_id))).await.ok();
    let idle = format!("/v1/customers/{}/subscriptions", id(&world.idle_customer_id));
    let mut later = basket(&world.product_id, 1);
    later["subscriptions"][0]["start_date"] = json!("2027-02-02");
    let order_id = world.admin.post(&idle, later).await.created()["order"]["id"].clone();

    let found = async |query: &str| {
        let page = world.admin.get(&format!("/v1/charges?{query}")).await.ok();
        page["data"].as_array().unwrap().clone()
    };
    let theirs = found(&format!("customer_id={}", id(&world.idle_customer_id))).await;
    assert_eq!((theirs.len(), &theirs[0]["order_id"]), (1, &order_id));
    let voided = found("status=voided").await;
    assert_eq!((voided.len(), &voided[0]["subscription_id"]), (1, &world.pending_id));
    assert_eq!(found("due_after=2027-02-02").await, theirs);
    assert_eq!(found("due_after=2027-02-01&due_before=2027-02-02").await, voided);
    let everything = all(&world.admin, "/v1/charges").await;
    assert_eq!(found("status=pending,invoiced,voided").await, everything);
    assert_eq!(found("status=pending").await.len(), everything.len() - 2, "one is voided and one invoiced");
}
