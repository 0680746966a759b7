//! Tokens of an OpenID Connect issuer: the caller that they stand for, and which are rejected.

use chrono::{DateTime, TimeDelta, Utc};
use partner_platform::platform::oidc::{Algorithm, Settings};
use ring::hmac;
use serde_json::{Value, json};

use crate::support::issuer::{Issuer, SigningKey, base64, unsigned};
use crate::support::world::{World, company, id};
use crate::support::{Answer, Server};

const UNKNOWN: &str = "01990000-0000-7000-8000-000000000000";

/// The challenge for a rejected token (RFC 6750, 3.1).
const REFUSED: &str = "Bearer realm=\"partner-platform\", error=\"invalid_token\"";

/// An issuer with a key of each kind that is allowed by default, and a world that trusts it.
struct Trust {
    rsa: SigningKey,
    p256: SigningKey,
    issuer: Issuer,
    world: World,
}

impl Trust {
    async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    async fn with(change: impl FnOnce(Settings) -> Settings) -> Self {
        let (rsa, p256) = (SigningKey::rsa("rsa", "RS256"), SigningKey::p256("p256"));
        let issuer = Issuer::start(&[&rsa, &p256]).await;
        let world = World::on(Server::trusting(change(issuer.settings())).await).await;
        Self { rsa, p256, issuer, world }
    }

    fn now(&self) -> DateTime<Utc> {
        self.world.server.clock.now()
    }

