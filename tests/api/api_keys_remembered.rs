//! The cache of API keys: it saves the query for a known key, and never keeps an invalid key valid for too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use partner_platform::domain::authorization::Role;
use partner_platform::domain::id::ResellerId;
use partner_platform::domain::parties::reseller::ResellerStatus;
use partner_platform::ops::access;
use partner_platform::ops::credential_cache::AccessCache;
use partner_platform::platform::db;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::world::{World, company, id};
use crate::support::{Client, Database, Lock, Mode, Proxy, Server};

const KEYS: &str = "/v1/api-keys";

/// How long another instance may use a cached credential.
const A_SECOND: Duration = Duration::from_secs(1);

/// Creates a key. Returns its path, and a client with it.
async fn make(server: &Server, admin: &Client, role: &str) -> (String, Client) {
    let made = admin.post(KEYS, json!({ "name": "Made", "role": role })).await.created();
    (format!("{KEYS}/{}", id(&made["api_key"]["id"])), Client::new(&server.url, made["secret"].as_str()))
}

/// A client with the same key on another instance.
fn elsewhere(server: &Server, client: &Client) -> Client {
    Client::new(&server.url, client.key())
}

/// Sends a request that only checks the key: it is rejected before anything else is read from the database.
async fn knock(client: &Client) -> u16 {
    client.get("/v1/customers?limit=0").await.status
}

