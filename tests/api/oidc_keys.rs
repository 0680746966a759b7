//! The keys of an OpenID Connect issuer: fetched on demand, kept during an outage, and not requested too often.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::issuer::{Issuer, Manner, SigningKey, base64, unsigned};
use crate::support::{Answer, Raw, Server};

/// An issuer with one key, and a server that trusts it.
struct Trust {
    key: SigningKey,
    issuer: Issuer,
    server: Server,
}

impl Trust {
    async fn new() -> Self {
        let key = SigningKey::p256("first");
        let issuer = Issuer::start(&[&key]).await;
        let server = Server::trusting(issuer.settings()).await;
        Self { key, issuer, server }
    }

    async fn ask(&self, key: &SigningKey) -> Answer {
        let token = key.token(&self.issuer.claims(self.server.clock.now()));
        self.server.bearing(&token).get("/v1/resellers").await
    }

    async fn ok(&self, key: &SigningKey) {
        self.ask(key).await.ok();
    }

    async fn refused(&self, key: &SigningKey) {
        self.ask(key).await.problem(401, "unauthenticated");
    }

    async fn unavailable(&self, key: &SigningKey) {
        let answer = self.ask(key).await;
        assert_eq!(answer.header("retry-after"), "2");
        answer.problem(503, "unavailable");
    }

    fn pass(&self, span: TimeDelta) {
        self.server.clock.set(self.server.clock.now() + span);
    }

