//! Adding subscriptions: the defaults, the possible start dates, the errors, and that all records of an addition match.

use serde_json::{Value, json};

use crate::steps::all;
use crate::support::Answer;
use crate::support::world::{World, basket, company, id, product};

async fn add(world: &World, body: Value) -> Answer {
    world.admin.post(&world.customer("/subscriptions"), body).await
}

async fn preview(world: &World, body: Value) -> Answer {
    world.admin.post(&world.customer("/subscriptions/preview"), body).await
}

/// A request for three `dv` that starts on a day.
fn starting(world: &World, day: &str) -> Value {
    let mut body = basket(&world.product_id, 3);
    body["subscriptions"][0]["start_date"] = json!(day);
    body
}

/// A request for one subscription for each of these items.
fn several(items: &[Value]) -> Value {
    json!({ "subscriptions": items })
}

fn item(world: &World, inventory: Value) -> Value {
    json!({ "product_id": world.product_id, "term_months": 12, "inventory": inventory })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_of_an_addition_has_its_default() {
    let world = World::new().await;
    let body = several(&[item(&world, json!([{ "certificate_type": "dv", "quantity": 3 }]))]);
    let added = add(&world, body).await.created();
    let subscription = &added["subscriptions"][0];
    let line = json!({
        "certificate_type": "dv",
        "current": { "quantity": 3, "used": 0, "available": 3, "overage": 0 },
        "renewal": { "quantity": null, "effective_quantity": 3 },
        "low_threshold": null,
    });
    let expected = json!({
        "customer_id": world.customer_id, "product_id": world.product_id, "product_code": "tls",
        "external_id": null, "status": "active", "lapsed": false, "auto_renew": false,
        "term": { "number": 1, "months": 12, "start_date": "2027-01-01", "end_date": "2028-01-01" },
        "suspended": null, "cancelled": null, "inventory": [line], "version": 1,
        "created_at": "2027-01-01T12:00:00Z", "updated_at": "2027-01-01T12:00:00Z",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&subscription[field], value, "{field}");
    }
    let path = format!("/v1/subscriptions/{}", id(&subscription["id"]));
    assert_eq!(world.admin.get(&path).await.ok(), *subscription);
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_renew_of_the_request_is_for_the_items_that_do_not_say_otherwise() {
    let world = World::new().await;
    for by_default in [true, false] {
        let one = item(&world, json!([{ "certificate_type": "dv", "quantity": 1 }]));
        let (mut on, mut off) = (one.clone(), one.clone());
        on["auto_renew"] = json!(true);
        off["auto_renew"] = json!(false);
        let mut body = several(&[one, on, off]);
        body["auto_renew"] = json!(by_default);
        let added = add(&world, body).await.created();
        let found: Vec<_> = added["subscriptions"].as_array().unwrap().iter().map(|it| &it["auto_renew"]).collect();
        assert_eq!(found, [by_default, true, false]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_in_the_future_is_pending_and_its_full_charge_is_due_when_it_starts() {
    let world = World::new().await;
    let added = add(&world, starting(&world, "2027-03-01")).await.created();
    assert_eq!(added["subscriptions"][0]["status"], "pending");
    let calculation = &added["order"]["lines"][0]["calculation"];
    assert_eq!((&calculation["remaining_days"], &calculation["term_days"]), (&json!(366), &json!(366)));
    assert_eq!(added["order"]["total"], json!({ "amount": 29_700, "currency": "USD" }));
    let charge = &all(&world.admin, "/v1/charges").await[0];
    assert_eq!(charge["order_id"], added["order"]["id"]);
    assert_eq!(charge["due_date"], "2027-03-01");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backdated_start_is_active_and_charged_from_today_only() {
    let world = World::new().await;
    let added = add(&world, starting(&world, "2026-04-03")).await.created();
    assert_eq!(added["subscriptions"][0]["status"], "active");
    assert_eq!(added["subscriptions"][0]["term"]["end_date"], "2027-04-03");
    let calculation = &added["order"]["lines"][0]["calculation"];
    assert_eq!((&calculation["remaining_days"], &calculation["term_days"]), (&json!(92), &json!(365)));
    // 9900 × 3 × 92 / 365 = 7486.03
    assert_eq!(added["order"]["total"]["amount"], 7486);
    assert_eq!(all(&world.admin, "/v1/charges").await[0]["due_date"], "2027-01-01");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_a_year_ahead_at_most_and_its_term_ends_after_today() {
    let world = World::new().await;
    for day in ["2028-01-01", "2026-01-02"] {
        preview(&world, starting(&world, day)).await.ok();
    }
    for (day, code) in [("2028-01-02", "start_date_too_late"), ("2026-01-01", "start_date_too_early")] {
        for answer in [preview(&world, starting(&world, day)).await, add(&world, starting(&world, day)).await] {
            assert_eq!(answer.violations(), [("/subscriptions/0/start_date".to_owned(), code.to_owned())], "{day}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_item_and_none_of_them_is_added() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    let good = item(&world, json!([{ "certificate_type": "dv", "quantity": 1 }]));
    let bad = item(&world, json!([{ "certificate_type": "ov", "quantity": 101 }]));
    let found = add(&world, several(&[good.clone(), bad, good])).await.violations();
    assert_eq!(found, [("/subscriptions/1/inventory/0/quantity".to_owned(), "out_of_range".to_owned())]);
    assert_eq!(before, world.server.database.fingerprint().await, "nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_of_every_item_is_named_at_once() {
    let world = World::new().await;
    let mut unknown = item(&world, json!([{ "certificate_type": "dv", "quantity": 1 }]));
    unknown["product_id"] = world.customer_id.clone();
    let mut dated = item(&world, json!([{ "certificate_type": "dv", "quantity": 1001 }]));
    dated["term_months"] = json!(24);
    dated["start_date"] = json!("2029-01-01");
    let listed = item(
        &world,
        json!([
            { "certificate_type": "ov", "quantity": 1, "renewal_quantity": 101 },
            { "certificate_type": "ov", "quantity": 1 },
            { "certificate_type": "ev", "quantity": 1 },
        ]),
    );
    let empty = item(&world, json!([{ "certificate_type": "dv", "quantity": 0, "renewal_quantity": 5 }]));
    let body = several(&[unknown, dated, listed, empty]);
    let expected = [
        ("/subscriptions/0/product_id", "unknown_reference"),
        ("/subscriptions/1/inventory/0/quantity", "out_of_range"),
        ("/subscriptions/1/start_date", "start_date_too_late"),
        ("/subscriptions/1/term_months", "term_not_offered"),
        ("/subscriptions/2/inventory/0/renewal_quantity", "out_of_range"),
        ("/subscriptions/2/inventory/1/certificate_type", "duplicate"),
        ("/subscriptions/2/inventory/2/certificate_type", "certificate_type_not_in_product"),
        ("/subscriptions/3/inventory", "out_of_range"),
    ];
    let expected = expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()));
    assert_eq!(preview(&world, body.clone()).await.violations(), expected);
    assert_eq!(add(&world, body).await.violations(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_the_charges_the_ledger_and_the_terms_of_an_addition_agree() {
    let world = World::new().await;
    let first = item(
        &world,
        json!([
            { "certificate_type": "dv", "quantity": 3, "renewal_quantity": 2 },
            { "certificate_type": "ov", "quantity": 0 },
        ]),
    );
    let mut second = item(&world, json!([{ "certificate_type": "ov", "quantity": 4 }]));
    second["term_months"] = json!(1);
    let added = add(&world, several(&[first, second])).await.created();
    let order = &added["order"];
    assert_eq!(world.admin.get(&format!("/v1/orders/{}", id(&order["id"]))).await.ok(), *order);
    let (one, two) = (&added["subscriptions"][0], &added["subscriptions"][1]);

    let seen = order["lines"].as_array().unwrap().iter().map(|line| {
        let of = [&line["subscription_index"], &line["certificate_type"], &line["bucket"]];
        json!([line["subscription_id"], of, line["quantity_before"], line["quantity_after"], line["amount"]["amount"]])
    });
    let expected = json!([
        [one["id"], [0, "dv", "current"], 0, 3, 29_700],
        [one["id"], [0, "dv", "renewal"], null, 2, 0],
        [one["id"], [0, "ov", "current"], 0, 0, 0],
        [two["id"], [1, "ov", "current"], 0, 4, 10_000],
    ]);
    assert_eq!(Value::Array(seen.collect()), expected);
    assert_eq!(order["total"]["amount"], 39_700);

    let charges = all(&world.admin, "/v1/charges").await.into_iter().filter(|charge| charge["order_id"] == order["id"]);
    let charges: Vec<_> =
        charges.map(|it| json!([it["subscription_id"], it["amount"]["amount"], it["status"]])).collect();
    assert_eq!(charges, [json!([two["id"], 10_000, "pending"]), json!([one["id"], 29_700, "pending"])]);

    let path = format!("/v1/subscriptions/{}", id(&one["id"]));
    let ledger = all(&world.admin, &format!("{path}/inventory/ledger")).await;
    let rows: Vec<_> = ledger.iter().map(|it| json!([it["certificate_type"], it["measure"], it["after"]])).collect();
    assert_eq!(rows, [json!(["dv", "renewal", 2]), json!(["dv", "current", 3])], "a 0 is not a change");
    assert!(ledger.iter().all(|row| row["order_id"] == order["id"] && row["actor"] == order["confirmed_by"]));

    let terms = all(&world.admin, &format!("{path}/terms")).await;
    let price = |code: &str, amount: i64| {
        let unit_price = json!({ "amount": amount, "currency": "USD" });
        json!({ "certificate_type": code, "unit_price": unit_price, "price_list_id": null })
    };
    let term = json!({
        "number": 1, "months": 12, "start_date": "2027-01-01", "end_date": "2028-01-01",
        "prices": [price("dv", 9900), price("ov", 25_000)],
    });
    assert_eq!(terms, [term]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_that_cannot_be_billed_is_refused_alone_and_in_sum() {
    let world = World::new().await;
    let mut dear = product("dear");
    dear["certificate_types"] = json!([{ "code": "dv", "name": "Dear", "max_quantity": 1_000_000 }]);
    dear["terms"] = json!([12]);
    let unit_price = json!({ "amount": 999_999_999_999_i64, "currency": "USD" });
    dear["prices"] = json!([{ "certificate_type": "dv", "term_months": 12, "unit_price": unit_price }]);
    let dear_id = world.admin.post("/v1/products", dear).await.created()["id"].clone();
    let of = |quantity: i32| {
        let inventory = json!([{ "certificate_type": "dv", "quantity": quantity }]);
        json!({ "product_id": dear_id, "term_months": 12, "inventory": inventory })
    };
    let most = preview(&world, several(&[of(9007)])).await.ok();
    assert_eq!(most["total"]["amount"], 9_006_999_999_990_993_i64);
    let before = world.server.database.fingerprint().await;
    for items in [vec![of(9008)], vec![of(1_000_000)], vec![of(5000), of(5000)]] {
        preview(&world, several(&items)).await.problem(422, "amount_out_of_range");
        add(&world, several(&items)).await.problem(422, "amount_out_of_range");
    }
    assert_eq!(before, world.server.database.fingerprint().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_charged_in_its_own_currency_or_not_sold_to() {
    let world = World::new().await;
    for (currency, total) in [("EUR", Some(29_700)), ("JPY", None)] {
        let mut customer = company("Elsewhere");
        customer["currency"] = json!(currency);
        let customer = world.admin.post("/v1/customers", customer).await.created();
        let path = format!("/v1/customers/{}/subscriptions", id(&customer["id"]));
        let answer = world.admin.post(&path, basket(&world.product_id, 3)).await;
        match total {
            Some(amount) => {
                let expected = json!({ "amount": amount, "currency": currency });
                assert_eq!(answer.created()["order"]["total"], expected);
            }
            None => {
                let expected = [("/subscriptions/0/product_id".to_owned(), "not_allowed".to_owned())];
                assert_eq!(answer.violations(), expected);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_product_is_not_sold_anew_but_runs_on() {
    let world = World::new().await;
    let path = format!("/v1/products/{}", id(&world.product_id));
    world.admin.patch(&path, json!({ "status": "retired" })).await.ok();
    preview(&world, basket(&world.product_id, 1)).await.problem(409, "product_retired");
    add(&world, basket(&world.product_id, 1)).await.problem(409, "product_retired");
    let more = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    world.admin.post(&world.active("/inventory/current"), more).await.created();
    let lapsed = format!("/v1/subscriptions/{}/renew", id(&world.lapsed_id));
    world.admin.act(&lapsed).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_customer_is_sold_nothing_until_it_is_restored() {
    let world = World::new().await;
    let idle = format!("/v1/customers/{}", id(&world.idle_customer_id));
    world.admin.act(&format!("{idle}/archive")).await.ok();
    for path in ["subscriptions/preview", "subscriptions"] {
        let answer = world.admin.post(&format!("{idle}/{path}"), basket(&world.product_id, 1)).await;
        answer.problem(409, "customer_archived");
    }
    world.admin.act(&format!("{idle}/restore")).await.ok();
    world.admin.post(&format!("{idle}/subscriptions"), basket(&world.product_id, 1)).await.created();
}