/// The response to [`knock`] if the key is valid.
const LET_IN: u16 = 422;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_loses_on_one_instance_it_loses_at_once_and_on_another_within_a_second() {
    let server = Server::start().await;
    let other = server.beside().await;
    let admin = server.admin().await;
    for (change, body) in [
        ("/revoke", None),
        ("/rotate", Some(json!({ "overlap_seconds": 0 }))),
        ("", Some(json!({ "expires_at": "2027-01-01T12:00:00.000001Z" }))),
    ] {
        let (path, client) = make(&server, &admin, "sales").await;
        let there = elsewhere(&other, &client);
        assert_eq!((knock(&client).await, knock(&there).await), (LET_IN, LET_IN));
        let path = format!("{path}{change}");
        match body {
            Some(body) if change.is_empty() => admin.patch(&path, body).await.ok(),
            Some(body) => admin.post(&path, body).await.ok(),
            None => admin.act(&path).await.ok(),
        };
        if change.is_empty() {
            for server in [&server, &other] {
                server.clock.set("2027-01-01T12:00:00.000001Z".parse().unwrap());
            }
        }
        assert_eq!(knock(&client).await, 401, "{change}");
        sleep(A_SECOND).await;
        assert_eq!(knock(&there).await, 401, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_given_no_time_ends_also_where_the_clock_is_behind() {
    let server = Server::start().await;
    let behind = server.beside().await;
    behind.clock.set(server.clock.now() - TimeDelta::seconds(5));
    let admin = server.admin().await;
    for (overlap, status) in [(0, 401), (1, LET_IN)] {
        let (path, client) = make(&server, &admin, "sales").await;
        let there = elsewhere(&behind, &client);
        assert_eq!(knock(&there).await, LET_IN);
        admin.post(&format!("{path}/rotate"), json!({ "overlap_seconds": overlap })).await.ok();
        sleep(A_SECOND).await;
        assert_eq!(knock(&there).await, status, "an overlap of {overlap} seconds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reseller_is_cut_off_and_let_in_again_within_a_second() {
    let world = World::new().await;
    let other = world.server.beside().await;
    let there = elsewhere(&other, &world.other);
    let reseller = format!("/v1/resellers/{}", id(&world.other_reseller_id));
    for _ in 0..2 {
        assert_eq!((knock(&world.other).await, knock(&there).await), (LET_IN, LET_IN));
        world.admin.act(&format!("{reseller}/disable")).await.ok();
        assert_eq!(knock(&world.other).await, 403);
        sleep(A_SECOND).await;
        assert_eq!(knock(&there).await, 403);
        world.admin.act(&format!("{reseller}/enable")).await.ok();
        assert_eq!(knock(&world.other).await, LET_IN);
        sleep(A_SECOND).await;
        assert_eq!(knock(&there).await, LET_IN);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hand_in_the_database_changes_is_noticed_within_a_second() {
    let world = World::new().await;
    assert_eq!(knock(&world.other).await, LET_IN);
    for (change, status) in [
        ("UPDATE resellers SET disabled_at = now()", 403),
        ("UPDATE resellers SET disabled_at = NULL", LET_IN),
        ("UPDATE api_keys SET revoked_at = now() WHERE reseller_id IS NOT NULL", 401),
        ("UPDATE api_keys SET revoked_at = NULL", LET_IN),
        ("DELETE FROM api_keys WHERE reseller_id IS NOT NULL", 401),
    ] {
        world.server.database.execute(change).await;
        sleep(A_SECOND).await;
        assert_eq!(knock(&world.other).await, status, "{change}");
    }
    let version = "SELECT version FROM access_version";
    let before = world.server.database.text(version).await;
    let name = format!("/v1/resellers/{}", id(&world.other_reseller_id));
    world.admin.patch(&name, json!({ "company_name": "Renamed" })).await.ok();
    world.admin.post("/v1/resellers", company("New")).await.created();
    let (key, _) = make(&world.server, &world.admin, "sales").await;
    world.admin.patch(&key, json!({ "name": "Renamed" })).await.ok();
    assert_eq!(
        world.server.database.text(version).await,
        before,
        "changes without effect on credentials cost no lookups"
    );
}

/// Revokes a key while many clients use it: after the response to the revocation, no request with it is accepted.
async fn storm(server: &Server, admin: &Client) {
    let (path, client) = make(server, admin, "sales").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut requests = JoinSet::new();
    for _ in 0..8 {
        // Each client is accepted once before it begins.
        assert_eq!(knock(&client).await, LET_IN);
        let (client, is_over, before) = (client.clone(), Arc::clone(&is_over), Instant::now());
        requests.spawn(async move {
            let mut last_let_in = before;
            while !is_over.load(Ordering::Relaxed) {
                let sent = Instant::now();
                match knock(&client).await {
                    LET_IN => last_let_in = sent,
                    401 => {}
                    other => panic!("{other} is not an expected status"),
                }
            }
            last_let_in
        });
    }
    sleep(Duration::from_millis(fastrand::u64(30..350))).await;
    admin.act(&format!("{path}/revoke")).await.ok();
    let answered = Instant::now();
    sleep(Duration::from_millis(200)).await;
    is_over.store(true, Ordering::Relaxed);
    for last_let_in in requests.join_all().await {
        assert!(
            last_let_in < answered,
            "a request was accepted {:?} after the key was revoked",
            last_let_in - answered
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_use_a_key_none_gets_in_after_it_was_revoked() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for _ in 0..8 {
        storm(&server, &admin).await;
    }
}

/// A server whose clock cannot be moved, because a movable clock is queried with every request.
async fn behind_a_proxy() -> (Server, Proxy) {
    let database = Database::create().await;
    let proxy = Proxy::start(&database).await;
    let impatient = db::Settings {
        connect_timeout: Duration::from_millis(500),
        acquire_timeout: Duration::from_millis(500),
        statement_timeout: Duration::from_millis(500),
        ..crate::support::settings()
    };
    let server = Server::production_on(database, &proxy.url, impatient).await;
    (server, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_key_costs_no_query_and_nobody_is_let_in_without_the_database_for_more_than_a_second() {
    let (server, proxy) = behind_a_proxy().await;
    let admin = server.admin().await;
    let mut proved = 0;
    for _ in 0..40 {
        let (_, stranger) = make(&server, &admin, "sales").await;
        assert_eq!(knock(&admin).await, LET_IN);
        proxy.set(Mode::Refuse);
        let cut = Instant::now();
        let known = knock(&admin).await;
        // On a busy machine the check may be late, or may have just found the database unavailable.
        let in_time = known == LET_IN;
        assert_eq!(knock(&stranger).await, 503, "an unknown key must be looked up");
        sleep(A_SECOND.saturating_sub(cut.elapsed())).await;
        assert_eq!(knock(&admin).await, 503);
        proxy.set(Mode::Pass);
        while knock(&admin).await != LET_IN {
            sleep(Duration::from_millis(50)).await;
        }
        proved += usize::from(in_time);
        if proved == 3 {
            return;
        }
    }
    panic!("a known key is looked up each time");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_very_key_is_the_key() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let (_, client) = make(&server, &admin, "sales").await;
    let secret = client.key().unwrap().to_owned();
    let (body, last) = secret.split_at(secret.len() - 1);
    let swapped: String = secret
        .chars()
        .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    let others = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/";
    let mut wrong: Vec<_> =
        others.chars().filter(|c| *c != last.chars().next().unwrap()).map(|c| format!("{body}{c}")).collect();
    wrong.extend([body, &secret[4..], &secret[..20], "ppk_", "ppk"].map(str::to_owned));
    wrong.extend([swapped, secret.to_lowercase(), secret.to_uppercase(), secret.replacen("ppk", "PPK", 1)]);
    wrong.extend(["A", "=", ".", " x", ",", "%00", "/.."].map(|tail| format!("{secret}{tail}")));
    wrong.extend([format!("{secret}{secret}"), format!("x{secret}"), format!("{secret} {secret}")]);
    wrong.push(secret.replacen('_', "__", 1));
    for round in ["before it is remembered", "while it is remembered"] {
        for wrong in &wrong {
            assert_eq!(knock(&Client::new(&server.url, Some(wrong))).await, 401, "{round}: {wrong}");
        }
        assert_eq!(knock(&client).await, LET_IN, "{round}");
    }
    for scheme in ["bearer", "BEARER"] {
        let header = format!("{scheme} {secret}");
        assert_eq!(knock(&server.stranger().with("authorization", &header)).await, LET_IN, "{scheme}");
    }
    assert_eq!(knock(&server.stranger().with("authorization", &secret)).await, 401, "without a scheme");
}

fn made_up(letter: char, number: usize) -> String {
    format!("ppk_{letter}{number:0>3}{}", "A".repeat(39))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_asked_for_an_unknown_key_once() {
    let server = Server::start().await;
    server.admin().await.get("/v1/customers").await.ok();
    let stranger = Client::new(&server.url, Some(&made_up('A', 0)));
    let problem = stranger.get("/v1/customers").await.problem(401, "unauthenticated");
    assert!(problem["detail"].as_str().unwrap().contains("unknown"), "{problem}");
    // A query would wait for the lock.
    let lock = Lock::hold(&server.database, "api_keys").await;
    for _ in 0..10 {
        stranger.get("/v1/customers").await.problem(401, "unauthenticated");
    }
    lock.release().await;
    server.admin().await.get("/v1/customers").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_sends_many_unknown_keys_has_to_wait_and_its_known_keys_do_not() {
    let server = Server::start().await;
    let admin = server.admin().await;
    admin.get("/v1/customers").await.ok();
    let refused =
        async |letter, number| Client::new(&server.url, Some(&made_up(letter, number))).get("/v1/customers").await;
    for number in 0..60 {
        refused('B', number).await.problem(401, "unauthenticated");
    }
    let lock = Lock::hold(&server.database, "api_keys").await;
    for number in 0..10 {
        let answer = refused('C', number).await;
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        let problem = answer.problem(429, "rate_limited");
        assert!(problem["detail"].as_str().unwrap().contains("unknown keys"), "{problem}");
    }
    admin.get("/v1/customers").await.ok();
    lock.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_at_once_are_hardly_more_questions_than_one_after_the_other() {
    let server = Server::start().await;
    let requests = (0..200).map(|number| {
        let client = Client::new(&server.url, Some(&made_up('D', number)));
        async move { client.get("/v1/customers").await.status }
    });
    let statuses = futures_util::future::join_all(requests).await;
    let (unknown, too_many) =
        (statuses.iter().filter(|status| **status == 401), statuses.iter().filter(|status| **status == 429));
    let (unknown, too_many) = (unknown.count(), too_many.count());
    // Lookups that run at the same time may exceed the limit.
    assert!((60..=110).contains(&unknown) && unknown + too_many == 200, "{unknown} {too_many}");
}

/// Whether a reseller is enabled, as an instance sees it in its cache.
async fn state(server: &Server, cache: &AccessCache, reseller: &Value) -> Option<ResellerStatus> {
    let reseller = ResellerId(id(reseller).parse().unwrap());
    access::reseller_state(&server.db, cache, reseller).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_reseller_works_is_remembered_in_the_same_way() {
    let world = World::new().await;
    let (cache, reseller) = (AccessCache::default(), &world.other_reseller_id);
    assert_eq!(state(&world.server, &cache, &json!("01990000-0000-7000-8000-000000000000")).await, None);
    assert_eq!(state(&world.server, &cache, reseller).await, Some(ResellerStatus::Enabled));
    let path = format!("/v1/resellers/{}", id(reseller));
    world.admin.act(&format!("{path}/disable")).await.ok();
    access::follow(&world.server.db, &cache).await.unwrap();
    assert_eq!(state(&world.server, &cache, reseller).await, Some(ResellerStatus::Disabled));
    world.admin.act(&format!("{path}/enable")).await.ok();
    sleep(A_SECOND).await;
    assert_eq!(state(&world.server, &cache, reseller).await, Some(ResellerStatus::Enabled));
    let new = world.admin.post("/v1/resellers", company("New")).await.created();
    assert_eq!(state(&world.server, &cache, &new["id"]).await, Some(ResellerStatus::Enabled));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_is_the_keys_own_however_many_take_turns() {
    let server = Server::start().await;
    let mut clients = Vec::new();
    for role in Role::ALL {
        clients.push((role, server.client(*role, None).await));
    }
    for _ in 0..3 {
        for (role, client) in &clients {
            let status = client.post("/v1/products", json!({})).await.status;
            let may = matches!(role, Role::Admin | Role::Sales);
            assert_eq!(status, if may { 422 } else { 403 }, "{role}");
        }
    }
}
