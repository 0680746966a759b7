//! Preview and confirmation: a preview writes nothing, and a digest confirms exactly what was shown. After any relevant
//! change, it confirms nothing.

use serde_json::{Value, json};

use crate::steps::on_day;
use crate::support::world::{World, basket, id};

/// A request with all features: two subscriptions, one with a later start, and a renewal quantity.
fn mixed(world: &World) -> Value {
    let lines = json!([
        { "certificate_type": "dv", "quantity": 7, "renewal_quantity": 5 },
        { "certificate_type": "ov", "quantity": 2 },
    ]);
    let now =
        json!({ "product_id": world.product_id, "term_months": 1, "start_date": "2026-12-20", "inventory": lines });
    let mut body = basket(&world.product_id, 3);
    body["subscriptions"][0]["start_date"] = json!("2027-06-01");
    body["subscriptions"].as_array_mut().unwrap().push(now);
    body
}

fn with_digest(body: &Value, quote: &Value) -> Value {
    let mut body = body.clone();
    body["digest"] = quote["digest"].clone();
    body
}

/// The lines of a quote or order, without the fields that only a confirmed order has.
fn lines(of: &Value) -> Vec<Value> {
    let mut lines = of["lines"].as_array().unwrap().clone();
    lines.iter_mut().for_each(|line| line["subscription_id"] = Value::Null);
    lines
}

