//! Failed deliveries: they are retried for three days. Then the endpoint is disabled, or the delivery is given up.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::world::{World, company, id};
use crate::support::{Client, Receiver, Reply, Server};

/// A server, its administrator, and an endpoint at a receiver for the events of new customers.
async fn start() -> (Server, Client, Receiver, String) {
    let server = Server::start().await;
    let admin = server.admin().await;
    let receiver = Receiver::start().await;
    let (endpoint, _) = receiver.endpoint(&admin, &["customer.created", "webhook_endpoint.disabled"]).await;
    (server, admin, receiver, endpoint)
}

async fn happen(admin: &Client) {
    admin.post("/v1/customers", company("Northwind")).await.created();
}

/// The oldest delivery.
async fn first(admin: &Client, endpoint: &str) -> Value {
    let all = admin.get(&format!("{endpoint}/deliveries?limit=200")).await.ok();
    all["data"].as_array().unwrap().last().unwrap().clone()
}

/// The time until the next attempt of the oldest delivery.
async fn wait(server: &Server, admin: &Client, endpoint: &str) -> TimeDelta {
    let delivery = first(admin, endpoint).await;
    let next: DateTime<Utc> = delivery["next_attempt_at"].as_str().unwrap().parse().unwrap();
    next - server.clock.now()
}

