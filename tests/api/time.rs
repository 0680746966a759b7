//! Scheduled transitions, as the next request shows them. No worker runs here: the requests process them.

use serde_json::{Value, json};

use crate::steps::{all, allocate, assert_ledger_adds_up, on_day, subscribe, whole_orders};
use crate::support::world::{World, basket, company, id, product};

/// Five `dv` per month from 1 January 2027.
async fn monthly(world: &World) -> String {
    subscribe(world, json!({ "term_months": 1 })).await
}

async fn set_renewal(world: &World, path: &str, quantity: Value) {
    let body = json!({ "lines": [{ "certificate_type": "dv", "quantity": quantity }] });
    world.admin.put(&format!("{path}/inventory/renewal"), body).await.ok();
}

/// The orders of a subscription, newest first.
async fn orders(world: &World, path: &str) -> Vec<Value> {
    let about = path.rsplit('/').next().unwrap();
    let orders = whole_orders(&world.admin, "/v1/orders").await;
    orders.into_iter().filter(|order| order["lines"][0]["subscription_id"] == about).collect()
}

async fn charges(world: &World, path: &str) -> Vec<Value> {
    let about = path.rsplit('/').next().unwrap();
    let charges = all(&world.admin, "/v1/charges").await;
    charges.into_iter().filter(|charge| charge["subscription_id"] == about).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_subscription_is_active_on_its_first_day_wherever_it_is_shown() {
    let world = World::new().await;
    let path = format!("/v1/subscriptions/{}", id(&world.pending_id));
    on_day(&world.server, "2027-01-31");
    let before = world.admin.get(&path).await.ok();
    assert_eq!(before["status"], "pending");
    world.server.clock.set("2027-02-01T00:00:00Z".parse().unwrap());

    let others = [("updated_at", json!("2027-02-01T00:00:00Z")), ("version", json!(2)), ("status", json!("active"))];
    let mut expected = before.clone();
    for (field, value) in others {
        expected[field] = value;
    }
    let get = world.admin.with("if-none-match", &format!("\"{}\"", before["version"])).get(&path).await;
    assert_eq!(get.header("etag"), "\"2\"", "the version is newer than the client's");
    let get = get.ok();
    expected["actions"] = get["actions"].clone();
    assert_eq!(get, expected);
    for list in ["/v1/subscriptions?status=active".to_owned(), world.customer("/subscriptions?status=active")] {
        let list = world.admin.get(&list).await.ok();
        assert!(list["data"].as_array().unwrap().contains(&get), "{list}");
    }
    let pending = world.admin.get("/v1/subscriptions?status=pending").await.ok();
    assert_eq!(pending["data"], json!([]));
    let offer = get["actions"].as_array().unwrap().iter().find(|offer| offer["action"] == "cancel").unwrap();
    assert_eq!(offer["allowed"], false, "{offer}");
    assert_eq!(charges(&world, &path).await.len(), 1, "starting causes no new charge");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_after_a_pending_subscriptions_first_day_finds_it_active_whatever_it_asks() {
    let world = World::new().await;
    for request in ["get", "list", "cancel", "suspend", "allocate", "update"] {
        on_day(&world.server, "2027-01-01");
        let path = subscribe(&world, json!({ "start_date": "2027-01-02" })).await;
        on_day(&world.server, "2027-01-02");
        match request {
            "get" => assert_eq!(world.admin.get(&path).await.ok()["status"], "active"),
            "list" => {
                let active = world.admin.get(&world.customer("/subscriptions?status=active&sort=-created_at")).await;
                assert_eq!(active.ok()["data"][0]["id"], path.rsplit('/').next().unwrap());
            }
            "cancel" => {
                let problem = world.admin.act(&format!("{path}/cancel")).await.problem(409, "invalid_transition");
                assert!(problem["detail"].as_str().unwrap().contains("is active"), "{problem}");
            }
            "suspend" => assert_eq!(world.admin.act(&format!("{path}/suspend")).await.ok()["version"], 3),
            "allocate" => assert_eq!(allocate(&world.admin, &path, 1, "first day").await["quantity"], 1),
            _ => assert_eq!(world.admin.patch(&path, json!({ "external_id": "x" })).await.ok()["status"], "active"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_that_ends_is_followed_by_one_that_is_paid_in_full() {
    let world = World::new().await;
    let lines = json!([
        { "certificate_type": "dv", "quantity": 5, "renewal_quantity": 7 },
        { "certificate_type": "ov", "quantity": 3 },
    ]);
    let path = subscribe(&world, json!({ "term_months": 1, "inventory": lines })).await;
    let before = world.admin.get(&path).await.ok();
    world.server.clock.set("2027-01-31T23:59:59.999999Z".parse().unwrap());
    assert_eq!(world.admin.get(&path).await.ok()["version"], before["version"]);
    on_day(&world.server, "2027-02-03");

    let renewed = world.admin.get(&path).await.ok();
    let term = json!({ "number": 2, "months": 1, "start_date": "2027-02-01", "end_date": "2027-03-01" });
    assert_eq!((&renewed["status"], &renewed["term"]), (&json!("active"), &term));
    assert_eq!(renewed["version"].as_i64(), before["version"].as_i64().map(|version| version + 1));
    assert_eq!(renewed["updated_at"], "2027-02-01T00:00:00Z");
    let quantities = json!([renewed["inventory"][0]["current"], renewed["inventory"][0]["renewal"]]);
    let dv = json!({ "quantity": 7, "used": 0, "available": 7, "overage": 0 });
    assert_eq!(quantities, json!([dv, { "quantity": 7, "effective_quantity": 7 }]), "an explicit quantity stays");
    assert_eq!(renewed["inventory"][1], before["inventory"][1]);

    let order = &orders(&world, &path).await[0];
    let of_order = json!([order["kind"], order["confirmed_by"], order["confirmed_at"], order["total"]["amount"]]);
    assert_eq!(of_order, json!(["renewal", "system", "2027-02-01T00:00:00Z", 7 * 990 + 3 * 2500]));
    let quoted = order["lines"].as_array().unwrap().iter().map(|line| {
        let calculation = &line["calculation"];
        assert_eq!(line["bucket"], "current");
        assert_eq!([&calculation["remaining_days"], &calculation["term_days"]], [28, 28], "the whole February");
        json!([line["certificate_type"], line["quantity_before"], line["quantity_after"], line["amount"]["amount"]])
    });
    assert_eq!(quoted.collect::<Vec<_>>(), [json!(["dv", 5, 7, 7 * 990]), json!(["ov", 3, 3, 3 * 2500])]);
    assert_eq!(world.admin.get(&format!("/v1/orders/{}", id(&order["id"]))).await.ok(), *order);

    let charged = charges(&world, &path).await;
    let new = charged.iter().filter(|charge| charge["order_id"] == order["id"]);
    let mut new: Vec<_> =
        new.map(|charge| json!([charge["amount"]["amount"], charge["due_date"], charge["status"]])).collect();
    new.sort_by_key(|charge| charge[0].as_i64());
    assert_eq!(new, [json!([6930, "2027-02-01", "pending"]), json!([7500, "2027-02-01", "pending"])]);
    assert_eq!(charged.len(), 4, "including those of the first term");

    let terms = all(&world.admin, &format!("{path}/terms")).await;
    let seen: Vec<_> = terms.iter().map(|term| json!([term["number"], term["start_date"], term["end_date"]])).collect();
    assert_eq!(seen, [json!([2, "2027-02-01", "2027-03-01"]), json!([1, "2027-01-01", "2027-02-01"])]);
    let ledger = all(&world.admin, &format!("{path}/inventory/ledger")).await;
    let entry = json!([ledger[0]["measure"], ledger[0]["before"], ledger[0]["after"], ledger[0]["occurred_at"]]);
    assert_eq!(entry, json!(["current", 5, 7, "2027-02-01T00:00:00Z"]), "the only number that changed");
    assert_eq!((&ledger[0]["order_id"], &ledger[0]["actor"]), (&order["id"], &json!("system")));
    assert_ledger_adds_up(&world.admin, &path).await;
}

/// Sets all prices of the product to an amount in cents.
async fn reprice(world: &World, amount: i64) {
    let mut prices = product("tls")["prices"].clone();
    prices.as_array_mut().unwrap().iter_mut().for_each(|price| price["unit_price"]["amount"] = json!(amount));
    let path = format!("/v1/products/{}", id(&world.product_id));
    world.admin.patch(&path, json!({ "prices": prices })).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_costs_what_the_product_costs_on_its_day() {
    let world = World::new().await;
    let path = monthly(&world).await;
    on_day(&world.server, "2027-01-15");
    reprice(&world, 1111).await;
    // The running term keeps the prices of its start: 990 for 17 of 31 days.
    let more = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    let order = world.admin.post(&format!("{path}/inventory/current"), more).await.created();
    assert_eq!(order["total"]["amount"], 543);
    on_day(&world.server, "2027-02-20");
    assert_eq!(orders(&world, &path).await[0]["total"]["amount"], 6 * 1111);
    let terms = all(&world.admin, &format!("{path}/terms")).await;
    let dv: Vec<_> = terms.iter().map(|term| &term["prices"][0]["unit_price"]["amount"]).collect();
    assert_eq!(dv, [1111, 990], "newest first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_price_does_not_touch_a_renewal_that_was_due_before_it() {
    let world = World::new().await;
    let path = monthly(&world).await;
    on_day(&world.server, "2027-03-10");
    // There was no request for the subscription since January.
    reprice(&world, 1111).await;
    let amounts = async || -> Vec<Value> {
        orders(&world, &path).await.iter().map(|order| order["total"]["amount"].clone()).collect()
    };
    assert_eq!(amounts().await, [5 * 990, 5 * 990, 5 * 990]);
    on_day(&world.server, "2027-04-01");
    assert_eq!(amounts().await, [5 * 1111, 5 * 990, 5 * 990, 5 * 990]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_renew_expires_and_costs_nothing() {
    let world = World::new().await;
    for (year, switched_off) in [(2027, true), (2029, false)] {
        on_day(&world.server, &format!("{year}-01-01"));
        let path = monthly(&world).await;
        if switched_off {
            world.admin.patch(&path, json!({ "auto_renew": false })).await.ok();
        } else {
            set_renewal(&world, &path, json!(0)).await;
        }
        allocate(&world.admin, &path, 2, "in use").await;
        let before = world.admin.get(&path).await.ok();
        let (orders_before, charges_before) = (orders(&world, &path).await, charges(&world, &path).await);
        on_day(&world.server, &format!("{year}-02-01"));
        let expired = world.admin.get(&path).await.ok();
        assert_eq!(
            (&expired["status"], &expired["updated_at"]),
            (&json!("expired"), &json!(format!("{year}-02-01T00:00:00Z")))
        );
        assert_eq!(
            (&expired["term"], &expired["inventory"]),
            (&before["term"], &before["inventory"]),
            "it stays recorded"
        );
        assert!(expired["actions"].as_array().unwrap().iter().all(|offer| offer["allowed"] == false), "{expired}");
        assert_eq!((orders(&world, &path).await, charges(&world, &path).await), (orders_before, charges_before));
        on_day(&world.server, &format!("{}-12-31", year + 1));
        assert_eq!(world.admin.get(&path).await.ok(), expired, "it stays so");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn renewing_fewer_than_are_in_use_leaves_an_overage_and_nothing_to_allocate() {
    let world = World::new().await;
    let path = monthly(&world).await;
    allocate(&world.admin, &path, 4, "four").await;
    set_renewal(&world, &path, json!(1)).await;
    on_day(&world.server, "2027-02-01");
    let one = json!({ "certificate_type": "dv", "reference": "one more" });
    world.admin.post(&format!("{path}/allocations"), one.clone()).await.problem(409, "inventory_exhausted");
    let line = &world.admin.get(&path).await.ok()["inventory"][0];
    assert_eq!(line["current"], json!({ "quantity": 1, "used": 4, "available": 0, "overage": 3 }));
    assert_eq!(orders(&world, &path).await[0]["total"]["amount"], 990, "the manual renewal");
    let four = &all(&world.admin, &format!("{path}/allocations")).await[0];
    world.admin.act(&format!("/v1/allocations/{}/release", id(&four["id"]))).await.ok();
    world.admin.post(&format!("{path}/allocations"), one).await.created();
    assert_ledger_adds_up(&world.admin, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_subscription_lapses_and_can_be_renewed_for_90_days() {
    let world = World::new().await;
    for (day, renews) in [("2027-02-01", true), ("2027-05-01", true), ("2027-05-02", false), ("2028-05-02", false)] {
        on_day(&world.server, "2027-01-01");
        let path = monthly(&world).await;
        world.admin.act(&format!("{path}/suspend")).await.ok();
        let before = world.admin.get(&path).await.ok();
        on_day(&world.server, day);
        let seen = world.admin.get(&path).await.ok();
        assert_eq!(charges(&world, &path).await.len(), 1, "there was no automatic charge");
        if !renews {
            assert_eq!((&seen["status"], &seen["lapsed"]), (&json!("expired"), &json!(false)), "{day}");
            assert_eq!(seen["updated_at"], "2027-05-02T00:00:00Z", "{day}");
            world.admin.act(&format!("{path}/renew")).await.problem(409, "invalid_transition");
            continue;
        }
        assert_eq!((&seen["status"], &seen["lapsed"]), (&json!("suspended"), &json!(true)), "{day}");
        assert_eq!(seen["updated_at"], "2027-02-01T00:00:00Z", "{day}");
        assert_eq!((&seen["suspended"], &seen["inventory"]), (&before["suspended"], &before["inventory"]));
        world.admin.act(&format!("{path}/enable")).await.problem(409, "term_ended");
        let renewed = world.admin.act(&format!("{path}/renew")).await.ok();
        assert_eq!((&renewed["status"], &renewed["term"]["start_date"]), (&json!("active"), &json!(day)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lapse_terms_are_counted_from_the_day_of_the_renewal() {
    let world = World::new().await;
    let path = monthly(&world).await;
    world.admin.act(&format!("{path}/suspend")).await.ok();
    on_day(&world.server, "2027-03-31");
    world.admin.act(&format!("{path}/renew")).await.ok();
    on_day(&world.server, "2027-07-15");
    let starts: Vec<_> =
        all(&world.admin, &format!("{path}/terms")).await.iter().map(|it| it["start_date"].clone()).collect();
    assert_eq!(starts, ["2027-06-30", "2027-05-31", "2027-04-30", "2027-03-31", "2027-01-01"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_whose_last_subscription_has_just_expired_can_be_archived() {
    let world = World::new().await;
    let customer = world.admin.post("/v1/customers", company("Ends")).await.created();
    let path = format!("/v1/customers/{}", id(&customer["id"]));
    let mut body = basket(&world.product_id, 1);
    body["auto_renew"] = json!(false);
    world.admin.post(&format!("{path}/subscriptions"), body).await.created();
    on_day(&world.server, "2027-12-31");
    world.admin.act(&format!("{path}/archive")).await.problem(409, "has_open_subscriptions");
    on_day(&world.server, "2028-01-01");
    assert_eq!(world.admin.act(&format!("{path}/archive")).await.ok()["status"], "archived");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_from_before_a_renewal_is_stale_after_it() {
    let world = World::new().await;
    let path = monthly(&world).await;
    let mut more = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    on_day(&world.server, "2027-01-31");
    let quote = world.admin.post(&format!("{path}/inventory/current/preview"), more.clone()).await.ok();
    more["digest"] = quote["digest"].clone();
    on_day(&world.server, "2027-02-01");
    let stale = world.admin.post(&format!("{path}/inventory/current"), more).await.problem(409, "quote_stale");
    assert_eq!(stale["quote"]["total"]["amount"], 990, "a whole month now");
    let one = world.admin.with("if-match", "\"1\"").patch(&path, json!({ "external_id": "late" })).await;
    one.problem(412, "version_mismatch");
}