    /// Valid claims with some changes; null removes a claim.
    fn claims(&self, changes: Value) -> Value {
        let mut claims = self.issuer.claims(self.now());
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    fn token(&self, changes: Value) -> String {
        self.p256.token(&self.claims(changes))
    }

    async fn read(&self, token: &str) -> Answer {
        self.world.server.bearing(token).get("/v1/customers").await
    }

    async fn write(&self, token: &str) -> Answer {
        self.world.server.bearing(token).post("/v1/customers", company("By token")).await
    }

    async fn assert_good(&self, what: &str, token: &str) {
        let answer = self.read(token).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
    }

    /// Checks that each is rejected with the same message, and changes nothing.
    async fn assert_refused(&self, tokens: &[(&str, String)]) {
        let before = self.world.server.database.fingerprint().await;
        let expected = self.write("ppk_none").await.problem(401, "unauthenticated")["detail"].clone();
        for (what, token) in tokens {
            for answer in [self.read(token).await, self.write(token).await] {
                assert_eq!(answer.status, 401, "{what}: {}", answer.body);
                assert_eq!(answer.header("www-authenticate"), REFUSED, "{what}");
                assert_eq!(answer.problem(401, "unauthenticated")["detail"], expected, "{what}");
            }
        }
        assert_eq!(before, self.world.server.database.fingerprint().await, "nothing changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_and_the_reseller_of_a_token_decide() {
    let trust = Trust::new().await;
    for key in [&trust.rsa, &trust.p256] {
        let admin = trust.world.server.bearing(&key.token(&trust.claims(json!({}))));
        admin.post("/v1/resellers", company(&format!("By {}", key.id))).await.created();
        admin.get(&trust.world.customer("")).await.ok();
    }
    let billing = trust.world.server.bearing(&trust.token(json!({ "role": "billing" })));
    billing.get(&trust.world.customer("")).await.ok();
    billing.post("/v1/customers", company("By billing")).await.problem(403, "forbidden");

    let of = |reseller: &Value| trust.world.server.bearing(&trust.token(json!({ "reseller_id": reseller })));
    let (own, other) = (of(&trust.world.reseller_id), of(&trust.world.other_reseller_id));
    own.patch(&trust.world.customer(""), json!({ "company_name": "By its reseller" })).await.ok();
    own.post("/v1/resellers", company("By a reseller")).await.problem(403, "forbidden");
    let new = own.post("/v1/customers", company("By a reseller")).await.created();
    assert_eq!(new["partner_id"], trust.world.reseller_id);
    other.get(&trust.world.customer("")).await.problem(404, "not_found");
    assert_eq!(other.get("/v1/customers").await.ok()["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_tokens_go_side_by_side() {
    let trust = Trust::new().await;
    trust.world.admin.get("/v1/customers").await.ok();
    assert_eq!(trust.issuer.asked(), (0, 0), "an API key is not looked up at the issuer");
    for none in ["ppk_forged", "forged", "a.b.c", "...", ".."] {
        trust.read(none).await.problem(401, "unauthenticated");
    }
    assert_eq!(trust.issuer.asked(), (0, 0), "text that cannot be a token is not, either");
    trust.assert_good("a token", &trust.token(json!({}))).await;

    let without = Server::start().await;
    without.bearing(&trust.token(json!({}))).get("/v1/customers").await.problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_a_reseller_that_is_disabled_or_not_there_is_refused() {
    let trust = Trust::new().await;
    let token = trust.token(json!({ "reseller_id": trust.world.reseller_id }));
    trust.assert_good("an enabled reseller", &token).await;
    let reseller = format!("/v1/resellers/{}", id(&trust.world.reseller_id));
    trust.world.admin.act(&format!("{reseller}/disable")).await.ok();
    trust.read(&token).await.problem(403, "reseller_disabled");
    trust.write(&token).await.problem(403, "reseller_disabled");
    trust.world.admin.act(&format!("{reseller}/enable")).await.ok();
    trust.assert_good("enabled again", &token).await;
    trust.assert_refused(&[("an unknown reseller", trust.token(json!({ "reseller_id": UNKNOWN })))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_are_refused() {
    let trust = Trust::new().await;
    let claims = trust.claims(json!({}));
    let impostor = SigningKey::p256("p256");
    let good = trust.p256.token(&claims);
    let [head, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("a token has three parts") };
    let technician = trust.token(json!({ "role": "technician" }));
    let others = technician.rsplit_once('.').unwrap().1;
    let none = |alg: &str| format!("{}.", unsigned(&json!({ "alg": alg, "typ": "JWT", "kid": "p256" }), &claims));
    trust
        .assert_refused(&[
            ("another key of the same name", impostor.token(&claims)),
            ("the signature of another token", format!("{head}.{body}.{others}")),
            ("a signature that is cut", format!("{head}.{body}.{}", &signature[..40])),
            ("no signature", format!("{head}.{body}.")),
            ("no third part", format!("{head}.{body}")),
            ("a fourth part", format!("{good}.{signature}")),
            ("a signature of zeros", format!("{head}.{body}.{}", base64([0; 64]))),
            ("padding", format!("{good}==")),
            ("no algorithm", none("none")),
            ("no algorithm, shouted", none("NONE")),
            ("no algorithm, mumbled", none("nOnE")),
            ("no algorithm, signed", trust.p256.token_with(&json!({ "alg": "none", "kid": "p256" }), &claims)),
            ("no name of an algorithm", trust.p256.token_with(&json!({ "kid": "p256" }), &claims)),
        ])
        .await;
    trust.assert_good("the one that was forged", &good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_is_no_secret_to_sign_with() {
    let trust = Trust::new().await;
    let claims = trust.claims(json!({}));
    let mut tokens = Vec::new();
    for key in [&trust.rsa, &trust.p256] {
        let jwk = key.jwk();
        let modulus = jwk["n"].as_str().unwrap_or_default();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(key.public()));
        for secret in [key.public(), jwk.to_string().into(), modulus.into(), pem.into(), Vec::new()] {
            for (alg, hmac) in
                [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
            {
                let message = unsigned(&json!({ "alg": alg, "typ": "JWT", "kid": key.id }), &claims);
                let signature = hmac::sign(&hmac::Key::new(hmac, &secret), message.as_bytes());
                tokens.push((alg, format!("{message}.{}", base64(signature))));
            }
        }
    }
    trust.assert_refused(&tokens).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_algorithm_is_taken_only_with_a_key_of_its_own() {
    let trust = Trust::new().await;
    let claims = trust.claims(json!({}));
    let head = |alg: &str, kid: &str| json!({ "alg": alg, "typ": "JWT", "kid": kid });
    trust
        .assert_refused(&[
            ("RSA under the name of a curve", trust.rsa.token_with(&head("RS256", "p256"), &claims)),
            ("a curve under the name of RSA", trust.p256.token_with(&head("ES256", "rsa"), &claims)),
            ("a curve said to be RSA", trust.p256.token_with(&head("RS256", "p256"), &claims)),
            ("RSA said to be a curve", trust.rsa.token_with(&head("ES256", "rsa"), &claims)),
            ("one that is not allowed", SigningKey::rsa("rsa", "PS256").token(&claims)),
            ("a longer one", SigningKey::rsa("rsa", "RS512").token(&claims)),
            ("another curve", SigningKey::p384("p256").token(&claims)),
            ("the other one's name", trust.p256.token_with(&head("ES384", "p256"), &claims)),
            ("Edwards", SigningKey::ed25519("p256").token(&claims)),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_algorithm_that_is_allowed_works_with_the_key_that_says_so() {
    let algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    let all = algorithms.map(|name| partner_platform::platform::oidc::algorithm(name).unwrap());
    let trust = Trust::with(|settings| Settings { algorithms: all.to_vec(), ..settings }).await;
    let claims = trust.claims(json!({}));
    let rsa = algorithms[..6].iter().map(|name| SigningKey::rsa(name, name));
    let keys: Vec<_> =
        rsa.chain([SigningKey::p256("ES256"), SigningKey::p384("ES384"), SigningKey::ed25519("EdDSA")]).collect();
    trust.issuer.show(&keys.iter().collect::<Vec<_>>());
    for key in &keys {
        trust.assert_good(&key.id, &key.token(&claims)).await;
    }
    // The key pair is the same, but its purpose is different.
    let (own, other) = (SigningKey::rsa("RS256", "RS256"), SigningKey::rsa("RS256", "PS256"));
    trust.assert_good("its own", &own.token(&claims)).await;
    trust.assert_refused(&[("another of the same kind", other.token(&claims))]).await;
    for symmetric in ["HS256", "HS384", "HS512", "none", "", "rs256"] {
        assert!(partner_platform::platform::oidc::algorithm(symmetric).is_err(), "{symmetric}");
    }
    assert_eq!(all[0], Algorithm::RS256);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_brings_a_key_or_demands_more_is_refused() {
    let trust = Trust::new().await;
    let claims = trust.claims(json!({}));
    let impostor = SigningKey::p256("p256");
    let with = |key: &SigningKey, field: &str, value: Value| {
        let mut header = key.header();
        header[field] = value;
        key.token_with(&header, &claims)
    };
    let keys = format!("{}/keys", trust.issuer.url);
    trust
        .assert_refused(&[
            ("its own key", with(&impostor, "jwk", impostor.jwk())),
            ("even the right one", with(&trust.p256, "jwk", trust.p256.jwk())),
            ("where keys are", with(&trust.p256, "jku", json!(keys))),
            ("where a certificate is", with(&trust.p256, "x5u", json!(keys))),
            ("a certificate", with(&trust.p256, "x5c", json!(["MIIB"]))),
            ("an extension", with(&trust.p256, "crit", json!(["exp"]))),
            ("no extension", with(&trust.p256, "crit", json!([]))),
            ("a body that is not encoded", with(&trust.p256, "crit", json!(["b64"]))),
            ("for logging out", with(&trust.p256, "typ", json!("logout+jwt"))),
            ("a name that is none", with(&trust.p256, "kid", json!(7))),
        ])
        .await;
    trust.assert_good("an access token", &with(&trust.p256, "typ", json!("at+JWT"))).await;
    trust.assert_good("more to read", &with(&trust.p256, "x5t", json!("abc"))).await;
    assert_eq!(trust.issuer.asked(), (1, 1), "nothing else was looked up");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_issuer_and_audience_are_held_to() {
    let trust = Trust::new().await;
    let at = |seconds: i64| json!((trust.now() + TimeDelta::seconds(seconds)).timestamp());
    let url = &trust.issuer.url;
    let mut refused = vec![
        ("expired", json!({ "exp": at(-31) })),
        ("expired to the second", json!({ "exp": at(-30) })),
        ("without an end", json!({ "exp": null })),
        ("an end in words", json!({ "exp": "tomorrow" })),
        ("an end in digits", json!({ "exp": at(300).to_string() })),
        ("an end beyond time", json!({ "exp": 1e300 })),
        ("an end before time", json!({ "exp": -1e300 })),
        ("the last instant there is, and more", json!({ "exp": u64::MAX })),
        ("not valid yet", json!({ "nbf": at(31) })),
        ("valid from a word", json!({ "nbf": "now" })),
        ("issued tomorrow", json!({ "iat": at(86_400) })),
        ("issued in a moment", json!({ "iat": at(31) })),
        ("of another issuer", json!({ "iss": "https://other.example" })),
        ("of the issuer with a slash", json!({ "iss": format!("{url}/") })),
        ("of several issuers", json!({ "iss": [url] })),
        ("of nobody", json!({ "iss": null })),
        ("for others", json!({ "aud": "others" })),
        ("for several others", json!({ "aud": ["others", "partner-platform"] })),
        ("for part of the name", json!({ "aud": "partner-platform" })),
        ("for nobody", json!({ "aud": [] })),
        ("for whomever", json!({ "aud": null })),
        ("for a number", json!({ "aud": 7 })),
    ];
    for (what, subject) in [
        ("without a subject", Value::Null),
        ("with an empty subject", json!("")),
        ("with a subject in two lines", json!("a\nb")),
        ("with a numbered subject", json!(7)),
        ("with an endless subject", json!("x".repeat(256))),
    ] {
        refused.push((what, json!({ "sub": subject })));
    }
    let refused: Vec<_> = refused.into_iter().map(|(what, changes)| (what, trust.token(changes))).collect();
    trust.assert_refused(&refused).await;

    for (what, changes) in [
        ("expired as little as clocks are apart", json!({ "exp": at(-29) })),
        ("valid in as little", json!({ "nbf": at(30), "iat": at(30) })),
        ("with a fraction", json!({ "exp": trust.now().timestamp() as f64 + 10.5 })),
        ("without a beginning", json!({ "nbf": null, "iat": null })),
        ("for ever", json!({ "exp": 8_000_000_000_000_i64 })),
        ("for several", json!({ "aud": ["others", "partner-platform-tests"] })),
        ("with a long subject", json!({ "sub": "ü".repeat(255) })),
        ("with claims of others", json!({ "jti": "1", "groups": [{ "a": 1 }], "exp2": null })),
    ] {
        trust.assert_good(what, &trust.token(changes)).await;
    }
    let token = trust.token(json!({}));
    trust.world.server.clock.set(trust.now() + TimeDelta::seconds(329));
    trust.assert_good("until its end", &token).await;
    trust.world.server.clock.set(trust.now() + TimeDelta::seconds(1));
    trust.assert_refused(&[("after its end", token)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_role_is_refused() {
    let trust = Trust::new().await;
    let roles = [
        json!(null),
        json!("root"),
        json!("Admin"),
        json!(" admin"),
        json!(""),
        json!(1),
        json!(true),
        json!({ "admin": true }),
        json!([]),
        json!(["root", "user"]),
        json!(["admin", "billing"]),
        json!(["admin", "admin"]),
        json!([["admin"]]),
    ];
    let roles = roles.iter().map(|role| ("an odd role", trust.token(json!({ "role": role }))));
    trust.assert_refused(&roles.collect::<Vec<_>>()).await;
    trust.assert_good("one among others", &trust.token(json!({ "role": ["user", "sales", 7] }))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_works_for_nobody_that_can_be_told_is_refused_and_told_what_the_issuer_is_to_say() {
    let trust = Trust::new().await;
    let odd = [
        json!(""),
        json!("harbour"),
        json!("Partner"),
        json!(" partner"),
        json!("null"),
        json!(7),
        json!(false),
        json!([]),
        json!(["partner"]),
        json!([UNKNOWN]),
        json!({}),
    ];
    let mut tokens: Vec<_> = odd.iter().map(|odd| trust.token(json!({ "reseller_id": odd }))).collect();
    let mut claims = trust.claims(json!({}));
    claims["reseller_id"] = Value::Null;
    tokens.extend([trust.p256.token(&claims), trust.token(json!({ "reseller_id": null }))]);
    for token in tokens {
        for answer in [trust.read(&token).await, trust.write(&token).await] {
            assert_eq!(answer.header("www-authenticate"), REFUSED);
            let problem = answer.problem(401, "unauthenticated");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("`reseller_id`") && detail.contains("`partner`"), "{detail}");
        }
    }
    trust.assert_good("the partner's", &trust.token(json!({ "reseller_id": "partner" }))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_have_the_names_that_were_chosen() {
    let (role, reseller) = ("https://example.com/role", "tenant");
    let trust = Trust::with(|settings| Settings {
        role_claim: role.to_owned(),
        reseller_claim: reseller.to_owned(),
        ..settings
    })
    .await;
    let named = trust.token(json!({ "role": null, role: "admin", reseller: trust.world.other_reseller_id }));
    assert_eq!(trust.read(&named).await.ok()["data"], json!([]));
    trust.assert_refused(&[("the usual name", trust.token(json!({})))]).await;
    // A wrong claim does not make the caller one of the provider.
    for usual in [json!("partner"), trust.world.reseller_id.clone()] {
        let mistaken = trust.token(json!({ role: "admin", "reseller_id": usual }));
        let problem = trust.read(&mistaken).await.problem(401, "unauthenticated");
        assert!(problem["detail"].as_str().unwrap().contains("`tenant`"), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_or_too_long_is_refused_unread() {
    let trust = Trust::new().await;
    let long = trust.token(json!({ "more": "x".repeat(8 * 1024) }));
    let header = base64(trust.p256.header().to_string());
    let not_json = format!("{header}.{}.{}", base64("{"), base64("x"));
    trust
        .assert_refused(&[
            ("too long", long),
            ("a word", "token".to_owned()),
            ("dots", "..".to_owned()),
            ("no JSON", not_json),
            ("no object", trust.p256.token(&json!(["admin"]))),
            ("no base64", "ä.ö.ü".replace(|c: char| !c.is_ascii(), "%")),
            ("a head twice", {
                let twice = r#"{"alg":"none","alg":"ES256","kid":"p256"}"#;
                format!("{}.{}.{}", base64(twice), base64("{}"), base64("x"))
            }),
        ])
        .await;
    let fits = trust.token(json!({ "more": "x".repeat(5 * 1024) }));
    assert!(fits.len() < 8 * 1024);
    trust.assert_good("long enough", &fits).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_clock_does_not_end_tokens() {
    let trust = Trust::new().await;
    let token = trust.token(json!({}));
    let admin = trust.world.server.bearing(&token);
    admin.post("/v1/sandbox/clock", json!({ "advance_days": 40 })).await.ok();
    trust.assert_good("40 days later by the sandbox", &token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_works_for_two_resellers_has_its_idempotency_keys_with_each() {
    let trust = Trust::new().await;
    let bearing = |reseller: &Value| {
        let token = trust.token(json!({ "role": "admin", "reseller_id": reseller }));
        trust.world.server.bearing(&token).with("idempotency-key", "import-17")
    };
    let one = bearing(&trust.world.reseller_id);
    let other = bearing(&trust.world.other_reseller_id);
    let first = one.post("/v1/customers", company("Imported")).await.created();
    let second = other.post("/v1/customers", company("Imported")).await.created();
    assert_eq!(
        (&first["partner_id"], &second["partner_id"]),
        (&trust.world.reseller_id, &trust.world.other_reseller_id)
    );
    for (client, customer) in [(one, first), (other, second)] {
        let known = client.get("/v1/idempotency-keys/import-17").await.ok();
        assert_eq!(known["resource"]["id"], customer["id"]);
    }
}
