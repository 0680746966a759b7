//! Invoices: their fields, and their states: created, emailed and paid, or void.

use partner_platform::domain::authorization::Role;
use serde_json::{Value, json};

use crate::concurrency::{ROUNDS, act, at_once, successes};
use crate::steps::{all, on_day};
use crate::support::Client;
use crate::support::world::{World, basket, bill, id};

fn path(invoice_id: &Value, rest: &str) -> String {
    format!("/v1/invoices/{}{rest}", id(invoice_id))
}

/// Bills the three charges of 1 January, and returns the invoice.
async fn billed(world: &World) -> Value {
    let id = bill(&world.admin).await;
    world.admin.get(&path(&id, "")).await.ok()
}

async fn charges_of(client: &Client, invoice_id: &Value) -> Vec<Value> {
    all(client, "/v1/charges").await.into_iter().filter(|charge| charge["invoice_id"] == *invoice_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_shows_what_was_charged_and_to_whom() {
    let world = World::new().await;
    let invoice = billed(&world).await;
    assert_eq!((&invoice["number"], &invoice["status"]), (&json!("INV-2027-000001"), &json!("created")));
    assert_eq!((&invoice["customer_id"], &invoice["through"]), (&world.customer_id, &json!("2027-01-01")));
    assert_eq!(invoice["bill_to"]["company_name"], "Northwind");
    assert_eq!(invoice["bill_to"]["address"]["city"], "Antwerp");
    assert_eq!(invoice["total"], json!({ "amount": 50 * 9900 + 10 * 25_000 + 5 * 9900, "currency": "USD" }));
    for field in ["emailed_at", "paid_at", "voided"] {
        assert_eq!(invoice[field], Value::Null, "{field}");
    }

    let mut charges = charges_of(&world.admin, &invoice["id"]).await;
    charges.reverse();
    let lines = invoice["lines"].as_array().unwrap();
    assert_eq!((lines.len(), charges.len()), (3, 3));
    for (line, charge) in lines.iter().zip(&charges) {
        assert_eq!((&line["charge_id"], &charge["status"]), (&charge["id"], &json!("invoiced")));
        for field in ["order_id", "subscription_id", "certificate_type", "calculation", "amount", "due_date"] {
            assert_eq!(line[field], charge[field], "{field}");
        }
        assert_eq!((&line["product_id"], &line["product_name"]), (&world.product_id, &json!("Product tls")));
    }

    let list = all(&world.admin, "/v1/invoices").await;
    let listed = list[0].as_object().unwrap();
    assert_eq!((list.len(), &listed["line_count"], listed.get("lines")), (3, &json!(3), None));
    for (field, value) in listed.iter().filter(|(field, _)| *field != "line_count") {
        assert_eq!(invoice[field], *value, "{field} is the same in the list");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_stays_as_it_was_issued() {
    let world = World::new().await;
    let before = billed(&world).await;
    let address = json!({ "company_name": "Renamed", "address": { "city": "Ghent" }, "contact": { "name": "Ada" } });
    world.admin.patch(&world.customer(""), address).await.ok();
    let product = format!("/v1/products/{}", id(&world.product_id));
    world.admin.patch(&product, json!({ "name": "Renamed" })).await.ok();
    assert_eq!(world.admin.get(&path(&before["id"], "")).await.ok(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_emailed_then_paid_and_that_is_final() {
    let world = World::new().await;
    let created = billed(&world).await;
    let act = async |action: &str| world.admin.act(&path(&created["id"], action)).await;

    on_day(&world.server, "2027-01-03");
    let emailed = act("/mark-emailed").await.ok();
    assert_eq!((&emailed["status"], &emailed["version"]), (&json!("emailed"), &json!(2)));
    assert_eq!(emailed["emailed_at"], "2027-01-03T12:00:00Z");
    on_day(&world.server, "2027-01-20");
    assert_eq!(act("/mark-emailed").await.ok(), emailed, "repeating it changes nothing");

    let paid = act("/mark-paid").await.ok();
    assert_eq!((&paid["status"], &paid["version"]), (&json!("paid"), &json!(3)));
    assert_eq!((&paid["emailed_at"], &paid["paid_at"]), (&emailed["emailed_at"], &json!("2027-01-20T12:00:00Z")));
    assert_eq!((&paid["lines"], &paid["total"]), (&created["lines"], &created["total"]));
    assert_eq!(act("/mark-paid").await.ok(), paid, "repeating it changes nothing");

    for action in ["/mark-emailed", "/void"] {
        let problem = act(action).await.problem(409, "invalid_transition");
        assert!(problem["detail"].as_str().unwrap().contains("The invoice is paid"), "{problem}");
        assert!(problem["actions"].as_array().unwrap().iter().all(|action| action["allowed"] == false), "{problem}");
    }
    assert_eq!(world.admin.get(&path(&created["id"], "")).await.ok(), paid);
    assert!(charges_of(&world.admin, &created["id"]).await.iter().all(|charge| charge["status"] == "invoiced"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_was_not_emailed_cannot_be_paid() {
    let world = World::new().await;
    let problem = world.admin.act(&path(&world.invoice_id, "/mark-paid")).await.problem(409, "invalid_transition");
    let allowed = problem["actions"].as_array().unwrap().iter().filter(|action| action["allowed"] == true);
    let allowed: Vec<_> = allowed.map(|action| action["action"].as_str().unwrap()).collect();
    assert_eq!(allowed, ["mark_emailed", "void"]);
    for action in ["/mark-emailed", "/mark-paid"] {
        world.admin.act(&path(&world.void_invoice_id, action)).await.problem(409, "invalid_transition");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_void_invoice_had_taken_is_billed_again_under_another_number() {
    let world = World::new().await;
    let before = billed(&world).await;
    world.admin.act(&path(&before["id"], "/mark-emailed")).await.ok();
    let reason = json!({ "reason": "Wrong address" });
    let voided = world.admin.post(&path(&before["id"], "/void"), reason).await.ok();
    assert_eq!((&voided["status"], &voided["version"]), (&json!("void"), &json!(3)));
    assert_eq!(voided["voided"], json!({ "at": "2027-01-01T12:00:00Z", "reason": "Wrong address" }));
    assert_eq!(voided["emailed_at"], "2027-01-01T12:00:00Z", "it stays recorded that the customer has received it");
    assert_eq!((&voided["lines"], &voided["total"]), (&before["lines"], &before["total"]));
    let again = world.admin.post(&path(&before["id"], "/void"), json!({ "reason": "Other words" })).await.ok();
    assert_eq!(again, voided, "repeating it changes nothing");

    let pending = all(&world.admin, "/v1/charges").await.into_iter().filter(|charge| charge["status"] == "pending");
    assert_eq!(pending.filter(|charge| charge["invoice_id"].is_null()).count(), 4, "three, and the one of February");
    let next = billed(&world).await;
    assert_eq!(next["number"], "INV-2027-000002");
    assert_eq!((&next["lines"], &next["total"]), (&before["lines"], &before["total"]));
    assert_eq!(world.admin.get(&path(&before["id"], "")).await.ok(), voided, "the void invoice keeps its lines");
    assert_eq!(charges_of(&world.admin, &before["id"]).await, [] as [Value; 0]);
    assert_eq!(charges_of(&world.admin, &next["id"]).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partners_billing_writes_invoices_and_resellers_read_their_own_customers() {
    let world = World::new().await;
    let billing = world.server.client(Role::Billing, None).await;
    let invoice = path(&bill(&billing).await, "");
    billing.act(&format!("{invoice}/mark-emailed")).await.ok();
    assert_eq!(world.own.get("/v1/invoices").await.ok()["data"].as_array().unwrap().len(), 3);
    let actions = world.own.get(&invoice).await.ok()["actions"].clone();
    assert!(actions.as_array().unwrap().iter().all(|action| action["code"] == "forbidden"), "{actions}");
    world.other.get(&invoice).await.problem(404, "not_found");
    for role in [Role::Technician, Role::Sales] {
        let client = world.server.client(role, None).await;
        client.get(&invoice).await.ok();
        client.act("/v1/invoices/run").await.problem(403, "forbidden");
    }
    world.own.act(&format!("{invoice}/void")).await.problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_paid_or_void_but_not_both() {
    let world = World::new().await;
    let subscriptions = format!("/v1/customers/{}/subscriptions", id(&world.idle_customer_id));
    for round in 0..ROUNDS {
        world.admin.post(&subscriptions, basket(&world.product_id, 1)).await.created();
        let invoice_id = bill(&world.admin).await;
        world.admin.act(&path(&invoice_id, "/mark-emailed")).await.ok();
        let paths = ["/mark-paid", "/void", "/mark-paid", "/void"].map(|action| path(&invoice_id, action));
        let answers = at_once(paths.iter().map(|path| act(&world.admin, path))).await;
        let states: Vec<_> =
            answers.iter().filter(|answer| answer.status == 200).map(|it| &it.body["status"]).collect();
        assert!(states.windows(2).all(|two| two[0] == two[1]), "round {round}: {states:?}");
        let state = states[0].clone();
        assert_eq!(successes(answers, 409, "invalid_transition"), 2, "the two that requested the same");
        let invoice = world.admin.get(&path(&invoice_id, "")).await.ok();
        assert_eq!((&invoice["status"], &invoice["version"]), (&state, &json!(3)));
        let kept = charges_of(&world.admin, &invoice_id).await.len();
        assert_eq!(kept, if state == "paid" { invoice["lines"].as_array().unwrap().len() } else { 0 });
    }
}
