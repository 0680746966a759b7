//! Transitions that fail are recorded and retried, and do not block other subscriptions.

use partner_platform::ops::milestones;
use serde_json::{Value, json};

use crate::steps::{all, on_day, subscribe};
use crate::support::Client;
use crate::support::world::{World, id, product};

/// The maximum price of one certificate.
const DEAREST: i64 = 999_999_999_999;

/// A subscription for a month from 1 January 2027 whose renewal exceeds the maximum amount.
async fn too_dear(world: &World) -> String {
    let mut cheap = product("dear");
    cheap["certificate_types"][0]["max_quantity"] = json!(1_000_000);
    let product = world.admin.post("/v1/products", cheap.clone()).await.created();
    let inventory = json!([{ "certificate_type": "dv", "quantity": 10_000 }]);
    let item = json!({ "product_id": product["id"], "term_months": 1, "inventory": inventory });
    let path = subscribe(world, item).await;
    // While automatic renewal is off, there is no forecast of its price.
    world.admin.patch(&path, json!({ "auto_renew": false })).await.ok();
    cheap["prices"].as_array_mut().unwrap().iter_mut().for_each(|it| it["unit_price"]["amount"] = json!(DEAREST));
    let prices = json!({ "prices": cheap["prices"] });
    world.admin.patch(&format!("/v1/products/{}", id(&product["id"])), prices).await.ok();
    world.admin.patch(&path, json!({ "auto_renew": true })).await.ok();
    path
}

/// A subscription for a month from 1 January 2027 with a corrupt row.
async fn corrupt(world: &World) -> String {
    let path = subscribe(world, json!({ "term_months": 1 })).await;
    let sql = format!("UPDATE subscriptions SET unit_prices = '[1]' WHERE id = '{}'", id_in(&path));
    world.server.database.execute(&sql).await;
    path
}