fn pass(server: &Server, time: TimeDelta) {
    server.clock.set(server.clock.now() + time);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_tried_again_under_its_id_until_it_gets_there() {
    let (server, admin, receiver, endpoint) = start().await;
    receiver.reply([500, 429, 404, 200]);
    happen(&admin).await;
    for (attempts, status, least, most) in [(1, 500, 5, 8), (2, 429, 15, 20), (3, 404, 45, 58)] {
        server.deliver().await;
        let delivery = first(&admin, &endpoint).await;
        assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("pending"), &json!(attempts)));
        assert_eq!(delivery["last_attempt"]["http_status"], status);
        assert_eq!(delivery["last_attempt"]["error"], format!("The receiver responded with {status}."));
        let wait = wait(&server, &admin, &endpoint).await;
        assert!(wait >= TimeDelta::seconds(least) && wait <= TimeDelta::seconds(most), "{attempts}: {wait}");
        assert_eq!(admin.get(&endpoint).await.ok()["failing_since"], "2027-01-01T12:00:00Z");
        pass(&server, wait - TimeDelta::microseconds(1));
        server.deliver().await;
        assert_eq!(receiver.received().len(), attempts, "not before its time");
        pass(&server, TimeDelta::microseconds(1));
    }
    server.deliver().await;
    assert_eq!(first(&admin, &endpoint).await["status"], "succeeded");
    assert_eq!(admin.get(&endpoint).await.ok()["failing_since"], Value::Null);
    let received = receiver.received();
    assert!(received.iter().all(|message| message.body == received[0].body));
    assert!(received.iter().all(|message| message.header("webhook-id") == received[0].header("webhook-id")));
    let times: Vec<i64> = received.iter().map(|message| message.header("webhook-timestamp").parse().unwrap()).collect();
    assert!(times.is_sorted() && times[0] < times[3], "each attempt has its own time: {times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_says_when_it_wants_to_hear_again() {
    let (server, admin, receiver, endpoint) = start().await;
    let date = "Fri, 01 Jan 2027 14:00:00 GMT";
    for (asked, least, most) in [
        ("120", 120, 160),
        ("1", 5, 8),
        (date, 2 * 3600, 9010),
        ("Friday, 01-Jan-27 14:00:00 GMT", 2 * 3600, 9010),
        ("Fri Jan  1 14:00:00 2027", 2 * 3600, 9010),
        ("Thursday, 31-Dec-26 14:00:00 GMT", 5, 8),
        ("99999999999999999999999", 8 * 3600, 36_010),
        ("+120", 5, 8),
        ("99999999", 8 * 3600, 36_010),
        ("Fri, 01 Jan 2021 14:00:00 GMT", 5, 8),
        ("soon", 5, 8),
        ("-5", 5, 8),
    ] {
        receiver.reply([Reply::from(503).with("Retry-After", asked)]);
        happen(&admin).await;
        server.deliver().await;
        let newest = admin.get(&format!("{endpoint}/deliveries?limit=1")).await.ok()["data"][0].clone();
        let next: DateTime<Utc> = newest["next_attempt_at"].as_str().unwrap().parse().unwrap();
        let wait = next - server.clock.now();
        assert!(wait >= TimeDelta::seconds(least) && wait <= TimeDelta::seconds(most), "{asked}: {wait}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let (server, admin, receiver, endpoint) = start().await;
    let elsewhere = Receiver::start().await;
    for status in [301, 302, 303, 307, 308] {
        receiver.reply([Reply::from(status).with("Location", &elsewhere.url)]);
        admin.act(&format!("{endpoint}/test")).await.ok();
    }
    happen(&admin).await;
    server.deliver().await;
    let delivery = first(&admin, &endpoint).await;
    assert_eq!((&delivery["status"], &delivery["last_attempt"]["http_status"]), (&json!("failed"), &json!(301)));
    let error = delivery["last_attempt"]["error"].as_str().unwrap();
    assert!(error.contains("redirects are not followed"), "{error}");
    assert_eq!((receiver.received().len(), elsewhere.received().len()), (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_there_it_says_so() {
    let (server, admin, _receiver, endpoint) = start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    admin.patch(&endpoint, json!({ "url": format!("http://127.0.0.1:{port}/hooks") })).await.ok();
    happen(&admin).await;
    server.deliver().await;
    let attempt = &first(&admin, &endpoint).await["last_attempt"];
    assert_eq!(attempt["http_status"], Value::Null);
    assert!(attempt["error"].as_str().unwrap().contains("refused"), "{attempt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_gone_is_not_asked_again() {
    let (server, admin, receiver, endpoint) = start().await;
    receiver.reply([410, 204]);
    happen(&admin).await;
    happen(&admin).await;
    server.deliver().await;
    assert_eq!(receiver.received().len(), 1);
    let gone = admin.get(&endpoint).await.ok();
    assert_eq!((&gone["status"], &gone["version"]), (&json!("disabled"), &json!(2)));
    assert_eq!(gone["disabled"]["reason"], "The receiver responded with 410 Gone");
    pass(&server, TimeDelta::days(30));
    server.deliver().await;
    assert_eq!(receiver.received().len(), 1, "there is no further attempt");
    admin.act(&format!("{endpoint}/enable")).await.ok();
    server.deliver().await;
    assert_eq!(receiver.types()[1..3], ["customer.created"; 2], "both wait for the receiver to recover");
}

/// Runs all attempts until the endpoint is disabled. Returns their number.
async fn until_disabled(server: &Server, admin: &Client, endpoint: &str) -> usize {
    for attempts in 1..50 {
        server.deliver().await;
        if admin.get(endpoint).await.ok()["status"] == "disabled" {
            return attempts;
        }
        pass(server, wait(server, admin, endpoint).await);
    }
    panic!("the endpoint was not disabled");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_where_nothing_gets_for_three_days_is_disabled_and_loses_nothing() {
    let (server, admin, receiver, endpoint) = start().await;
    let other = Receiver::start().await;
    other.endpoint(&admin, &["webhook_endpoint.disabled", "webhook_endpoint.enabled"]).await;
    receiver.reply([503]);
    let began = server.clock.now();
    happen(&admin).await;
    let attempts = until_disabled(&server, &admin, &endpoint).await;
    assert!([17, 18].contains(&attempts), "{attempts}: the number depends on the jitter");
    let lasted = server.clock.now() - began;
    assert!(lasted >= TimeDelta::days(3) && lasted < TimeDelta::days(4), "{lasted}");
    let disabled = admin.get(&endpoint).await.ok();
    assert_eq!(disabled["disabled"]["reason"], "No successful delivery for three days");
    server.deliver().await;
    let told = other.received().remove(0).json();
    assert_eq!((&told["type"], &told["actor"]), (&json!("webhook_endpoint.disabled"), &json!("system")));
    assert_eq!((&told["data"]["id"], &told["data"]["status"]), (&disabled["id"], &json!("disabled")));

    happen(&admin).await;
    pass(&server, TimeDelta::days(60));
    receiver.reply([204]);
    server.deliver().await;
    assert_eq!(receiver.received().len(), attempts, "there is no further attempt");
    admin.act(&format!("{endpoint}/enable")).await.ok();
    server.deliver().await;
    let types = receiver.types();
    assert_eq!(
        types[attempts..],
        ["customer.created", "webhook_endpoint.disabled", "customer.created"],
        "from where it stopped"
    );
    assert_eq!(other.types(), ["webhook_endpoint.disabled", "webhook_endpoint.enabled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_not_disabled_for_days_on_which_its_reseller_was() {
    let world = World::new().await;
    let (server, receiver) = (&world.server, Receiver::start().await);
    let (endpoint, _) = receiver.endpoint(&world.own, &["customer.updated"]).await;
    receiver.reply([500, 500, 204]);
    world.admin.patch(&world.customer(""), json!({ "company_name": "Another name" })).await.ok();
    server.deliver().await;
    let reseller = format!("/v1/resellers/{}", id(&world.reseller_id));
    world.admin.act(&format!("{reseller}/disable")).await.ok();
    pass(server, TimeDelta::days(4));
    world.admin.act(&format!("{reseller}/enable")).await.ok();
    server.deliver().await;
    let failing = world.own.get(&endpoint).await.ok();
    assert_eq!((receiver.received().len(), &failing["status"]), (2, &json!("enabled")));
    pass(server, wait(server, &world.own, &endpoint).await);
    server.deliver().await;
    assert_eq!(first(&world.own, &endpoint).await["status"], "succeeded");
    assert_eq!(world.own.get(&endpoint).await.ok()["failing_since"], Value::Null);
    let kept = "SELECT failing_since IS NULL AND last_failure_at IS NULL FROM webhook_endpoints";
    assert_eq!(server.database.text(kept).await, "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_does_not_take_while_it_takes_others_is_given_up_after_three_days() {
    let (server, admin, receiver, endpoint) = start().await;
    happen(&admin).await;
    let began = server.clock.now();
    loop {
        receiver.reply([500]);
        server.deliver().await;
        if first(&admin, &endpoint).await["status"] != "pending" {
            break;
        }
        receiver.reply([204]);
        happen(&admin).await;
        server.deliver().await;
        pass(&server, wait(&server, &admin, &endpoint).await);
    }
    let given_up = first(&admin, &endpoint).await;
    assert_eq!((&given_up["status"], &given_up["attempts"]), (&json!("failed"), &json!(18)));
    assert_eq!(given_up["next_attempt_at"], Value::Null);
    assert!(server.clock.now() - began >= TimeDelta::days(3));
    assert_eq!(admin.get(&endpoint).await.ok()["status"], "enabled");
    let redeliver = format!("/v1/webhook-deliveries/{}/redeliver", given_up["id"].as_str().unwrap());
    receiver.reply([204]);
    admin.act(&redeliver).await.ok();
    server.deliver().await;
    assert_eq!(first(&admin, &endpoint).await["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_to_another_url_at_once() {
    let (server, admin, receiver, endpoint) = start().await;
    receiver.reply([500]);
    happen(&admin).await;
    server.deliver().await;
    let other = Receiver::start().await;
    admin.patch(&endpoint, json!({ "url": other.url })).await.ok();
    server.deliver().await;
    assert_eq!((receiver.received().len(), other.types()), (1, vec!["customer.created".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_up_and_never_heard_of_again_is_delivered_by_another() {
    let (server, admin, receiver, endpoint) = start().await;
    receiver.reply([Reply::from(204).after(std::time::Duration::from_secs(600)), Reply::from(204)]);
    happen(&admin).await;
    let (other, courier) = (server.context(), server.courier.clone());
    partner_platform::ops::courier::fan_out(&other, || false).await.unwrap();
    let due = partner_platform::ops::courier::due(&other, &[]).await.unwrap().remove(0);
    let lane = tokio::spawn(async move {
        partner_platform::ops::courier::deliver(&other, &courier, due.id, || false).await.unwrap();
    });
    receiver.wait_for(1).await;
    lane.abort();
    server.deliver().await;
    pass(&server, TimeDelta::seconds(59));
    server.deliver().await;
    assert_eq!(receiver.received().len(), 1, "the worker that has it may still deliver it");
    assert_eq!(first(&admin, &endpoint).await["status"], "pending");
    pass(&server, TimeDelta::seconds(1));
    server.deliver().await;
    let received = receiver.received();
    assert_eq!(received.len(), 2, "it may have been delivered twice, but at least once");
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(first(&admin, &endpoint).await["status"], "succeeded");
}