    #[track_caller]
    fn asked(&self, times: usize) {
        assert_eq!(self.issuer.asked(), (times, times));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_asked_for_once_in_ten_minutes() {
    let trust = Trust::new().await;
    trust.asked(0);
    // Concurrent requests: one fetches the keys, the others wait.
    join_all((0..20).map(|_| trust.ok(&trust.key))).await;
    trust.asked(1);
    trust.pass(TimeDelta::seconds(599));
    trust.ok(&trust.key).await;
    trust.asked(1);
    trust.pass(TimeDelta::seconds(1));
    join_all((0..20).map(|_| trust.ok(&trust.key))).await;
    trust.asked(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_looked_for_once_and_then_refused() {
    let trust = Trust::new().await;
    trust.ok(&trust.key).await;
    trust.pass(TimeDelta::seconds(10));
    let unknown = SigningKey::p256("unknown");
    join_all((0..20).map(|_| trust.refused(&unknown))).await;
    trust.asked(2);
    for number in 0..20 {
        trust.refused(&SigningKey::p256(&format!("unknown {number}"))).await;
    }
    trust.pass(TimeDelta::milliseconds(9999));
    trust.refused(&unknown).await;
    trust.asked(2);
    trust.pass(TimeDelta::milliseconds(1));
    trust.refused(&unknown).await;
    trust.asked(3);
    trust.ok(&trust.key).await;
    trust.asked(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_without_a_restart() {
    let trust = Trust::new().await;
    trust.ok(&trust.key).await;
    let second = SigningKey::p256("second");
    trust.issuer.show(&[&trust.key, &second]);
    // The keys were fetched just now.
    trust.refused(&second).await;
    trust.pass(TimeDelta::seconds(10));
    trust.ok(&second).await;
    trust.ok(&trust.key).await;
    trust.asked(2);

    trust.issuer.show(&[&second]);
    trust.pass(TimeDelta::minutes(10));
    trust.ok(&second).await;
    trust.refused(&trust.key).await;
    trust.asked(3);

    // The key has changed, but its id is the same.
    let third = SigningKey::p256("second");
    trust.issuer.show(&[&third]);
    trust.pass(TimeDelta::minutes(10));
    trust.ok(&third).await;
    trust.refused(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_gone_is_missed_after_an_hour() {
    let trust = Trust::new().await;
    trust.ok(&trust.key).await;
    trust.issuer.behave(Manner::Gone);
    for _ in 0..5 {
        trust.pass(TimeDelta::minutes(10));
        trust.ok(&trust.key).await;
    }
    trust.pass(TimeDelta::minutes(9));
    trust.ok(&trust.key).await;
    // The issuer may have created a new key.
    trust.unavailable(&SigningKey::p256("second")).await;
    trust.pass(TimeDelta::minutes(1));
    trust.unavailable(&trust.key).await;
    trust.issuer.behave(Manner::Well);
    trust.unavailable(&trust.key).await;
    trust.pass(TimeDelta::seconds(10));
    trust.ok(&trust.key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nobody_can_tell() {
    let trust = Trust::new().await;
    trust.issuer.behave(Manner::Gone);
    join_all((0..20).map(|_| trust.unavailable(&trust.key))).await;
    assert_eq!(trust.issuer.asked().0, 1);
    // Errors that can be found without keys are reported. API keys are not affected.
    trust.server.bearing("no.token.this").get("/v1/resellers").await.problem(401, "unauthenticated");
    trust.server.admin().await.get("/v1/resellers").await.ok();
    trust.issuer.behave(Manner::Well);
    trust.pass(TimeDelta::seconds(10));
    trust.ok(&trust.key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_issuer_holds_up_one_request_at_most() {
    let trust = Trust::new().await;
    trust.ok(&trust.key).await;
    trust.issuer.behave(Manner::Silent);
    trust.pass(TimeDelta::minutes(10));
    let took = |request: Answer, started: Instant| {
        request.ok();
        started.elapsed() > Duration::from_secs(4)
    };
    let requests = (0..10).map(|_| async {
        let started = Instant::now();
        took(trust.ask(&trust.key).await, started)
    });
    let held_up = join_all(requests).await.into_iter().filter(|long| *long).count();
    assert_eq!(held_up, 1, "one request fetches the keys, and the others use the known ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_while_the_issuer_is_slow_takes_no_keys_from_the_others() {
    let trust = Trust::new().await;
    trust.issuer.behave(Manner::Slow);
    let forged = unsigned(&json!({ "alg": "ES256", "kid": "forged" }), &json!({}));
    let mut client = Raw::connect(&trust.server.url).await;
    let head =
        format!("GET /v1/resellers HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {forged}.{}\r\n\r\n", base64("x"));
    client.write(head.as_bytes()).await;
    while trust.issuer.asked().0 == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.reset();
    trust.ok(&trust.key).await;
    trust.asked(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_answers_oddly_has_no_keys() {
    let trust = Trust::new().await;
    let (url, keys) = (trust.issuer.url.clone(), json!({ "keys": [trust.key.jwk()] }));
    let fails = async |what: &str| {
        trust.pass(TimeDelta::seconds(10));
        let answer = trust.ask(&trust.key).await;
        assert_eq!(answer.status, 503, "{what}: {}", answer.body);
    };
    for other in [json!("https://other.example"), json!(format!("{url}/")), json!(null), json!([url])] {
        trust.issuer.discovery("issuer", other);
        fails("another issuer").await;
    }
    trust.issuer.discovery("issuer", json!(url));
    for address in [json!("http://keys.example/keys"), json!("file:///etc/passwd"), json!("/keys"), json!(null)] {
        trust.issuer.discovery("jwks_uri", address);
        fails("no address for keys").await;
    }
    trust.issuer.discovery("jwks_uri", json!(format!("{url}/keys")));
    for manner in [Manner::Broken, Manner::Elsewhere, Manner::Endless] {
        trust.issuer.behave(manner);
        fails(&format!("{manner:?}")).await;
    }
    trust.issuer.behave(Manner::Well);
    for none in [json!({}), json!([trust.key.jwk()]), json!({ "keys": trust.key.jwk() }), json!("keys")] {
        trust.issuer.show_raw(none);
        fails("no keys").await;
    }
    trust.issuer.show_raw(keys);
    trust.pass(TimeDelta::seconds(10));
    trust.ok(&trust.key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_for_tokens_are_passed_over() {
    let trust = Trust::new().await;
    let with = |field: &str, value: serde_json::Value| {
        let mut jwk = trust.key.jwk();
        jwk[field] = value;
        jwk
    };
    for (what, jwk) in [
        ("for encryption", with("use", json!("enc"))),
        ("for signing, not verifying", with("key_ops", json!(["sign"]))),
        ("for another algorithm", with("alg", json!("ES384"))),
        ("for one that nobody knows", with("alg", json!("ES256K"))),
        ("on another curve", with("crv", json!("P-384"))),
        ("on one that nobody knows", with("crv", json!("secp256k1"))),
        ("of another kind", with("kty", json!("OKP"))),
        ("a secret", json!({ "kty": "oct", "kid": "first", "k": "c2VjcmV0", "alg": "ES256" })),
        ("half a key", with("y", json!(null))),
        ("no key", json!("key")),
    ] {
        trust.issuer.show_raw(json!({ "keys": [jwk, SigningKey::p256("other").jwk()] }));
        trust.pass(TimeDelta::minutes(10));
        let answer = trust.ask(&trust.key).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        trust.issuer.show_raw(json!({ "keys": [jwk, trust.key.jwk()] }));
        trust.pass(TimeDelta::minutes(10));
        let answer = trust.ask(&trust.key).await;
        assert_eq!(answer.status, 200, "next to a key that is {what}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_key_s_name_is_good_by_any_key_of_the_issuer_and_lets_them_rotate() {
    let trust = Trust::new().await;
    let ask = async |key: &SigningKey| {
        let claims = trust.issuer.claims(trust.server.clock.now());
        let token = key.token_with(&json!({ "alg": "ES256" }), &claims);
        trust.server.bearing(&token).get("/v1/resellers").await
    };
    let refused = async |key: &SigningKey| drop(ask(key).await.problem(401, "unauthenticated"));
    let (second, forged) = (SigningKey::p256("second"), SigningKey::p256("first"));
    ask(&trust.key).await.ok();
    trust.issuer.show(&[&second, &trust.key, &SigningKey::rsa("rsa", "RS256")]);
    // The keys were fetched just now.
    refused(&second).await;
    trust.asked(1);
    trust.pass(TimeDelta::seconds(10));
    join_all((0..20).map(|_| async { ask(&second).await.ok() })).await;
    ask(&trust.key).await.ok();
    trust.asked(2);

    trust.issuer.show(&[&second]);
    trust.pass(TimeDelta::minutes(10));
    refused(&trust.key).await;
    trust.asked(3);
    trust.pass(TimeDelta::seconds(10));
    join_all((0..20).map(|_| refused(&forged))).await;
    trust.asked(4);
    trust.issuer.behave(Manner::Gone);
    trust.pass(TimeDelta::seconds(10));
    // The issuer may have created a new key.
    ask(&forged).await.problem(503, "unavailable");
    ask(&second).await.ok();
}
