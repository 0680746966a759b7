//! Customers: their reseller, their administration, their currency, and when they can be archived. What they have in
//! common with resellers is tested in `companies.rs`.

use partner_platform::domain::authorization::Role;
use serde_json::{Value, json};

use crate::support::world::{World, basket, company, id};
use crate::support::{Client, Server};

const UNKNOWN: &str = "01990000-0000-7000-8000-000000000000";

fn at(pointer: &str, code: &str) -> [(String, String); 1] {
    [(pointer.to_owned(), code.to_owned())]
}

/// A company with additional fields.
fn with(fields: Value) -> Value {
    let mut body = company("Northwind");
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

async fn create(client: &Client, fields: Value) -> (String, Value) {
    let customer = client.post("/v1/customers", with(fields)).await.created();
    (format!("/v1/customers/{}", id(&customer["id"])), customer)
}

fn action<'a>(resource: &'a Value, name: &str) -> Option<&'a str> {
    let actions = resource["actions"].as_array().unwrap();
    let action = actions.iter().find(|action| action["action"] == name).expect("the action is listed");
    assert_eq!(action["allowed"] == json!(true), action.get("code").is_none(), "{action}");
    action.get("code").map(|code| code.as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_customer_is_the_partners_active_and_pays_in_the_default_currency() {
    let server = Server::start().await;
    let (_, customer) = create(&server.admin().await, json!({})).await;
    for (field, value) in [
        ("partner_id", Value::Null),
        ("administration", json!("partner")),
        ("admin_email", Value::Null),
        ("currency", json!("USD")),
        ("status", json!("active")),
    ] {
        assert_eq!(customer[field], value, "{field}");
    }
    let given = json!({ "administration": "customer", "admin_email": "it@northwind.example", "currency": "JPY" });
    let (path, customer) = create(&server.admin().await, given.clone()).await;
    for (field, value) in given.as_object().unwrap() {
        assert_eq!(customer[field], *value, "{field}");
    }
    assert_eq!(server.admin().await.get(&path).await.ok(), customer);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrators_address_goes_with_administration_by_the_customer() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let email = json!("it@northwind.example");
    for (administration, admin_email, code) in
        [(json!("partner"), email.clone(), "not_allowed"), (json!("customer"), Value::Null, "required")]
    {
        let mut body = with(json!({ "administration": administration }));
        if !admin_email.is_null() {
            body["admin_email"] = admin_email;
        }
        assert_eq!(admin.post("/v1/customers", body).await.violations(), at("/admin_email", code));
    }
    let found = admin.post("/v1/customers", with(json!({ "admin_email": email }))).await.violations();
    assert_eq!(found, at("/admin_email", "not_allowed"), "the default administration is the provider");

    let (theirs, _) = create(&admin, json!({ "administration": "customer", "admin_email": email })).await;
    let (ours, _) = create(&admin, json!({})).await;
    let before = server.database.fingerprint().await;
    let found = admin.patch(&theirs, json!({ "admin_email": null })).await.violations();
    assert_eq!(found, at("/admin_email", "required"));
    let found = admin.patch(&ours, json!({ "admin_email": email })).await.violations();
    assert_eq!(found, at("/admin_email", "not_allowed"));
    for path in [&theirs, &ours] {
        let found = admin.patch(path, json!({ "administration": "partner" })).await.violations();
        assert_eq!(found, at("/administration", "immutable_field"));
    }
    assert_eq!(before, server.database.fingerprint().await, "nothing changed");
    let changed = admin.patch(&theirs, json!({ "admin_email": "new@northwind.example" })).await.ok();
    assert_eq!(changed["admin_email"], "new@northwind.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resellers_key_creates_its_own_customers_only() {
    let world = World::new().await;
    assert_eq!(create(&world.own, json!({})).await.1["partner_id"], world.reseller_id);
    let named = json!({ "partner_id": world.reseller_id });
    assert_eq!(create(&world.own, named).await.1["partner_id"], world.reseller_id);
    let before = world.server.database.fingerprint().await;
    for other in [&world.other_reseller_id, &json!(UNKNOWN)] {
        let body = with(json!({ "partner_id": other }));
        assert_eq!(world.own.post("/v1/customers", body).await.violations(), at("/partner_id", "unknown_reference"));
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resellers_key_cannot_give_a_customer_away() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for (to, code) in [
        (Value::Null, "not_allowed"),
        (world.other_reseller_id.clone(), "unknown_reference"),
        (json!(UNKNOWN), "unknown_reference"),
    ] {
        let found = world.own.patch(&world.customer(""), json!({ "partner_id": to })).await.violations();
        assert_eq!(found, at("/partner_id", code), "{to}");
    }
    world.own.patch(&world.customer(""), json!({ "partner_id": world.reseller_id })).await.ok();
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_customer_is_seen_by_its_new_reseller_alone() {
    let world = World::new().await;
    let customer = world.customer("");
    let moved = world.admin.patch(&customer, json!({ "partner_id": world.other_reseller_id })).await.ok();
    assert_eq!((&moved["partner_id"], &moved["version"]), (&world.other_reseller_id, &json!(2)));
    world.own.get(&customer).await.problem(404, "not_found");
    world.own.get(&world.active("")).await.problem(404, "not_found");
    world.other.get(&world.active("")).await.ok();
    world.other.act(&world.active("/suspend")).await.ok();
    let orders = world.other.get("/v1/orders").await.ok();
    assert!(orders["data"].as_array().unwrap().iter().any(|order| order["id"] == world.order_id));

    let back = world.admin.patch(&customer, json!({ "partner_id": null })).await.ok();
    assert_eq!(back["partner_id"], Value::Null);
    for client in [&world.own, &world.other] {
        client.get(&customer).await.problem(404, "not_found");
    }
    let found = world.admin.patch(&customer, json!({ "partner_id": UNKNOWN })).await.violations();
    assert_eq!(found, at("/partner_id", "unknown_reference"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_reseller_gets_no_customers_and_keeps_those_it_has() {
    let world = World::new().await;
    let (free, _) = create(&world.admin, json!({})).await;
    world.admin.act(&format!("/v1/resellers/{}/disable", id(&world.reseller_id))).await.ok();
    let before = world.server.database.fingerprint().await;
    let to_it = json!({ "partner_id": world.reseller_id });
    world.admin.post("/v1/customers", with(to_it.clone())).await.problem(403, "reseller_disabled");
    world.admin.patch(&free, to_it.clone()).await.problem(403, "reseller_disabled");
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
    // Setting the present reseller again is not a change of the reseller.
    let renamed = json!({ "partner_id": world.reseller_id, "company_name": "Renamed" });
    assert_eq!(world.admin.patch(&world.customer(""), renamed).await.ok()["company_name"], "Renamed");
    world.admin.patch(&world.customer(""), json!({ "partner_id": world.other_reseller_id })).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_id_is_its_resellers_own() {
    let world = World::new().await;
    let same = json!({ "external_id": "crm-1" });
    let (own, _) = create(&world.own, same.clone()).await;
    create(&world.other, same.clone()).await;
    create(&world.admin, same.clone()).await;
    for client in [&world.own, &world.other, &world.admin] {
        client.post("/v1/customers", with(same.clone())).await.problem(409, "duplicate_external_id");
        let found = client.get("/v1/customers?external_id=crm-1").await.ok();
        let rows = found["data"].as_array().unwrap().len();
        assert_eq!(rows, if std::ptr::eq(client, &world.admin) { 3 } else { 1 });
    }
    let before = world.server.database.fingerprint().await;
    let to_other = json!({ "partner_id": world.other_reseller_id });
    world.admin.patch(&own, to_other).await.problem(409, "duplicate_external_id");
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_currency_is_fixed_once_there_is_an_order() {
    let world = World::new().await;
    let (path, _) = create(&world.admin, json!({})).await;
    assert_eq!(world.admin.patch(&path, json!({ "currency": "EUR" })).await.ok()["currency"], "EUR");
    world.admin.post(&format!("{path}/subscriptions/preview"), basket(&world.product_id, 1)).await.ok();
    world.admin.patch(&path, json!({ "currency": "USD" })).await.ok();
    world.admin.patch(&path, json!({ "currency": "EUR" })).await.ok();
    let added = world.admin.post(&format!("{path}/subscriptions"), basket(&world.product_id, 1)).await.created();
    assert_eq!(added["order"]["total"]["currency"], "EUR");
    let before = world.server.database.fingerprint().await;
    world.admin.patch(&path, json!({ "currency": "USD" })).await.problem(409, "currency_fixed");
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
    let same = json!({ "currency": "EUR", "company_name": "Renamed" });
    assert_eq!(world.admin.patch(&path, same).await.ok()["company_name"], "Renamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_with_open_subscriptions_is_not_archived() {
    let world = World::new().await;
    for later in [false, true] {
        let (path, _) = create(&world.admin, json!({})).await;
        let mut body = basket(&world.product_id, 1);
        if later {
            body["subscriptions"][0]["start_date"] = json!("2027-02-01");
        }
        let added = world.admin.post(&format!("{path}/subscriptions"), body).await.created();
        let subscription = format!("/v1/subscriptions/{}", id(&added["subscriptions"][0]["id"]));
        let problem = world.admin.act(&format!("{path}/archive")).await.problem(409, "has_open_subscriptions");
        assert_eq!(action(&problem, "archive"), Some("has_open_subscriptions"));
        assert_eq!(action(&world.admin.get(&path).await.ok(), "archive"), Some("has_open_subscriptions"));
        if later {
            world.admin.act(&format!("{subscription}/cancel")).await.ok();
            assert_eq!(action(&world.admin.get(&path).await.ok(), "archive"), None);
            assert_eq!(world.admin.act(&format!("{path}/archive")).await.ok()["status"], "archived");
        } else {
            world.admin.act(&format!("{subscription}/suspend")).await.ok();
            world.admin.act(&format!("{path}/archive")).await.problem(409, "has_open_subscriptions");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_customer_is_readable_and_nothing_else_until_it_is_restored() {
    let world = World::new().await;
    let path = format!("/v1/customers/{}", id(&world.idle_customer_id));
    let subscriptions = format!("{path}/subscriptions");
    let answer = world.own.with("if-match", "\"1\"").act(&format!("{path}/archive")).await;
    assert_eq!(answer.header("etag"), "\"2\"");
    let archived = answer.ok();
    assert_eq!((&archived["status"], &archived["version"]), (&json!("archived"), &json!(2)));
    assert_eq!(world.own.act(&format!("{path}/archive")).await.ok(), archived, "the customer is already archived");
    assert_eq!(world.own.get(&path).await.ok(), archived);

    let before = world.server.database.fingerprint().await;
    world.own.patch(&path, json!({ "company_name": "Other" })).await.problem(409, "customer_archived");
    world.own.post(&subscriptions, basket(&world.product_id, 1)).await.problem(409, "customer_archived");
    let preview = world.own.post(&format!("{subscriptions}/preview"), basket(&world.product_id, 1)).await;
    preview.problem(409, "customer_archived");
    assert_eq!(world.own.get(&format!("{path}/available-products")).await.ok()["data"], json!([]));
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");

    let restored = world.own.act(&format!("{path}/restore")).await.ok();
    assert_eq!((&restored["status"], &restored["version"]), (&json!("active"), &json!(3)));
    assert_eq!(world.own.act(&format!("{path}/restore")).await.ok(), restored, "the customer is already active");
    world.own.post(&subscriptions, basket(&world.product_id, 1)).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_for_the_state_and_the_callers_own_role() {
    let world = World::new().await;
    let path = format!("/v1/customers/{}", id(&world.idle_customer_id));
    for (role, edits, sells) in [
        (Role::Admin, true, true),
        (Role::Sales, true, true),
        (Role::Technician, true, false),
        (Role::Billing, false, false),
    ] {
        for reseller in [None, Some(&world.reseller_id)] {
            let client = world.server.client(role, reseller).await;
            let if_may = |may: bool, code| if may { code } else { Some("forbidden") };
            let seen = client.get(&path).await.ok();
            assert_eq!(action(&seen, "archive"), if_may(edits, None), "{role}");
            assert_eq!(action(&seen, "restore"), if_may(edits, Some("invalid_transition")), "{role}");
            assert_eq!(action(&seen, "add_subscriptions"), if_may(sells, None), "{role}");
            assert_eq!(client.act(&format!("{path}/archive")).await.status, if edits { 200 } else { 403 }, "{role}");
            world.admin.act(&format!("{path}/archive")).await.ok();
            let seen = client.get(&path).await.ok();
            assert_eq!(action(&seen, "archive"), if_may(edits, Some("invalid_transition")), "{role}");
            assert_eq!(action(&seen, "restore"), if_may(edits, None), "{role}");
            assert_eq!(action(&seen, "add_subscriptions"), if_may(sells, Some("customer_archived")), "{role}");
            world.admin.act(&format!("{path}/restore")).await.ok();
        }
    }
}
