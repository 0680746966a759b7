//! Products: their types, terms and prices, how they are replaced, and the effect of a change on existing
//! subscriptions.

use serde_json::{Value, json};

use crate::support::world::{World, basket, company, id, product};
use crate::support::{Client, Server};

fn price(certificate_type: &str, term_months: i32, amount: i64, currency: &str) -> Value {
    let unit_price = json!({ "amount": amount, "currency": currency });
    json!({ "certificate_type": certificate_type, "term_months": term_months, "unit_price": unit_price })
}

/// Two types for one term in one currency.
fn small(code: &str) -> Value {
    json!({
        "code": code,
        "name": "Small",
        "certificate_types": [
            { "code": "dv", "name": "DV", "max_quantity": 10 }, { "code": "ov", "name": "OV", "max_quantity": 1 }
        ],
        "terms": [12],
        "prices": [price("dv", 12, 100, "USD"), price("ov", 12, 0, "USD")],
    })
}

async fn create(admin: &Client, body: Value) -> (String, Value) {
    let product = admin.post("/v1/products", body).await.created();
    (format!("/v1/products/{}", id(&product["id"])), product)
}

fn at(pointer: &str, code: &str) -> (String, String) {
    (pointer.to_owned(), code.to_owned())
}

/// The field with additional items.
fn more(field: &str, items: &[Value]) -> Value {
    let mut list = small("x")[field].clone();
    list.as_array_mut().unwrap().extend_from_slice(items);
    json!({ (field): list })
}