/// Raises all prices.
async fn raise_prices(world: &World) {
    let path = format!("/v1/products/{}", id(&world.product_id));
    let mut prices = world.admin.get(&path).await.ok()["prices"].clone();
    for price in prices.as_array_mut().unwrap() {
        let amount = price["unit_price"]["amount"].as_i64().unwrap();
        price["unit_price"]["amount"] = json!(amount + 100);
    }
    world.admin.patch(&path, json!({ "prices": prices })).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_writes_nothing_and_its_digest_confirms_it_line_by_line() {
    let world = World::new().await;
    let path = world.customer("/subscriptions");
    let before = world.server.database.fingerprint().await;
    let quote = world.admin.post(&format!("{path}/preview"), mixed(&world)).await.ok();
    assert_eq!(before, world.server.database.fingerprint().await, "a preview writes nothing");
    assert_eq!(quote["kind"], "add_subscriptions");
    assert_eq!(quote["as_of"], "2027-01-01");
    // At today's prices: 3 × 9900 of one type, 5 × 990 and 2 × 2500 of the others.
    assert_eq!(quote["next_renewal_total"]["amount"], 29_700 + 4950 + 5000);
    let again = world.admin.post(&format!("{path}/preview"), mixed(&world)).await.ok();
    assert_eq!(again, quote, "the same request gets the same quote");

    let order = world.admin.post(&path, with_digest(&mixed(&world), &quote)).await.created()["order"].clone();
    assert_eq!(lines(&order), lines(&quote));
    assert_eq!((&order["total"], &order["kind"]), (&quote["total"], &quote["kind"]));
    let sum: i64 = lines(&order).iter().map(|line| line["amount"]["amount"].as_i64().unwrap()).sum();
    assert_eq!(order["total"]["amount"], sum);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_after_a_quote_makes_it_stale_and_the_answer_brings_the_fresh_one() {
    let world = World::new().await;
    let path = world.customer("/subscriptions");
    let body = mixed(&world);
    for change in ["prices", "day", "second confirmation", "customer"] {
        let quote = world.admin.post(&format!("{path}/preview"), body.clone()).await.ok();
        match change {
            "prices" => raise_prices(&world).await,
            "day" => on_day(&world.server, "2027-01-02"),
            "customer" => {
                world.admin.patch(&world.customer(""), json!({ "company_name": "Southwind" })).await.ok();
            }
            _ => {
                world.admin.post(&path, with_digest(&body, &quote)).await.created();
            }
        }
        let before = world.server.database.fingerprint().await;
        let stale = world.admin.post(&path, with_digest(&body, &quote)).await.problem(409, "quote_stale");
        assert_eq!(before, world.server.database.fingerprint().await, "{change}: nothing is written");
        let fresh = &stale["quote"];
        assert_ne!(fresh["digest"], quote["digest"], "{change}");
        let preview = world.admin.post(&format!("{path}/preview"), body.clone()).await.ok();
        assert_eq!(*fresh, preview, "{change}: the new quote is the same as a preview now");
        let order = world.admin.post(&path, with_digest(&body, fresh)).await.created()["order"].clone();
        assert_eq!(lines(&order), lines(fresh), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_confirms_no_other_request() {
    let world = World::new().await;
    let path = world.customer("/subscriptions");
    let body = basket(&world.product_id, 3);
    let quote = world.admin.post(&format!("{path}/preview"), body.clone()).await.ok();
    let others = [
        ("quantity", json!([{ "certificate_type": "dv", "quantity": 4 }])),
        ("renewal", json!([{ "certificate_type": "dv", "quantity": 3, "renewal_quantity": 3 }])),
    ];
    for (difference, inventory) in others {
        let mut other = body.clone();
        other["subscriptions"][0]["inventory"] = inventory;
        let answer = world.admin.post(&path, with_digest(&other, &quote)).await;
        assert_eq!(answer.problem(409, "quote_stale")["quote"]["kind"], "add_subscriptions", "{difference}");
    }
    for (field, value) in [("auto_renew", json!(false)), ("external_id", json!("po-1"))] {
        let mut other = body.clone();
        other["subscriptions"][0][field] = value;
        world.admin.post(&path, with_digest(&other, &quote)).await.problem(409, "quote_stale");
    }
    let elsewhere = format!("/v1/customers/{}/subscriptions", id(&world.idle_customer_id));
    world.admin.post(&elsewhere, with_digest(&body, &quote)).await.problem(409, "quote_stale");
    world.admin.post(&path, with_digest(&body, &quote)).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_quote_is_good_for_one_confirmation() {
    let world = World::new().await;
    let path = world.active("/inventory/current");
    let body = json!({ "lines": [{ "certificate_type": "dv", "add": 5 }, { "certificate_type": "ov", "add": 1 }] });
    let before = world.server.database.fingerprint().await;
    let quote = world.admin.post(&format!("{path}/preview"), body.clone()).await.ok();
    assert_eq!(before, world.server.database.fingerprint().await, "a preview writes nothing");
    let order = world.admin.post(&path, with_digest(&body, &quote)).await.created();
    assert_eq!(order["lines"], quote["lines"]);
    assert_eq!((&order["total"], &order["kind"]), (&quote["total"], &json!("current_inventory")));

    let stale = world.admin.post(&path, with_digest(&body, &quote)).await.problem(409, "quote_stale");
    assert_eq!(stale["quote"]["lines"][0]["quantity_before"], 55);
    world.admin.post(&path, with_digest(&body, &stale["quote"])).await.created();
    assert_eq!(world.admin.get(&world.active("")).await.ok()["inventory"][0]["current"]["quantity"], 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_quote_is_stale_after_any_change_but_an_allocation() {
    let world = World::new().await;
    let path = world.active("/inventory/current");
    let body = json!({ "lines": [{ "certificate_type": "dv", "add": 5 }] });
    for change in ["prices", "day", "renewal", "details", "allocation"] {
        let quote = world.admin.post(&format!("{path}/preview"), body.clone()).await.ok();
        match change {
            "prices" => raise_prices(&world).await,
            "day" => on_day(&world.server, "2027-01-02"),
            "renewal" => {
                let set = json!({ "lines": [{ "certificate_type": "dv", "quantity": 25 }] });
                world.admin.put(&world.active("/inventory/renewal"), set).await.ok();
            }
            "details" => {
                world.admin.patch(&world.active(""), json!({ "auto_renew": false })).await.ok();
            }
            _ => {
                let one = json!({ "certificate_type": "dv", "reference": "meanwhile" });
                world.admin.post(&world.active("/allocations"), one).await.created();
            }
        }
        let answer = world.admin.post(&path, with_digest(&body, &quote)).await;
        if change == "allocation" {
            answer.created();
        } else {
            let fresh = answer.problem(409, "quote_stale")["quote"].clone();
            assert_ne!(fresh["digest"], quote["digest"], "{change}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_quote_is_stale_when_it_would_now_warn() {
    let world = World::new().await;
    let path = world.active("/inventory/renewal");
    let body = json!({ "lines": [{ "certificate_type": "dv", "quantity": 1 }] });
    let quote = world.admin.post(&format!("{path}/preview"), body.clone()).await.ok();
    assert_eq!(quote["warnings"], json!([]), "one is in use, and one will be there");
    let one = json!({ "certificate_type": "dv", "reference": "meanwhile" });
    world.admin.post(&world.active("/allocations"), one).await.created();
    let stale = world.admin.put(&path, with_digest(&body, &quote)).await.problem(409, "quote_stale");
    assert_eq!(stale["quote"]["warnings"][0]["code"], "renewal_below_used");
    world.admin.put(&path, with_digest(&body, &stale["quote"])).await.ok();
}
