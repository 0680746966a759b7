//! Price lists: which prices a list can have, editing it, and when it can be deleted.

use serde_json::{Value, json};

use crate::support::world::{World, basket, company, id, price_list, price_list_in, product};
use crate::support::{Answer, Client};

const UNKNOWN: &str = "01990000-0000-7000-8000-000000000000";

/// Creates a list. Returns its path and the list.
pub async fn create(admin: &Client, body: Value) -> (String, Value) {
    let list = admin.post("/v1/price-lists", body).await.created();
    (format!("/v1/price-lists/{}", id(&list["id"])), list)
}

fn at(pointer: &str, code: &str) -> (String, String) {
    (pointer.to_owned(), code.to_owned())
}

fn idle_customer(world: &World) -> String {
    format!("/v1/customers/{}", id(&world.idle_customer_id))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_answered_as_it_was_given_with_its_prices_in_order() {
    let world = World::new().await;
    let prices = [("ov", 12, 20_000), ("dv", 12, 0), ("ov", 1, 2_000), ("dv", 1, 999_999_999_999)];
    let body = price_list_in("USD", " Silver ", &world.product_id, &prices);
    let answer = world.admin.post("/v1/price-lists", body).await;
    let (location, tag) = (answer.header("location").to_owned(), answer.header("etag").to_owned());
    let list = answer.created();
    assert_eq!((location.as_str(), tag.as_str()), (&*format!("/v1/price-lists/{}", id(&list["id"])), "\"1\""));
    let sorted = [("dv", 1, 999_999_999_999), ("dv", 12, 0), ("ov", 1, 2_000), ("ov", 12, 20_000)];
    let expected = price_list_in("USD", "Silver", &world.product_id, &sorted);
    for field in ["name", "currency", "prices"] {
        assert_eq!(list[field], expected[field], "{field}");
    }
    assert_eq!((&list["version"], &list["created_at"]), (&json!(1), &json!("2027-01-01T12:00:00Z")));
    assert_eq!(world.admin.get(&location).await.ok(), list);
    assert_eq!(world.admin.with("if-none-match", &tag).get(&location).await.status, 304);

    let mut summary = list.clone();
    summary.as_object_mut().unwrap().remove("prices");
    summary["price_count"] = json!(4);
    assert_eq!(world.admin.get("/v1/price-lists?q=silver").await.ok()["data"], json!([summary]));
    let (_, empty) = create(&world.admin, price_list_in("JPY", "Nothing yet", &world.product_id, &[])).await;
    assert_eq!(empty["prices"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_replaces_the_prices_whole_and_leaves_the_rest() {
    let world = World::new().await;
    let (path, created) = create(&world.admin, price_list("Silver", &world.product_id, 7_000)).await;
    world.server.clock.set("2027-01-02T00:00:00Z".parse().unwrap());
    for patch in [json!({}), json!({ "name": " Silver " }), json!({ "prices": created["prices"] })] {
        assert_eq!(
            world.admin.patch(&path, patch).await.ok(),
            created,
            "a patch without changes does not change the version"
        );
    }
    let renamed = world.admin.with("if-match", "\"1\"").patch(&path, json!({ "name": "Bronze" })).await.ok();
    let mut expected = created.clone();
    expected["name"] = json!("Bronze");
    expected["version"] = json!(2);
    expected["updated_at"] = json!("2027-01-02T00:00:00Z");
    assert_eq!(renamed, expected);

    let others = price_list_in("EUR", "", &world.product_id, &[("ov", 1, 5), ("ov", 12, 50)])["prices"].clone();
    let answer = world.admin.patch(&path, json!({ "prices": others })).await;
    assert_eq!(answer.header("etag"), "\"3\"");
    let replaced = answer.ok();
    assert_eq!((&replaced["prices"], &replaced["name"]), (&others, &json!("Bronze")));
    assert_eq!(world.admin.patch(&path, json!({ "prices": [] })).await.ok()["prices"], json!([]));

    let required = [at("/name", "required"), at("/prices", "required")];
    let cleared = json!({ "name": null, "prices": null });
    assert_eq!(world.admin.patch(&path, cleared).await.violations(), required);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_stays_in_its_currency() {
    let world = World::new().await;
    let (path, list) = create(&world.admin, price_list("Silver", &world.product_id, 7_000)).await;
    for (field, value) in
        [("currency", json!("USD")), ("currency", json!("EUR")), ("id", json!(1)), ("version", json!(9))]
    {
        let found = world.admin.patch(&path, json!({ (field): value })).await.violations();
        assert_eq!(found, [at(&format!("/{field}"), "immutable_field")]);
    }
    assert_eq!(world.admin.get(&path).await.ok(), list);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_not_seen_is_neither_edited_nor_deleted() {
    let world = World::new().await;
    let (path, list) = create(&world.admin, price_list("Silver", &world.product_id, 7_000)).await;
    world.admin.patch(&path, json!({ "name": "Bronze" })).await.ok();
    let stale = world.admin.with("if-match", "\"1\"");
    stale.patch(&path, json!({ "name": "Tin" })).await.problem(412, "version_mismatch");
    stale.delete(&path).await.problem(412, "version_mismatch");
    assert_eq!(world.admin.get(&path).await.ok()["name"], "Bronze");

    world.admin.with("if-match", "\"2\"").delete(&path).await.no_content();
    for answer in [world.admin.get(&path).await, world.admin.delete(&path).await] {
        answer.problem(404, "not_found");
    }
    world.admin.patch(&path, json!({ "name": "Tin" })).await.problem(404, "not_found");
    assert_eq!(world.admin.get("/v1/price-lists?q=bronze").await.ok()["data"], json!([]));
    let prices = format!("SELECT count(*) FROM price_list_prices WHERE price_list_id = '{}'", id(&list["id"]));
    assert_eq!(world.server.database.text(&prices).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_is_of_something_that_is_sold_so() {
    let world = World::new().await;
    let (path, _) = create(&world.admin, price_list_in("USD", "Silver", &world.product_id, &[])).await;
    let before = world.server.database.fingerprint().await;
    let mut yen = price_list_in("JPY", "x", &world.product_id, &[("dv", 12, 1)])["prices"][0].clone();
    let priced = |prices: &[(&str, i32, i64)]| price_list_in("USD", "x", &world.product_id, prices)["prices"].clone();
    let other_currency = json!([yen]);
    yen["product_id"] = json!(UNKNOWN);
    yen["unit_price"]["currency"] = json!("USD");
    for (prices, expected) in [
        (json!([yen]), vec![at("/prices/0/product_id", "unknown_reference")]),
        (priced(&[("ev", 12, 1)]), vec![at("/prices/0/certificate_type", "certificate_type_not_in_product")]),
        (priced(&[("dv", 24, 1)]), vec![at("/prices/0/term_months", "term_not_offered")]),
        (other_currency, vec![at("/prices/0/unit_price/currency", "not_allowed")]),
        (priced(&[("dv", 12, 1), ("ov", 12, 1), ("dv", 12, 1)]), vec![at("/prices/2", "duplicate")]),
        (priced(&[("dv", 12, -1)]), vec![at("/prices/0/unit_price/amount", "out_of_range")]),
        (priced(&[("dv", 12, 1_000_000_000_000)]), vec![at("/prices/0/unit_price/amount", "out_of_range")]),
        (priced(&[("dv", 37, 1)]), vec![at("/prices/0/term_months", "out_of_range")]),
        (
            priced(&[("ov", 12, 1), ("ev", 24, 1), ("dv", 12, 1), ("dv", 12, 2)]),
            vec![
                at("/prices/1/certificate_type", "certificate_type_not_in_product"),
                at("/prices/1/term_months", "term_not_offered"),
                at("/prices/3", "duplicate"),
            ],
        ),
    ] {
        let body = json!({ "name": "New", "currency": "USD", "prices": prices });
        assert_eq!(world.admin.post("/v1/price-lists", body).await.violations(), expected, "{prices}");
        assert_eq!(world.admin.patch(&path, json!({ "prices": prices })).await.violations(), expected, "{prices}");
    }
    let yen = price_list_in("JPY", "Yen", &world.product_id, &[("dv", 12, 1)]);
    let found = world.admin.post("/v1/price-lists", yen).await.violations();
    assert_eq!(found, [at("/prices/0/product_id", "not_allowed")], "the product has no prices in yen");
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_at_most_5000_prices() {
    let world = World::new().await;
    let types: Vec<_> = (0..50).map(|number| format!("t{number:02}")).collect();
    let terms: Vec<_> = (1..=36).collect();
    let grid = || types.iter().flat_map(|of| terms.iter().map(move |months| (of.as_str(), *months, 5_i64)));
    let mut products = Vec::new();
    for code in ["a", "b", "c"] {
        let mut body = product(code);
        body["certificate_types"] =
            types.iter().map(|code| json!({ "code": code, "name": code, "max_quantity": 1 })).collect();
        body["terms"] = json!(terms);
        let prices: Vec<_> = grid().collect();
        let priced = price_list_in("USD", "", &Value::Null, &prices);
        let mut prices = priced["prices"].clone();
        prices.as_array_mut().unwrap().iter_mut().for_each(|price| {
            price.as_object_mut().unwrap().remove("product_id");
        });
        body["prices"] = prices;
        products.push(world.admin.post("/v1/products", body).await.created()["id"].clone());
    }
    let mut all = Vec::new();
    for product_id in &products {
        let prices = price_list_in("USD", "", product_id, &grid().collect::<Vec<_>>())["prices"].take();
        all.extend(prices.as_array().unwrap().iter().cloned());
    }
    let of = |count: usize| json!({ "name": "Large", "currency": "USD", "prices": all[..count] });
    let before = world.server.database.fingerprint().await;
    let found = world.admin.post("/v1/price-lists", of(5_001)).await.violations();
    assert_eq!(found, [at("/prices", "too_long")]);
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
    let (path, list) = create(&world.admin, of(5_000)).await;
    assert_eq!(list["prices"].as_array().unwrap().len(), 5_000);
    assert_eq!(world.admin.get(&path).await.ok(), list);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_can_be_renamed_when_its_product_has_changed_since() {
    let world = World::new().await;
    let (path, list) = create(&world.admin, price_list("Silver", &world.product_id, 7_000)).await;
    let mut prices = product("tls")["prices"].take();
    prices.as_array_mut().unwrap().retain(|price| price["term_months"] == 1);
    let monthly = json!({ "terms": [1], "prices": prices });
    world.admin.patch(&format!("/v1/products/{}", id(&world.product_id)), monthly).await.ok();
    let renamed = world.admin.patch(&path, json!({ "name": "Bronze" })).await.ok();
    assert_eq!((&renamed["name"], &renamed["prices"]), (&json!("Bronze"), &list["prices"]));
    let dearer = price_list("x", &world.product_id, 8_000)["prices"].clone();
    let found = world.admin.patch(&path, json!({ "prices": dearer })).await.violations();
    assert_eq!(found, [at("/prices/0/term_months", "term_not_offered")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_in_use_stays() {
    let world = World::new().await;
    let admin = &world.admin;
    let refused = async |path: &str, why: &str| {
        let before = world.server.database.fingerprint().await;
        let problem = admin.delete(path).await.problem(409, "price_list_in_use");
        assert!(problem["detail"].as_str().unwrap().contains("cannot be deleted"), "{why}: {problem}");
        assert_eq!(before, world.server.database.fingerprint().await, "{why}: nothing changed");
    };
    refused(&format!("/v1/price-lists/{}", id(&world.price_list_id)), "a reseller's").await;

    let dollars = price_list_in("USD", "Silver", &world.product_id, &[("dv", 12, 7_000)]);
    let (path, list) = create(admin, dollars).await;
    let customer = idle_customer(&world);
    admin.patch(&customer, json!({ "price_list_id": list["id"] })).await.ok();
    refused(&path, "a customer's").await;
    admin.post(&format!("{customer}/subscriptions"), basket(&world.product_id, 1)).await.created();
    admin.patch(&customer, json!({ "price_list_id": null })).await.ok();
    refused(&path, "an order's").await;

    let reseller = format!("/v1/resellers/{}", id(&world.reseller_id));
    admin.patch(&reseller, json!({ "price_list_id": null })).await.ok();
    admin.delete(&format!("/v1/price-lists/{}", id(&world.price_list_id))).await.no_content();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_stays_while_a_term_has_its_price_of_what_nobody_ordered_yet() {
    let world = World::new().await;
    let dollars = price_list_in("USD", "Silver", &world.product_id, &[("ov", 12, 7_000)]);
    let (path, list) = create(&world.admin, dollars).await;
    let customer = idle_customer(&world);
    world.admin.patch(&customer, json!({ "price_list_id": list["id"] })).await.ok();
    let added = world.admin.post(&format!("{customer}/subscriptions"), basket(&world.product_id, 1)).await.created();
    assert_eq!(added["order"]["lines"][0]["price_list_id"], Value::Null, "the order is of another type");
    world.admin.patch(&customer, json!({ "price_list_id": null })).await.ok();
    world.admin.delete(&path).await.problem(409, "price_list_in_use");

    let subscription = format!("/v1/subscriptions/{}", id(&added["subscriptions"][0]["id"]));
    let add = json!({ "lines": [{ "certificate_type": "ov", "add": 1 }] });
    let order = world.admin.post(&format!("{subscription}/inventory/current"), add).await.created();
    let line = &order["lines"][0];
    assert_eq!((&line["price_list_id"], &line["amount"]["amount"]), (&list["id"], &json!(7_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_assigned_or_deleted_but_not_both() {
    let world = World::new().await;
    for round in 0..6 {
        let (path, list) = create(&world.admin, price_list_in("USD", "Silver", &world.product_id, &[])).await;
        let customer = world.admin.post("/v1/customers", company("Either or")).await.created();
        let customer = format!("/v1/customers/{}", id(&customer["id"]));
        let (admin, assign) = (world.admin.clone(), json!({ "price_list_id": list["id"] }));
        let to = if round % 2 == 0 { customer } else { format!("/v1/resellers/{}", id(&world.other_reseller_id)) };
        let assigning = tokio::spawn({
            let to = to.clone();
            async move { admin.patch(&to, assign).await }
        });
        let admin = world.admin.clone();
        let deleting = tokio::spawn(async move { admin.delete(&path).await });
        let (assigned, deleted): (Answer, Answer) = (assigning.await.unwrap(), deleting.await.unwrap());
        if deleted.status == 204 {
            assert_eq!(assigned.violations(), [at("/price_list_id", "unknown_reference")]);
        } else {
            deleted.problem(409, "price_list_in_use");
            assert_eq!(assigned.ok()["price_list_id"], list["id"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_problems_the_first_hundred_are_named_and_all_are_counted() {
    let world = World::new().await;
    let prices = vec![("dv", 1, 7); 300];
    let answer = world.admin.post("/v1/price-lists", price_list_in("USD", "Twice", &world.product_id, &prices)).await;
    let problem = answer.problem(422, "validation_failed");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 100);
    assert!(problem["detail"].as_str().unwrap().starts_with("The request has 299 problem(s)"), "{problem}");
}