fn id_in(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

async fn failures(client: &Client) -> Vec<Value> {
    all(client, "/v1/renewal-failures").await
}

/// The recorded failure of a subscription: the code, the number of attempts, and the first, last and next attempt.
async fn told(world: &World, path: &str) -> Option<Value> {
    let told = failures(&world.admin).await.into_iter().find(|it| it["subscription_id"] == id_in(path))?;
    assert_eq!(told["customer_id"], world.customer_id);
    let instants = ["first_failed_at", "last_failed_at", "next_attempt_at"].map(|field| told[field].clone());
    Some(json!([told["code"], told["due_date"], told["attempts"], instants]))
}

fn at(world: &World, instant: &str) {
    world.server.clock.set(instant.parse().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_cannot_be_billed_is_told_and_the_subscription_stays_as_it_is() {
    let world = World::new().await;
    let path = too_dear(&world).await;
    assert_eq!(failures(&world.admin).await, [] as [Value; 0], "normally there are no failures");
    let before = world.admin.get(&path).await.ok();
    on_day(&world.server, "2027-02-03");
    let noon = "2027-02-03T12:00:00Z";
    let first = json!(["amount_out_of_range", "2027-02-01", 1, [noon, noon, "2027-02-03T12:01:00Z"]]);
    assert_eq!(told(&world, &path).await, Some(first), "the first request for it makes an attempt");

    let after = world.admin.get(&path).await.ok();
    for field in ["status", "term", "inventory", "version", "updated_at"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let one = json!({ "certificate_type": "dv", "reference": "one" });
    world.admin.post(&format!("{path}/allocations"), one).await.problem(409, "term_ended");
    let orders = world.admin.get(&format!("/v1/orders?subscription_id={}", id_in(&path))).await.ok();
    assert_eq!(orders["data"].as_array().unwrap().len(), 1, "the order of the first term");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_tried_again_when_its_time_has_come_or_when_it_has_changed() {
    let world = World::new().await;
    let path = too_dear(&world).await;
    let attempts = async || told(&world, &path).await.unwrap()[2].as_i64().unwrap();
    at(&world, "2027-02-01T00:00:10Z");
    assert_eq!(attempts().await, 1);
    at(&world, "2027-02-01T00:01:09.999999Z");
    assert_eq!(attempts().await, 1, "a list makes no attempt before its time");
    milestones::drain(&world.server.context(), || false).await.unwrap();
    assert_eq!(attempts().await, 1, "neither does the worker");
    at(&world, "2027-02-01T00:01:10Z");
    milestones::drain(&world.server.context(), || false).await.unwrap();
    let second = ["2027-02-01T00:00:10Z", "2027-02-01T00:01:10Z", "2027-02-01T00:03:10Z"];
    assert_eq!(told(&world, &path).await, Some(json!(["amount_out_of_range", "2027-02-01", 2, second])));
    at(&world, "2027-02-01T00:02:00Z");
    world.admin.get(&path).await.ok();
    assert_eq!(
        attempts().await,
        2,
        "a request for the subscription makes an attempt before its time, which is not recorded"
    );
    let less = json!({ "lines": [{ "certificate_type": "dv", "quantity": 2 }] });
    world.admin.put(&format!("{path}/inventory/renewal"), less).await.ok();
    milestones::drain(&world.server.context(), || false).await.unwrap();
    assert_eq!(told(&world, &path).await, None, "after a change of the subscription, the worker does not wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_less_to_renew_the_next_request_renews_it_and_the_failure_is_gone() {
    let world = World::new().await;
    let path = too_dear(&world).await;
    on_day(&world.server, "2027-03-10");
    assert!(told(&world, &path).await.is_some());
    let less = json!({ "lines": [{ "certificate_type": "dv", "quantity": 2 }] });
    world.admin.put(&format!("{path}/inventory/renewal"), less).await.ok();
    let renewed = world.admin.get(&path).await.ok();
    assert_eq!((&renewed["status"], &renewed["term"]["number"]), (&json!("active"), &json!(3)));
    assert_eq!(renewed["term"]["start_date"], "2027-03-01");
    let orders = world.admin.get(&format!("/v1/orders?kind=renewal&subscription_id={}", id_in(&path))).await.ok();
    let seen: Vec<_> = orders["data"].as_array().unwrap().iter().map(|order| order["confirmed_at"].clone()).collect();
    assert_eq!(seen, ["2027-03-01T00:00:00Z", "2027-02-01T00:00:00Z"]);
    assert_eq!(told(&world, &path).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspending_or_no_automatic_renewal_ends_a_failure_too() {
    let world = World::new().await;
    let path = too_dear(&world).await;
    on_day(&world.server, "2027-02-03");
    assert!(told(&world, &path).await.is_some());
    world.admin.act(&format!("{path}/suspend")).await.ok();
    assert_eq!(world.admin.get(&path).await.ok()["lapsed"], true);
    assert_eq!(told(&world, &path).await, None);
    // A manual renewal costs the same.
    world.admin.act(&format!("{path}/renew")).await.problem(422, "amount_out_of_range");

    let other = World::new().await;
    let path = too_dear(&other).await;
    on_day(&other.server, "2027-02-03");
    assert!(told(&other, &path).await.is_some());
    other.admin.patch(&path, json!({ "auto_renew": false })).await.ok();
    assert_eq!(other.admin.get(&path).await.ok()["status"], "expired");
    assert_eq!(told(&other, &path).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_processed_holds_up_nobody() {
    let world = World::new().await;
    let (dear, broken) = (too_dear(&world).await, corrupt(&world).await);
    let sound = subscribe(&world, json!({ "term_months": 1 })).await;
    on_day(&world.server, "2027-02-03");
    milestones::drain(&world.server.context(), || false).await.unwrap();
    let codes = failures(&world.admin).await;
    let code = |path: &str| codes.iter().find(|it| it["subscription_id"] == id_in(path)).map(|it| it["code"].clone());
    assert_eq!((code(&dear), code(&broken)), (Some(json!("amount_out_of_range")), Some(json!("internal"))));
    assert_eq!(codes.len(), 2);
    assert_eq!(world.admin.get(&sound).await.ok()["term"]["number"], 2);
    assert_eq!(world.admin.get(&format!("/v1/subscriptions/{}", id(&world.pending_id))).await.ok()["status"], "active");

    on_day(&world.server, "2027-03-03");
    for list in ["/v1/customers", "/v1/orders", "/v1/charges", "/v1/renewal-failures"] {
        world.admin.get(list).await.ok();
    }
    world.admin.get(&world.customer("")).await.ok();
    let due =
        format!("SELECT string_agg(id::text, ' ' ORDER BY id) FROM subscriptions WHERE due_date <= '{}'", "2027-03-03");
    let mut still = [id_in(&dear), id_in(&broken)];
    still.sort_unstable();
    assert_eq!(world.server.database.text(&due).await, still.join(" "));
    // The corrupt subscription cannot be shown, either.
    world.admin.get(&broken).await.problem(500, "internal");

    let mended = "UPDATE subscriptions SET unit_prices = '{\"dv\": {\"amount\": 990}, \"ov\": {\"amount\": 2500}}' WHERE unit_prices = '[1]'";
    world.server.database.execute(mended).await;
    assert_eq!(world.admin.get(&broken).await.ok()["term"]["number"], 3, "after its repair, it is brought up to date");
    assert_eq!(failures(&world.admin).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_date_that_a_hand_has_changed_is_a_failure_and_no_endless_work() {
    let world = World::new().await;
    let sql = format!("UPDATE subscriptions SET due_date = '2027-01-05' WHERE id = '{}'", id(&world.active_id));
    world.server.database.execute(&sql).await;
    on_day(&world.server, "2027-02-01");
    let cx = world.server.context();
    let drained = tokio::time::timeout(std::time::Duration::from_secs(60), milestones::drain(&cx, || false)).await;
    drained.expect("the run ends").unwrap();
    assert_eq!(world.admin.get(&format!("/v1/subscriptions/{}", id(&world.pending_id))).await.ok()["status"], "active");
    assert_eq!(told(&world, &world.active("")).await.unwrap()[0], "internal");
    assert_eq!(world.admin.get(&world.active("")).await.ok()["status"], "active", "it is not due, and can be used");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_is_told_of_its_own_failures_page_by_page() {
    let world = World::new().await;
    let (first, second) = (too_dear(&world).await, corrupt(&world).await);
    on_day(&world.server, "2027-02-03");
    let seen = failures(&world.admin).await;
    let mut expected = [id_in(&first), id_in(&second)];
    expected.sort_unstable();
    assert_eq!(seen.iter().map(|it| it["subscription_id"].as_str().unwrap()).collect::<Vec<_>>(), expected);
    assert_eq!(failures(&world.own).await, seen);
    assert_eq!(failures(&world.other).await, [] as [Value; 0]);

    let page = world.admin.get("/v1/renewal-failures?limit=1").await.ok();
    assert_eq!(page["data"], json!([seen[0]]));
    let rest = format!("/v1/renewal-failures?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(world.admin.get(&rest).await.ok(), json!({ "data": [seen[1]], "next_cursor": null }));
}