fn codes(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|product| product["code"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_answered_as_it_was_given() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let mut body = product("tls");
    body["description"] = json!("Two lines,\n\tthe second with a tab");
    let (path, created) = create(&admin, body.clone()).await;
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(created[field], *value, "{field}");
    }
    assert_eq!((&created["status"], &created["version"]), (&json!("active"), &json!(1)));
    assert_eq!(admin.get(&path).await.ok(), created);
    assert_eq!(create(&admin, small("small")).await.1["description"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_taken_once_and_stays() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (path, _) = create(&admin, small("tls")).await;
    let before = server.database.fingerprint().await;
    admin.post("/v1/products", small("tls")).await.problem(409, "duplicate_code");
    for (field, value) in
        [("code", json!("other")), ("id", json!(1)), ("version", json!(9)), ("created_at", Value::Null)]
    {
        let found = admin.patch(&path, json!({ (field): value })).await.violations();
        assert_eq!(found, [at(&format!("/{field}"), "immutable_field")]);
    }
    assert_eq!(before, server.database.fingerprint().await, "nothing changed");
    create(&admin, small("TLS")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_terms_and_prices_fit_together() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (path, _) = create(&admin, small("tls")).await;
    let before = server.database.fingerprint().await;
    let twice = json!({ "code": "dv", "name": "Again", "max_quantity": 1 });
    for (change, expected) in [
        (more("certificate_types", &[twice]), vec![at("/certificate_types/2/code", "duplicate")]),
        (json!({ "terms": [12, 12] }), vec![at("/terms", "duplicate")]),
        (more("prices", &[price("dv", 12, 7, "USD")]), vec![at("/prices/2", "duplicate")]),
        (
            more("prices", &[price("ev", 12, 7, "USD")]),
            vec![at("/prices/2/certificate_type", "certificate_type_not_in_product")],
        ),
        (more("prices", &[price("dv", 24, 7, "USD")]), vec![at("/prices/2/term_months", "term_not_offered")]),
        // Only one of the types has a price in euros.
        (more("prices", &[price("dv", 12, 7, "EUR")]), vec![at("/prices", "required")]),
        (json!({ "prices": [price("dv", 12, 7, "USD")] }), vec![at("/prices", "required")]),
        // Neither type has a price for the other term.
        (json!({ "terms": [12, 24] }), vec![at("/prices", "required"), at("/prices", "required")]),
        (
            json!({ "terms": [24] }),
            vec![
                at("/prices", "required"),
                at("/prices", "required"),
                at("/prices/0/term_months", "term_not_offered"),
                at("/prices/1/term_months", "term_not_offered"),
            ],
        ),
        (
            more("prices", &[price("ev", 24, 7, "USD"), price("ov", 12, 7, "USD")]),
            vec![
                at("/prices/2/certificate_type", "certificate_type_not_in_product"),
                at("/prices/2/term_months", "term_not_offered"),
                at("/prices/3", "duplicate"),
            ],
        ),
        (
            json!({ "certificate_types": [], "terms": [], "prices": [] }),
            vec![at("/certificate_types", "too_short"), at("/prices", "too_short"), at("/terms", "too_short")],
        ),
    ] {
        let mut new = small("new");
        new.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(admin.post("/v1/products", new).await.violations(), expected, "{change}");
        assert_eq!(admin.patch(&path, change.clone()).await.violations(), expected, "{change}");
    }
    assert_eq!(before, server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_replaced_whole_and_the_rest_stays() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (path, created) = create(&admin, small("tls")).await;
    server.clock.set("2027-01-02T00:00:00Z".parse().unwrap());
    for patch in [json!({}), more("prices", &[]), json!({ "name": " Small ", "terms": [12.0] })] {
        assert_eq!(
            admin.patch(&path, patch).await.ok(),
            created,
            "a patch without changes does not change the version"
        );
    }
    let lists = json!({
        "certificate_types": [{ "code": "ev", "name": "EV", "max_quantity": 3 }],
        "terms": [36, 1],
        "prices": [price("ev", 1, 5, "EUR"), price("ev", 36, 9, "EUR")],
    });
    let patched = admin.with("if-match", "\"1\"").patch(&path, lists.clone()).await.ok();
    for field in ["certificate_types", "terms", "prices"] {
        assert_eq!(patched[field], lists[field], "{field}");
    }
    assert_eq!((&patched["name"], &patched["version"]), (&created["name"], &json!(2)));
    assert_eq!(
        (&patched["created_at"], &patched["updated_at"]),
        (&created["created_at"], &json!("2027-01-02T00:00:00Z"))
    );
    let described = admin.patch(&path, json!({ "description": "What it is" })).await.ok();
    assert_eq!((&described["description"], &described["prices"]), (&json!("What it is"), &lists["prices"]));
    assert_eq!(admin.patch(&path, json!({ "description": null })).await.ok()["description"], Value::Null);
    let cleared = json!({ "name": null, "status": null, "certificate_types": null, "terms": null, "prices": null });
    let required =
        ["/certificate_types", "/name", "/prices", "/status", "/terms"].map(|pointer| at(pointer, "required"));
    assert_eq!(admin.patch(&path, cleared).await.violations(), required);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_subscriptions_hold_cannot_be_dropped() {
    let world = World::new().await;
    let (path, created) = create(&world.admin, small("small")).await;
    world.admin.post(&world.customer("/subscriptions"), basket(&created["id"], 1)).await.created();
    let only = |code: &str, name: &str| {
        json!({
            "certificate_types": [{ "code": code, "name": name, "max_quantity": 10 }],
            "prices": [price(code, 12, 100, "USD")],
        })
    };
    let before = world.server.database.fingerprint().await;
    let problem = world.admin.patch(&path, only("ov", "OV")).await.problem(409, "certificate_type_in_use");
    assert!(problem["detail"].as_str().unwrap().contains("dv"), "{problem}");
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
    // A type without subscriptions may be removed, and a type with subscriptions may be renamed.
    let kept = world.admin.patch(&path, only("dv", "Renamed")).await.ok();
    assert_eq!(kept["certificate_types"], only("dv", "Renamed")["certificate_types"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_product_is_not_sold_and_what_runs_goes_on() {
    let world = World::new().await;
    let path = format!("/v1/products/{}", id(&world.product_id));
    assert_eq!(codes(&world.own.get(&world.customer("/available-products")).await.ok()), ["tls"]);
    let retired = world.admin.patch(&path, json!({ "status": "retired" })).await.ok();
    assert_eq!((&retired["status"], &retired["version"]), (&json!("retired"), &json!(2)));
    assert_eq!(codes(&world.own.get(&world.customer("/available-products")).await.ok()), [""; 0]);
    assert_eq!(codes(&world.own.get("/v1/products?status=retired").await.ok()), ["tls"]);
    assert_eq!(codes(&world.own.get("/v1/products?status=active").await.ok()), [""; 0]);

    let before = world.server.database.fingerprint().await;
    for rest in ["/subscriptions", "/subscriptions/preview"] {
        let answer = world.admin.post(&world.customer(rest), basket(&world.product_id, 1)).await;
        answer.problem(409, "product_retired");
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");

    let add = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    world.admin.post(&world.active("/inventory/current"), add).await.created();
    let renewed = world.admin.act(&format!("/v1/subscriptions/{}/renew", id(&world.lapsed_id))).await.ok();
    assert_eq!((&renewed["status"], &renewed["term"]["number"]), (&json!("active"), &json!(2)));

    world.admin.patch(&path, json!({ "status": "active" })).await.ok();
    world.admin.post(&world.customer("/subscriptions"), basket(&world.product_id, 1)).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_price_is_for_new_terms_only() {
    let world = World::new().await;
    let path = format!("/v1/products/{}", id(&world.product_id));
    let terms = world.admin.get(&world.active("/terms")).await.ok();
    assert_eq!(terms["data"][0]["prices"][0]["unit_price"], json!({ "amount": 9900, "currency": "USD" }));
    let subscription = world.admin.get(&world.active("")).await.ok();
    let mut prices = product("tls")["prices"].take();
    for price in prices.as_array_mut().unwrap() {
        price["unit_price"]["amount"] = json!(1_000_000);
    }
    world.admin.patch(&path, json!({ "prices": prices })).await.ok();

    assert_eq!(world.admin.get(&world.active("/terms")).await.ok(), terms);
    assert_eq!(world.admin.get(&world.active("")).await.ok(), subscription);
    let add = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    let order = world.admin.post(&world.active("/inventory/current"), add).await.created();
    assert_eq!(order["lines"][0]["calculation"]["unit_price"]["amount"], 9900, "the running term keeps its price");
    let added = world.admin.post(&world.customer("/subscriptions"), basket(&world.product_id, 1)).await.created();
    assert_eq!(added["order"]["lines"][0]["calculation"]["unit_price"]["amount"], 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn available_products_are_those_with_prices_in_the_customers_currency() {
    let world = World::new().await;
    let (_, dollars) = create(&world.admin, small("only-usd")).await;
    let mut yen = small("a-yen");
    yen["prices"] = json!([price("dv", 12, 1, "JPY"), price("ov", 12, 1, "JPY")]);
    create(&world.admin, yen).await;

    let available = world.own.get(&world.customer("/available-products")).await.ok();
    assert_eq!(codes(&available), ["only-usd", "tls"], "ordered by code");
    for field in ["id", "code", "name", "description", "certificate_types", "terms", "version"] {
        assert_eq!(available["data"][0][field], dollars[field], "{field}");
    }
    let mut own = dollars["prices"].clone();
    own.as_array_mut().unwrap().iter_mut().for_each(|price| price["price_list_id"] = Value::Null);
    assert_eq!(available["data"][0]["prices"], own, "the product's own prices, without a list");
    let prices = available["data"][1]["prices"].as_array().unwrap();
    assert_eq!(prices.len(), 4, "a price for each type and term");
    assert!(prices.iter().all(|price| price["unit_price"]["currency"] == "USD"));

    let mut body = company("Pays in euros");
    body["currency"] = json!("EUR");
    let customer = world.own.post("/v1/customers", body).await.created();
    let path = format!("/v1/customers/{}", id(&customer["id"]));
    let available = world.own.get(&format!("{path}/available-products")).await.ok();
    assert_eq!(codes(&available), ["tls"]);
    let subscriptions = format!("{path}/subscriptions");
    let found = world.own.post(&subscriptions, basket(&dollars["id"], 1)).await.violations();
    assert_eq!(found, [at("/subscriptions/0/product_id", "not_allowed")]);
    world.own.post(&subscriptions, basket(&world.product_id, 1)).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_available_can_be_ordered_as_it_says() {
    let world = World::new().await;
    let available = world.own.get(&world.customer("/available-products")).await.ok();
    for price in available["data"][0]["prices"].as_array().unwrap() {
        let mut body = basket(&available["data"][0]["id"], 1);
        body["subscriptions"][0]["term_months"] = price["term_months"].clone();
        body["subscriptions"][0]["inventory"][0]["certificate_type"] = price["certificate_type"].clone();
        let quote = world.own.post(&world.customer("/subscriptions/preview"), body).await.ok();
        assert_eq!(quote["total"], price["unit_price"], "one certificate for a whole term costs its unit price");
    }
}
