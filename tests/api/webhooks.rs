//! Webhook endpoints: their tenants, their fields, and that their secrets are shown once.

use partner_platform::domain::authorization::Role;
use serde_json::{Value, json};

use crate::support::world::{World, company, endpoint_of, id};
use crate::support::{Answer, Client, Server};

const ENDPOINTS: &str = "/v1/webhook-endpoints";

fn path(created: &Value) -> String {
    format!("{ENDPOINTS}/{}", id(&endpoint_of(created)))
}

async fn create(client: &Client, url: &str) -> Answer {
    client.post(ENDPOINTS, json!({ "url": url })).await
}

/// A new server, and an administrator of the provider.
async fn start() -> (Server, Client) {
    let server = Server::start().await;
    let admin = server.admin().await;
    (server, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_created_with_a_secret_that_is_shown_once() {
    let (server, admin) = start().await;
    let new = json!({
        "url": "https://receiver.example/hooks?a=b", "description": " For the CRM ",
        "event_types": ["invoice.paid", "customer.created", "invoice.paid"],
    });
    let answer = admin.post(ENDPOINTS, new).await;
    assert_eq!(answer.header("etag"), "\"1\"");
    let location = answer.header("location").to_owned();
    let created = answer.created();
    let secret = created["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == "whsec_".len() + 44, "{secret}");
    let endpoint = &created["webhook_endpoint"];
    assert_eq!(location, path(&created));
    assert_eq!(endpoint["description"], "For the CRM");
    assert_eq!(endpoint["event_types"], json!(["customer.created", "invoice.paid"]), "it is a set");
    assert_eq!((&endpoint["status"], &endpoint["disabled"]), (&json!("enabled"), &Value::Null));
    assert_eq!((&endpoint["partner_id"], &endpoint["version"]), (&Value::Null, &json!(1)));

    assert_eq!(admin.get(&location).await.ok(), *endpoint);
    let all = admin.get(ENDPOINTS).await.ok();
    assert_eq!(all["data"], json!([endpoint]));
    let other = create(&admin, "https://receiver.example/").await.created();
    assert_ne!(other["secret"], created["secret"]);
    for table in ["events", "audit_entries", "idempotency_keys"] {
        let kept = server.database.text(&format!("SELECT string_agg(t::text, ' ') FROM {table} t")).await;
        assert!(!kept.contains("whsec_") && !kept.contains(&secret[6..]), "{table} has no secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sent_again_with_its_key_a_request_is_answered_without_the_secret() {
    let (_server, admin) = start().await;
    let twice = admin.with("idempotency-key", "create-1");
    let created = create(&twice, "https://receiver.example/").await.created();
    assert!(created["secret"].is_string());
    let again = create(&twice, "https://receiver.example/").await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    let again = again.created();
    assert_eq!((&again["webhook_endpoint"], &again["secret"]), (&created["webhook_endpoint"], &Value::Null));
    assert_eq!(admin.get(ENDPOINTS).await.ok()["data"].as_array().unwrap().len(), 1);

    let twice = admin.with("idempotency-key", "rotate-1");
    let rotate = format!("{}/rotate-secret", path(&created));
    let rotated = twice.act(&rotate).await.ok();
    assert_ne!(rotated["secret"], created["secret"]);
    assert_eq!(twice.act(&rotate).await.ok()["secret"], Value::Null);
    let another = admin.act(&rotate).await.ok();
    assert!(another["secret"].is_string() && another["secret"] != rotated["secret"], "a lost secret is replaced");
    assert_eq!(another["webhook_endpoint"]["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_may_not_be_called_is_refused_when_it_is_named() {
    let (server, admin) = start().await;
    let endpoint = create(&admin, "https://receiver.example/").await.created();
    let before = server.database.fingerprint().await;
    for (url, code) in [
        ("http://receiver.example.com:99999/", "invalid_format"),
        ("ftp://receiver.example/", "invalid_format"),
        ("https://receiver.example/a b", "invalid_format"),
        ("https://user:pass@receiver.example/", "not_allowed"),
        ("https://receiver.example/#part", "not_allowed"),
        ("https://10.0.0.1/", "not_allowed"),
        ("https://169.254.169.254/latest/meta-data", "not_allowed"),
        ("https://0xa9.0xfe.0xa9fe/", "not_allowed"),
        ("https://[::1]/", "not_allowed"),
        ("http://8.8.8.8/", "not_allowed"),
    ] {
        let expected = [("/url".to_owned(), code.to_owned())];
        assert_eq!(create(&admin, url).await.violations(), expected, "{url}");
        assert_eq!(admin.patch(&path(&endpoint), json!({ "url": url })).await.violations(), expected, "{url}");
    }
    let too_long = format!("https://receiver.example/{}", "a".repeat(2048));
    assert_eq!(create(&admin, &too_long).await.violations(), [("/url".to_owned(), "too_long".to_owned())]);
    let unknown = json!({ "url": "https://receiver.example/", "event_types": ["customer.created", "customer.eaten"] });
    let expected = [("/event_types/1".to_owned(), "not_allowed".to_owned())];
    assert_eq!(admin.post(ENDPOINTS, unknown).await.violations(), expected);
    assert_eq!(before, server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_edited() {
    let (_server, admin) = start().await;
    let created = create(&admin, "https://receiver.example/").await.created();
    let path = path(&created);
    let details = json!({ "description": "CRM", "event_types": ["order.confirmed"] });
    let edited = admin.patch(&path, details).await.ok();
    assert_eq!((&edited["description"], &edited["event_types"]), (&json!("CRM"), &json!(["order.confirmed"])));
    assert_eq!((&edited["url"], &edited["version"]), (&json!("https://receiver.example/"), &json!(2)));
    let cleared = admin.patch(&path, json!({ "description": null, "event_types": [] })).await.ok();
    assert_eq!((&cleared["description"], &cleared["event_types"]), (&Value::Null, &json!([])));
    assert_eq!(admin.patch(&path, json!({ "event_types": [] })).await.ok()["version"], 3, "as before");
    let violations = admin.patch(&path, json!({ "url": null, "status": "disabled" })).await.violations();
    let expected = [("/status", "immutable_field"), ("/url", "required")];
    assert_eq!(violations, expected.map(|(at, code)| (at.to_owned(), code.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_disabled_and_enabled_and_the_feed_tells() {
    let (server, admin) = start().await;
    let path = path(&create(&admin, "https://receiver.example/").await.created());
    let disabled = admin.post(&format!("{path}/disable"), json!({ "reason": "Maintenance" })).await.ok();
    assert_eq!((&disabled["status"], &disabled["disabled"]["reason"]), (&json!("disabled"), &json!("Maintenance")));
    assert_eq!(admin.act(&format!("{path}/disable")).await.ok()["version"], 2, "already disabled");
    let allowed: Vec<_> = disabled["actions"].as_array().unwrap().iter().filter(|it| it["allowed"] == true).collect();
    assert_eq!(allowed.iter().map(|it| &it["action"]).collect::<Vec<_>>(), ["enable", "rotate_secret", "test"]);
    let only = admin.get(&format!("{ENDPOINTS}?status=enabled")).await.ok();
    assert_eq!(only["data"], json!([]));
    let twice = admin.get(&format!("{ENDPOINTS}?status=disabled&status=disabled")).await.ok();
    assert_eq!(twice["data"][0]["id"], disabled["id"]);
    let enabled = admin.act(&format!("{path}/enable")).await.ok();
    assert_eq!((&enabled["status"], &enabled["disabled"]), (&json!("enabled"), &Value::Null));

    let told = "SELECT string_agg(kind, ' ' ORDER BY id) FROM events";
    assert_eq!(server.database.text(told).await, "webhook_endpoint.disabled webhook_endpoint.enabled");
    let shown = "SELECT data->>'status' || (data ? 'secret') FROM events ORDER BY id LIMIT 1";
    assert_eq!(server.database.text(shown).await, "disabledfalse");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_its_own_endpoints_and_the_partner_all() {
    let world = World::new().await;
    let technician = world.server.client(Role::Technician, None).await;
    let of_partner = create(&technician, "https://partner.example/").await.created();
    let partners = path(&of_partner);
    let resellers = format!("{ENDPOINTS}/{}", id(&world.endpoint_id));
    assert_eq!(world.own.get(&resellers).await.ok()["partner_id"], world.reseller_id);
    for (client, hidden) in [(&world.own, &partners), (&world.other, &partners), (&world.other, &resellers)] {
        client.get(hidden).await.problem(404, "not_found");
        client.patch(hidden, json!({ "description": "Mine" })).await.problem(404, "not_found");
        client.delete(hidden).await.problem(404, "not_found");
        client.get(&format!("{hidden}/deliveries")).await.problem(404, "not_found");
        for action in ["disable", "enable", "rotate-secret", "test"] {
            client.act(&format!("{hidden}/{action}")).await.problem(404, "not_found");
        }
    }
    let count = async |client: &Client, query: &str| {
        client.get(&format!("{ENDPOINTS}{query}")).await.ok()["data"].as_array().unwrap().len()
    };
    assert_eq!((count(&world.admin, "").await, count(&world.own, "").await, count(&world.other, "").await), (3, 2, 0));
    assert_eq!(count(&world.admin, &format!("?partner_id={}", id(&world.reseller_id))).await, 2);
    assert_eq!(count(&world.admin, &format!("?partner_id={}", id(&world.other_reseller_id))).await, 0);
    assert_eq!(world.admin.get(&resellers).await.ok()["url"], "http://127.0.0.1:9/hooks");
    world.admin.act(&format!("{resellers}/disable")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_twenty_endpoints_at_the_most() {
    let (server, admin) = start().await;
    let reseller = admin.post("/v1/resellers", company("Harbour Resale")).await.created()["id"].clone();
    let own = server.client(Role::Admin, Some(&reseller)).await;
    let all = (0..30).map(|number| {
        let own = own.clone();
        tokio::spawn(async move { create(&own, &format!("https://receiver.example/{number}")).await })
    });
    let answers = futures_util::future::join_all(all).await.into_iter().map(Result::unwrap);
    let (created, refused): (Vec<_>, Vec<_>) = answers.partition(|answer| answer.status == 201);
    assert_eq!((created.len(), refused.len()), (20, 10), "also for concurrent requests");
    refused.into_iter().for_each(|answer| drop(answer.problem(409, "too_many_webhook_endpoints")));
    create(&admin, "https://receiver.example/").await.created();
    own.delete(&path(&created[0].body)).await.no_content();
    create(&own, "https://receiver.example/").await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_with_an_endpoint_is_in_the_audit_trail() {
    let (server, admin) = start().await;
    let created = create(&admin, "https://receiver.example/").await.created();
    let path = path(&created);
    admin.patch(&path, json!({ "description": "CRM" })).await.ok();
    admin.act(&format!("{path}/rotate-secret")).await.ok();
    admin.delete(&path).await.no_content();
    let told = "SELECT string_agg(operation || ' ' || resource_type || ' ' || outcome, ', ' ORDER BY id) \
         FROM audit_entries";
    let expected = ["createWebhookEndpoint", "updateWebhookEndpoint", "rotateWebhookEndpointSecret"]
        .into_iter()
        .chain(["deleteWebhookEndpoint"])
        .map(|operation| format!("{operation} webhook_endpoint succeeded"));
    assert_eq!(server.database.text(told).await, expected.collect::<Vec<_>>().join(", "));
    let changes = "SELECT changes->0->'after'->>'description' FROM audit_entries ORDER BY id OFFSET 1";
    assert_eq!(server.database.text(changes).await, "CRM");
}
