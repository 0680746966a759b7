//! Webhook deliveries: which messages are sent to which endpoint, their signatures, and what the tenant can see and do.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use partner_platform::domain::authorization::Role;
use partner_platform::ops::courier;
use serde_json::{Value, json};

use crate::support::world::{World, company, id};
use crate::support::{Client, Receiver, Server};

/// The machine's time, which the published library uses.
#[allow(clippy::disallowed_methods, reason = "the receiver of a webhook has no other clock")]
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// A server at the machine's time, its administrator, and a receiver.
async fn start() -> (Server, Client, Receiver) {
    let server = Server::start().await;
    server.clock.set(now());
    let admin = server.admin().await;
    (server, admin, Receiver::start().await)
}

async fn deliveries(client: &Client, endpoint: &str) -> Vec<Value> {
    client.get(&format!("{endpoint}/deliveries?limit=200")).await.ok()["data"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_sent_as_the_feed_has_it_and_the_published_library_verifies_it() {
    let (server, admin, receiver) = start().await;
    admin.post("/v1/customers", company("Before")).await.created();
    let (endpoint, secret) = receiver.endpoint(&admin, &[]).await;
    let customer = admin.with("x-request-id", "request-7").post("/v1/customers", company("Northwind")).await.created();
    server.deliver().await;

    let received = receiver.received();
    assert_eq!(received.len(), 1, "earlier events are not sent");
    let message = &received[0];
    assert_eq!(message.header("content-type"), "application/json");
    assert!(message.header("user-agent").starts_with("partner-platform/"));
    assert!(message.verifies(&secret));
    let other = receiver.endpoint(&admin, &[]).await.1;
    assert!(!message.verifies(&other), "it does not verify with another secret");
    let event = message.json();
    let feed = admin.get("/v1/events?types=customer.created").await.ok();
    assert_eq!(event, feed["data"][1]);
    assert_eq!(event["type"], "customer.created");
    assert_eq!(event["data"], customer, "as in a GET");
    assert_eq!(event["resource"], json!({ "type": "customer", "id": customer["id"], "version": 1 }));
    assert_eq!(event["request_id"], "request-7");
    assert_eq!(event["id"], message.header("webhook-id"));
    assert_eq!(event["occurred_at"], customer["created_at"]);

    let found = deliveries(&admin, &endpoint).await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["event_id"], &found[0]["event_type"]), (&event["id"], &json!("customer.created")));
    assert_eq!((&found[0]["status"], &found[0]["attempts"]), (&json!("succeeded"), &json!(1)));
    assert_eq!(
        (&found[0]["last_attempt"]["http_status"], &found[0]["last_attempt"]["error"]),
        (&json!(204), &Value::Null)
    );
    assert_eq!(found[0]["next_attempt_at"], Value::Null);
    server.deliver().await;
    assert_eq!(receiver.received().len(), 1, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_are_good_during_the_overlap_and_one_after() {
    let (server, admin, receiver) = start().await;
    let (endpoint, old) = receiver.endpoint(&admin, &[]).await;
    let rotated = admin.post(&format!("{endpoint}/rotate-secret"), json!({ "overlap_seconds": 60 })).await.ok();
    let new = rotated["secret"].as_str().unwrap();
    let end: DateTime<Utc> = rotated["webhook_endpoint"]["older_secrets_end_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(end, server.clock.now() + TimeDelta::seconds(60));
    admin.post("/v1/customers", company("During")).await.created();
    server.deliver().await;
    assert_eq!(admin.get(&endpoint).await.ok(), rotated["webhook_endpoint"]);
    server.clock.set(end);
    assert_eq!(admin.get(&endpoint).await.ok()["older_secrets_end_at"], Value::Null, "they have ended");
    let listed = admin.get("/v1/webhook-endpoints").await.ok();
    assert_eq!(listed["data"][0]["older_secrets_end_at"], Value::Null);
    admin.post("/v1/customers", company("After")).await.created();
    server.deliver().await;

    let received = receiver.received();
    let signatures = received.iter().map(|message| message.header("webhook-signature").split(' ').count());
    assert_eq!(signatures.collect::<Vec<_>>(), [2, 1]);
    let verified = received.iter().map(|message| (message.verifies(&old), message.verifies(new)));
    assert_eq!(verified.collect::<Vec<_>>(), [(true, true), (false, true)]);

    let at_once = admin.post(&format!("{endpoint}/rotate-secret"), json!({ "overlap_seconds": 0 })).await.ok();
    assert_eq!(at_once["webhook_endpoint"]["older_secrets_end_at"], Value::Null);
    for seconds in [-1, 604_801] {
        let body = json!({ "overlap_seconds": seconds });
        admin.post(&format!("{endpoint}/rotate-secret"), body).await.problem(422, "validation_failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_sent_what_it_wants_of_what_its_tenant_sees() {
    let world = World::new().await;
    let (all, some, own, other) =
        (Receiver::start().await, Receiver::start().await, Receiver::start().await, Receiver::start().await);
    all.endpoint(&world.admin, &[]).await;
    some.endpoint(&world.admin, &["product.created", "customer.archived"]).await;
    own.endpoint(&world.own, &[]).await;
    other.endpoint(&world.other, &[]).await;
    world.admin.post("/v1/products", crate::support::world::product("other")).await.created();
    world.admin.post("/v1/customers", company("The partner's own")).await.created();
    let idle = format!("/v1/customers/{}", id(&world.idle_customer_id));
    world.own.act(&format!("{idle}/archive")).await.ok();
    world.other.post("/v1/customers", company("Another's")).await.created();
    world.server.deliver().await;

    let sorted = |receiver: &Receiver| {
        let mut types = receiver.types();
        types.sort();
        types
    };
    assert_eq!(sorted(&all), ["customer.archived", "customer.created", "customer.created", "product.created"]);
    assert_eq!(sorted(&some), ["customer.archived", "product.created"]);
    assert_eq!(sorted(&own), ["customer.archived", "product.created"], "products are visible to everyone");
    assert_eq!(sorted(&other), ["customer.created", "product.created"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_resellers_endpoints_rest_until_it_is_enabled() {
    let world = World::new().await;
    let receiver = Receiver::start().await;
    receiver.endpoint(&world.own, &["customer.updated"]).await;
    let reseller = format!("/v1/resellers/{}", id(&world.reseller_id));
    let rename = async |name: &str| {
        world.admin.patch(&world.customer(""), json!({ "company_name": name })).await.ok();
    };
    rename("In line already").await;
    courier::fan_out(&world.server.context(), || false).await.unwrap();
    world.admin.act(&format!("{reseller}/disable")).await.ok();
    rename("Meanwhile").await;
    world.server.deliver().await;
    assert_eq!(receiver.types(), [""; 0], "a disabled reseller receives nothing");
    world.admin.act(&format!("{reseller}/enable")).await.ok();
    world.server.deliver().await;
    let mut names: Vec<_> = receiver.received().iter().map(|it| it.json()["data"]["company_name"].clone()).collect();
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["In line already", "Meanwhile"], "nothing is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sent_at_once_and_answers_how_it_went() {
    let (server, admin, receiver) = start().await;
    let (endpoint, secret) = receiver.endpoint(&admin, &["invoice.paid"]).await;
    admin.act(&format!("{endpoint}/disable")).await.ok();
    let test = format!("{endpoint}/test");
    let went = admin.act(&test).await.ok();
    assert_eq!((&went["status"], &went["event_type"]), (&json!("succeeded"), &json!("webhook_endpoint.test")));
    assert_eq!((&went["attempts"], &went["last_attempt"]["http_status"]), (&json!(1), &json!(204)));
    let message = receiver.received().remove(0);
    assert!(message.verifies(&secret));
    assert_eq!(message.json()["type"], "webhook_endpoint.test");
    assert_eq!(message.json()["data"]["url"], receiver.url.as_str());
    assert_eq!(message.header("webhook-id"), went["event_id"]);

    receiver.reply([410]);
    let went = admin.act(&test).await.ok();
    assert_eq!(
        (&went["status"], &went["last_attempt"]["error"]),
        (&json!("failed"), &json!("The receiver responded with 410."))
    );
    assert_eq!(deliveries(&admin, &endpoint).await.len(), 2);
    let disabled = admin.get(&endpoint).await.ok()["disabled"].clone();
    assert_eq!(disabled["reason"], Value::Null, "a test changes nothing");
    let fed = server.database.text("SELECT count(*) FROM events WHERE kind = 'webhook_endpoint.test'").await;
    assert_eq!(fed, "0", "it is not in the feed");
    let redeliver = format!("/v1/webhook-deliveries/{}/redeliver", id(&went["id"]));
    admin.act(&redeliver).await.problem(409, "invalid_transition");
    server.deliver().await;
    assert_eq!(receiver.received().len(), 2, "it is not retried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_sent_again_on_demand_under_the_same_id() {
    let (server, admin, receiver) = start().await;
    let (endpoint, secret) = receiver.endpoint(&admin, &["customer.created"]).await;
    admin.post("/v1/customers", company("Northwind")).await.created();
    server.deliver().await;
    let delivery = deliveries(&admin, &endpoint).await.remove(0);
    let redeliver = format!("/v1/webhook-deliveries/{}/redeliver", id(&delivery["id"]));
    let again = admin.act(&redeliver).await.ok();
    assert_eq!((&again["status"], &again["attempts"]), (&json!("pending"), &json!(1)));
    admin.act(&redeliver).await.ok();
    server.deliver().await;
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert!(received[1].verifies(&secret));
    let ended = deliveries(&admin, &endpoint).await;
    assert_eq!((ended.len(), &ended[0]["status"], &ended[0]["attempts"]), (1, &json!("succeeded"), &json!(2)));

    admin.act(&format!("{endpoint}/disable")).await.ok();
    let problem = admin.act(&redeliver).await.problem(409, "invalid_transition");
    assert!(problem["detail"].as_str().unwrap().contains("enable"), "{problem}");
    let reseller = admin.post("/v1/resellers", company("Harbour Resale")).await.created()["id"].clone();
    let stranger = server.client(Role::Admin, Some(&reseller)).await;
    stranger.act(&redeliver).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_newest_first_and_filtered() {
    let (server, admin, receiver) = start().await;
    let (endpoint, _) = receiver.endpoint(&admin, &[]).await;
    receiver.reply([500]);
    admin.post("/v1/customers", company("Northwind")).await.created();
    server.deliver().await;
    receiver.reply([204]);
    admin.post("/v1/resellers", company("Harbour Resale")).await.created();
    admin.post("/v1/customers", company("Southwind")).await.created();
    server.deliver().await;
    let list = async |query: &str| {
        let all = admin.get(&format!("{endpoint}/deliveries?{query}")).await.ok();
        let of = |row: &Value| format!("{} {}", row["event_type"].as_str().unwrap(), row["status"].as_str().unwrap());
        all["data"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let all = ["customer.created succeeded", "reseller.created succeeded", "customer.created pending"];
    assert_eq!(list("").await, all);
    assert_eq!(list("status=pending").await, all[2..]);
    assert_eq!(list("status=pending,succeeded&event_type=customer.created").await, [all[0], all[2]]);
    assert_eq!(list("event_type=reseller.created,product.created").await, all[1..2]);
    assert_eq!(list("status=failed").await, [""; 0]);
    let odd = admin.get(&format!("{endpoint}/deliveries?status=lost&event_type=x")).await.violations();
    assert_eq!(odd.len(), 2, "{odd:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_long_ago_and_what_was_for_endpoints_that_are_gone_is_deleted() {
    let (server, admin, receiver) = start().await;
    let (kept, _) = receiver.endpoint(&admin, &["customer.created"]).await;
    let (gone, _) = receiver.endpoint(&admin, &["customer.created"]).await;
    admin.post("/v1/customers", company("Old")).await.created();
    server.deliver().await;
    receiver.reply([500]);
    admin.post("/v1/customers", company("Pending")).await.created();
    server.deliver().await;
    let count = async || server.database.text("SELECT count(*) FROM webhook_deliveries").await;
    assert_eq!(count().await, "4");
    let sweep = async || courier::sweep(&server.db, server.clock.machine()).await.unwrap();
    admin.delete(&gone).await.no_content();
    admin.get(&format!("{gone}/deliveries")).await.problem(404, "not_found");
    sweep().await;
    assert_eq!(count().await, "2");
    server.clock.set(server.clock.now() + TimeDelta::days(30));
    sweep().await;
    assert_eq!(count().await, "2", "for thirty days");
    server.clock.set(server.clock.now() + TimeDelta::microseconds(1));
    sweep().await;
    let left = deliveries(&admin, &kept).await;
    assert_eq!((left.len(), &left[0]["status"]), (1, &json!("pending")), "a pending delivery is kept");
    server.deliver().await;
    assert_eq!(receiver.received().len(), 5, "the deleted endpoint receives nothing");
}
