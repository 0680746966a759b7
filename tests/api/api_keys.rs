//! API keys: created, shown once, rotated and revoked. The cache of an instance is tested in `api_keys_remembered.rs`.

use partner_platform::domain::authorization::Role;
use serde_json::{Value, json};

use crate::support::world::{World, company, id};
use crate::support::{Answer, Client, Raw, Server};

const KEYS: &str = "/v1/api-keys";

fn path(key: &Value, rest: &str) -> String {
    format!("{KEYS}/{}{rest}", id(&key["id"]))
}

fn set(server: &Server, instant: &str) {
    server.clock.set(instant.parse().unwrap());
}

/// Creates a key, and a client with it.
async fn make(server: &Server, admin: &Client, body: Value) -> (Value, Client) {
    made(server, admin.post(KEYS, body).await.created())
}

fn made(server: &Server, answer: Value) -> (Value, Client) {
    let client = Client::new(&server.url, answer["secret"].as_str());
    (answer["api_key"].clone(), client)
}

/// The detail of the error for a key that is not valid.
#[track_caller]
fn refused(answer: Answer) -> String {
    assert!(answer.header("www-authenticate").starts_with("Bearer"));
    answer.problem(401, "unauthenticated")["detail"].as_str().unwrap().to_owned()
}

async fn names(client: &Client, filter: &str) -> Vec<String> {
    let list = client.get(&format!("{KEYS}?{filter}")).await.ok();
    list["data"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_works_at_once_and_its_secret_is_shown_once() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let answer = admin.post(KEYS, json!({ "name": " Shop ", "role": "sales" })).await;
    assert_eq!(answer.header("etag"), "\"1\"");
    let location = answer.header("location").to_owned();
    let body = answer.created();
    let secret = body["secret"].as_str().unwrap();
    assert!(secret.starts_with("ppk_") && secret.len() == 47, "{secret}");
    let (key, client) = made(&server, body.clone());
    assert_eq!(location, path(&key, ""));
    let own = admin.get(KEYS).await.ok()["data"].as_array().unwrap().last().unwrap()["id"].clone();
    let expected = json!({
        "id": key["id"], "name": "Shop", "role": "sales", "partner_id": null, "status": "active",
        "prefix": secret[..8], "last_four": secret[43..], "last_used_at": null, "expires_at": null,
        "rotated": null, "revoked": null, "created_by": format!("api_key:{}", id(&own)),
        "actions": [{ "action": "rotate", "allowed": true }, { "action": "revoke", "allowed": true }],
        "version": 1, "created_at": "2027-01-01T12:00:00Z", "updated_at": "2027-01-01T12:00:00Z",
    });
    assert_eq!(key, expected);
    client.post("/v1/customers", company("Sold")).await.created();
    client.get(KEYS).await.problem(403, "forbidden");

    let seen = admin.get(&path(&key, "")).await.ok();
    let listed = admin.get(KEYS).await.ok();
    assert!(seen.get("secret").is_none() && seen["id"] == key["id"]);
    let random = &secret[4..];
    for text in [seen.to_string(), listed.to_string()] {
        assert!(!text.contains(random) && !text.contains("sha256"), "{text}");
    }
    let tables = "SELECT string_agg(t::text, '|') FROM api_keys t";
    assert!(!server.database.text(tables).await.contains(random), "the database has only a hash");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_tells_who_was_refused_from_who_sent_nothing() {
    let world = World::new().await;
    let (nothing, refused) =
        ("Bearer realm=\"partner-platform\"", "Bearer realm=\"partner-platform\", error=\"invalid_token\"");
    let stranger = world.server.stranger();
    for (client, challenge) in [
        (stranger.clone(), nothing),
        (stranger.with("authorization", "Basic eDp5"), nothing),
        (stranger.with("authorization", "Bearer "), nothing),
        (world.server.bearing("ppk_forged"), refused),
        (world.server.bearing(&format!("ppk_{}", "A".repeat(43))), refused),
    ] {
        let answer = client.get("/v1/customers").await;
        assert_eq!(answer.header("www-authenticate"), challenge);
        answer.problem(401, "unauthenticated");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_newest_first_and_filtered() {
    let world = World::new().await;
    let World { server, admin, own, .. } = &world;
    for (name, role, expires_at) in [
        ("Ends", "sales", Some("2027-01-02T00:00:00Z")),
        ("Stays", "technician", None),
        ("Ended", "sales", Some("2027-01-02T00:00:00Z")),
    ] {
        let mut body = json!({ "name": name, "role": role });
        if let Some(expires_at) = expires_at {
            body["expires_at"] = json!(expires_at);
        }
        let (key, _) = make(server, admin, body).await;
        if name == "Ended" {
            admin.act(&path(&key, "/revoke")).await.ok();
        }
    }
    set(server, "2027-01-02T00:00:00Z");
    let partner = format!("partner_id={}", id(&world.reseller_id));
    for (filter, expected) in [
        ("limit=3", vec!["Ended", "Stays", "Ends"]),
        ("role=sales", vec!["Ended", "Ends"]),
        ("role=sales,technician", vec!["Ended", "Stays", "Ends"]),
        ("status=expired", vec!["Ends"]),
        ("status=revoked", vec!["Ended"]),
        ("status=revoked&status=expired", vec!["Ended", "Ends"]),
        ("status=active&role=technician", vec!["Stays"]),
        ("status=active&role=sales", vec![]),
        (&partner, vec!["Spare", "Spare", "test"]),
    ] {
        assert_eq!(names(admin, filter).await, expected, "{filter}");
    }
    assert_eq!(names(own, "").await, ["Spare", "Spare", "test"], "a reseller sees only its own keys");
    assert_eq!(names(own, "role=billing").await, ["Spare", "Spare"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resellers_administrator_manages_its_own_keys_and_no_others() {
    let world = World::new().await;
    let World { server, admin, own, other, .. } = &world;
    for partner_id in [None, Some(&world.reseller_id)] {
        for role in Role::ALL {
            let mut body = json!({ "name": "Theirs", "role": role.as_str() });
            if let Some(partner_id) = partner_id {
                body["partner_id"] = partner_id.clone();
            }
            let (key, client) = make(server, own, body).await;
            assert_eq!(key["partner_id"], world.reseller_id, "the default is the caller's own reseller");
            let seen = client.get("/v1/resellers").await.ok();
            assert_eq!((seen["data"].as_array().unwrap().len(), &seen["data"][0]["id"]), (1, &world.reseller_id));
            own.patch(&path(&key, ""), json!({ "name": "Renamed" })).await.ok();
            own.act(&path(&key, "/rotate")).await.ok();
            own.act(&path(&key, "/revoke")).await.ok();
        }
    }
    let unknown = "01990000-0000-7000-8000-000000000000";
    let before = server.database.fingerprint().await;
    let details = [unknown, id(&world.other_reseller_id)].map(async |partner_id| {
        let body = json!({ "name": "Not theirs", "role": "billing", "partner_id": partner_id });
        let problem = own.post(KEYS, body).await.problem(422, "validation_failed");
        assert_eq!(
            (&problem["errors"][0]["pointer"], &problem["errors"][0]["code"]),
            (&json!("/partner_id"), &json!("unknown_reference"))
        );
        problem["errors"].to_string().replace(partner_id, "")
    });
    let [not_there, not_yours] = details;
    assert_eq!(not_there.await, not_yours.await);
    let partners = admin.get(&format!("{KEYS}?role=admin")).await.ok();
    let partners = partners["data"].as_array().unwrap().iter().find(|key| key["partner_id"].is_null()).unwrap();
    for theirs in [partners, &json!({ "id": world.api_key_id })] {
        let client = if theirs["id"] == world.api_key_id { other } else { own };
        client.get(&path(theirs, "")).await.problem(404, "not_found");
        client.patch(&path(theirs, ""), json!({ "name": "Mine" })).await.problem(404, "not_found");
        client.act(&path(theirs, "/rotate")).await.problem(404, "not_found");
        client.act(&path(theirs, "/revoke")).await.problem(404, "not_found");
    }
    assert_eq!(before, server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn name_and_end_are_edited_and_nothing_else() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (key, _) = make(&server, &admin, json!({ "name": "Old", "role": "sales" })).await;
    let own = path(&key, "");
    set(&server, "2027-01-02T12:00:00Z");
    let edited = admin.patch(&own, json!({ "name": "New", "expires_at": "2027-06-01T02:00:00.1234567+02:00" })).await;
    assert_eq!(edited.header("etag"), "\"2\"");
    let edited = edited.ok();
    assert_eq!((&edited["name"], &edited["expires_at"]), (&json!("New"), &json!("2027-06-01T00:00:00.123456Z")));
    assert_eq!((&edited["updated_at"], &edited["created_at"]), (&json!("2027-01-02T12:00:00Z"), &key["created_at"]));
    assert_eq!(admin.get(&own).await.ok(), edited);
    let same = json!({ "name": "New", "expires_at": edited["expires_at"] });
    // A difference smaller than the stored precision does not change the expiry.
    let finer = json!({ "expires_at": "2027-06-01T00:00:00.1234569Z" });
    for nothing in [json!({}), same, finer] {
        assert_eq!(admin.patch(&own, nothing).await.ok()["version"], 2);
    }
    admin.with("if-match", "\"1\"").patch(&own, json!({ "name": "Late" })).await.problem(412, "version_mismatch");
    let leap = admin.patch(&own, json!({ "expires_at": "2027-06-30T23:59:60Z" })).await.ok();
    assert_eq!(leap["expires_at"], "2027-07-01T00:00:00Z", "a leap second is stored as the following second");
    assert_eq!(admin.get(&own).await.ok(), leap);
    let cleared = admin.patch(&own, json!({ "expires_at": null })).await.ok();
    assert_eq!((&cleared["expires_at"], &cleared["version"]), (&Value::Null, &json!(4)));
    for (field, value) in [("role", json!("admin")), ("partner_id", Value::Null), ("status", json!("active"))] {
        let found = admin.patch(&own, json!({ field: value })).await.violations();
        assert_eq!(found, [(format!("/{field}"), "immutable_field".to_owned())]);
    }
    assert_eq!(admin.patch(&own, json!({ "name": null })).await.violations()[0].1, "required");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_later_than_now_and_by_ten_years_at_most() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (key, _) = make(&server, &admin, json!({ "name": "Old", "role": "sales" })).await;
    for (end, is_good) in [
        ("2027-01-01T12:00:00Z", false),
        ("2027-01-01T12:00:00.0000009Z", false),
        ("2027-01-01T12:00:00.000001Z", true),
        ("2037-01-01T12:00:00Z", true),
        ("2037-01-01T12:00:00.000001Z", false),
        ("0001-01-01T00:00:00Z", false),
        ("9999-12-31T23:59:59Z", false),
    ] {
        let create = admin.post(KEYS, json!({ "name": end, "role": "sales", "expires_at": end })).await;
        let edit = admin.patch(&path(&key, ""), json!({ "expires_at": end })).await;
        if is_good {
            assert_eq!(
                (&create.created()["api_key"]["expires_at"], &edit.ok()["expires_at"]),
                (&json!(end), &json!(end))
            );
        } else {
            for answer in [create, edit] {
                assert_eq!(answer.violations(), [("/expires_at".to_owned(), "out_of_range".to_owned())], "{end}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_refused_from_that_instant_on_until_it_has_another_end() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let body = json!({ "name": "Short", "role": "sales", "expires_at": "2027-01-01T13:00:00Z" });
    let (key, client) = make(&server, &admin, body).await;
    set(&server, "2027-01-01T12:59:59.999999Z");
    client.get("/v1/customers").await.ok();
    // The key is cached by now, and its expiry is checked anyway.
    set(&server, "2027-01-01T13:00:00Z");
    let detail = refused(client.get("/v1/customers").await);
    assert!(detail.contains("expired"), "{detail}");
    let expired = admin.get(&path(&key, "")).await.ok();
    assert_eq!((&expired["status"], &expired["version"]), (&json!("expired"), &json!(1)));
    assert_eq!(expired["actions"][0]["code"], "invalid_transition");
    let problem = admin.act(&path(&key, "/rotate")).await.problem(409, "invalid_transition");
    assert_eq!(problem["actions"][1], json!({ "action": "revoke", "allowed": true }));
    let renamed = admin.patch(&path(&key, ""), json!({ "name": "Renamed" })).await.ok();
    assert_eq!((&renamed["status"], &renamed["name"]), (&json!("expired"), &json!("Renamed")));
    let again = admin.patch(&path(&key, ""), json!({ "expires_at": "2027-01-01T14:00:00Z" })).await.ok();
    assert_eq!(again["status"], "active");
    client.get("/v1/customers").await.ok();
    set(&server, "2027-01-01T14:00:00Z");
    refused(client.get("/v1/customers").await);
    assert_eq!(admin.act(&path(&key, "/revoke")).await.ok()["status"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_before_goes_on_for_the_overlap() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (key, first) = make(&server, &admin, json!({ "name": "Turns", "role": "sales" })).await;
    first.get("/v1/customers").await.ok();
    let answer = admin.post(&path(&key, "/rotate"), json!({ "overlap_seconds": 600 })).await;
    assert_eq!(answer.header("etag"), "\"2\"");
    let (rotated, second) = made(&server, answer.ok());
    assert_eq!((&rotated["id"], &rotated["version"]), (&key["id"], &json!(2)));
    assert_ne!(rotated["last_four"], key["last_four"]);
    let expected = json!({
        "at": "2027-01-01T12:00:00Z",
        "previous_last_four": key["last_four"],
        "previous_ends_at": "2027-01-01T12:10:00Z",
    });
    assert_eq!(rotated["rotated"], expected);
    for client in [&first, &second] {
        client.get("/v1/customers").await.ok();
    }
    set(&server, "2027-01-01T12:09:59.999999Z");
    first.get("/v1/customers").await.ok();
    set(&server, "2027-01-01T12:10:00Z");
    let detail = refused(first.get("/v1/customers").await);
    assert!(detail.contains("rotated"), "{detail}");
    second.get("/v1/customers").await.ok();
    assert_eq!(admin.get(&path(&key, "")).await.ok()["rotated"], expected, "the key shows it later, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_secrets_work_at_the_most_and_one_with_no_overlap() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (key, first) = make(&server, &admin, json!({ "name": "Turns", "role": "sales" })).await;
    let (rotated, second) = made(&server, admin.act(&path(&key, "/rotate")).await.ok());
    assert_eq!(rotated["rotated"]["previous_ends_at"], "2027-01-02T12:00:00Z", "the default is a day");
    let (_, third) = made(&server, admin.post(&path(&key, "/rotate"), json!({})).await.ok());
    let detail = refused(first.get("/v1/customers").await);
    assert!(detail.contains("unknown"), "the secret before the previous one ends immediately: {detail}");
    for client in [&second, &third] {
        client.get("/v1/customers").await.ok();
    }
    let (_, fourth) = made(&server, admin.post(&path(&key, "/rotate"), json!({ "overlap_seconds": 0 })).await.ok());
    for client in [&first, &second, &third] {
        refused(client.get("/v1/customers").await);
    }
    fourth.get("/v1/customers").await.ok();
    for seconds in [-1, 604_801] {
        let found = admin.post(&path(&key, "/rotate"), json!({ "overlap_seconds": seconds })).await.violations();
        assert_eq!(found, [("/overlap_seconds".to_owned(), "out_of_range".to_owned())]);
    }
    let stale = admin.with("if-match", "\"1\"").act(&path(&key, "/rotate")).await;
    stale.problem(412, "version_mismatch");
    let week = admin.post(&path(&key, "/rotate"), json!({ "overlap_seconds": 604_800 })).await.ok();
    assert_eq!(week["api_key"]["rotated"]["previous_ends_at"], "2027-01-08T12:00:00Z");
    let (_, fifth) = made(&server, week);
    admin.act(&path(&key, "/revoke")).await.ok();
    for client in [&fourth, &fifth] {
        let detail = refused(client.get("/v1/customers").await);
        assert!(detail.contains("revoked"), "this applies to all of its secrets: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_for_good() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (key, client) = make(&server, &admin, json!({ "name": "Leaked", "role": "admin" })).await;
    client.get("/v1/customers").await.ok();
    let revoked = admin.post(&path(&key, "/revoke"), json!({ "reason": " Seen in a log " })).await.ok();
    assert_eq!((&revoked["status"], &revoked["version"]), (&json!("revoked"), &json!(2)));
    assert_eq!(revoked["revoked"], json!({ "at": "2027-01-01T12:00:00Z", "reason": "Seen in a log" }));
    assert!(revoked["actions"].as_array().unwrap().iter().all(|action| action["allowed"] == false));
    let detail = refused(client.get("/v1/customers").await);
    assert!(detail.contains("revoked"), "{detail}");

    set(&server, "2027-01-02T12:00:00Z");
    let before = server.database.fingerprint().await;
    let again = admin.post(&path(&key, "/revoke"), json!({ "reason": "Again" })).await.ok();
    assert_eq!(again, revoked, "the first reason stays");
    admin.act(&path(&key, "/rotate")).await.problem(409, "invalid_transition");
    let edit = admin.patch(&path(&key, ""), json!({ "expires_at": "2027-06-01T00:00:00Z" })).await;
    edit.problem(409, "invalid_transition");
    assert_eq!(before, server.database.fingerprint().await, "nothing changed");
    refused(client.get("/v1/customers").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrators_key_can_be_revoked_by_itself_and_the_command_line_makes_another() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let own = admin.get(KEYS).await.ok()["data"][0].clone();
    assert_eq!(admin.act(&path(&own, "/revoke")).await.ok()["status"], "revoked");
    refused(admin.get(KEYS).await);
    assert_eq!(server.admin().await.get(&path(&own, "")).await.ok()["status"], "revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_disabled_reseller_is_made_and_works_once_it_is_enabled() {
    let world = World::new().await;
    let reseller = format!("/v1/resellers/{}", id(&world.reseller_id));
    world.admin.act(&format!("{reseller}/disable")).await.ok();
    let body = json!({ "name": "Later", "role": "sales", "partner_id": world.reseller_id });
    let (_, client) = make(&world.server, &world.admin, body).await;
    client.get("/v1/customers").await.problem(403, "reseller_disabled");
    world.admin.act(&format!("{reseller}/enable")).await.ok();
    client.get("/v1/customers").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_known_to_the_minute_and_moves_no_version() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (key, client) = make(&server, &admin, json!({ "name": "Used", "role": "sales" })).await;
    let before = server.database.fingerprint().await;
    for (now, used) in [
        ("2027-01-01T12:34:56.789Z", "2027-01-01T12:34:00Z"),
        ("2027-01-01T12:34:59.999Z", "2027-01-01T12:34:00Z"),
        ("2027-01-01T12:35:00Z", "2027-01-01T12:35:00Z"),
    ] {
        set(&server, now);
        client.get("/v1/customers").await.ok();
        client.get(KEYS).await.problem(403, "forbidden");
        server.write_uses().await;
        let seen = admin.get(&path(&key, "")).await.ok();
        assert_eq!((&seen["last_used_at"], &seen["version"]), (&json!(used), &json!(1)));
        let listed = admin.get(&format!("{KEYS}?role=sales")).await.ok();
        assert_eq!(listed["data"][0]["last_used_at"], used);
    }
    assert_eq!(before, server.database.fingerprint().await, "nothing else changed");
    // An instance whose clock is behind does not set it back.
    let other = server.beside().await;
    set(&other, "2027-01-01T12:00:00Z");
    let elsewhere = Client::new(&other.url, client.key());
    elsewhere.get("/v1/customers").await.ok();
    other.write_uses().await;
    let renamed = admin.patch(&path(&key, ""), json!({ "name": "Renamed" })).await.ok();
    assert_eq!(renamed["last_used_at"], "2027-01-01T12:35:00Z");
    // It is also written in the background.
    set(&server, "2027-01-01T13:00:00Z");
    client.get("/v1/customers").await.ok();
    for _ in 0..200 {
        if admin.get(&path(&key, "")).await.ok()["last_used_at"] == "2027-01-01T13:00:00Z" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the last use was not written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_from_before_this_was_kept_of_keys_goes_on() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for change in ["down", "up"] {
        let file = format!("{}/migrations/2026-11-24-000011_manage_api_keys/{change}.sql", env!("CARGO_MANIFEST_DIR"));
        server.database.execute(&std::fs::read_to_string(file).unwrap()).await;
    }
    let key = admin.get(KEYS).await.ok()["data"][0].clone();
    for unknown in ["prefix", "last_four", "last_used_at", "expires_at", "rotated", "revoked"] {
        assert_eq!(key[unknown], Value::Null, "{unknown}");
    }
    assert_eq!((&key["created_by"], &key["version"]), (&json!("system"), &json!(1)));
    assert_eq!(key["updated_at"], key["created_at"]);
    let (rotated, second) = made(&server, admin.act(&path(&key, "/rotate")).await.ok());
    assert_eq!(rotated["rotated"]["previous_last_four"], Value::Null);
    assert!(rotated["prefix"].as_str().unwrap().starts_with("ppk_"));
    for client in [&admin, &second] {
        client.get(KEYS).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_while_a_request_is_on_its_way_writes_nothing() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let body = json!({ "name": "left behind", "role": "admin" }).to_string();
    for keyed in ["", "Idempotency-Key: slow\r\n"] {
        let (made, client) = make(&server, &admin, json!({ "name": "stolen", "role": "admin" })).await;
        let mut slow = Raw::connect(&server.url).await;
        let (secret, length) = (client.key().unwrap(), body.len());
        let head = format!(
            "POST /v1/api-keys HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {secret}\r\n{keyed}Content-Length: {length}\r\n\r\n"
        );
        slow.write(head.as_bytes()).await;
        // Once a later request is served, the server has read the head of the slow one.
        client.get("/v1/customers").await.ok();
        admin.act(&format!("/v1/api-keys/{}/revoke", id(&made["id"]))).await.ok();
        slow.write(body.as_bytes()).await;
        assert_eq!(slow.read().await.status(), 401);
    }
    assert!(!names(&admin, "").await.contains(&"left behind".to_owned()));
}
