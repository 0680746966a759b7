//! Tokens of an OpenID Connect issuer, as configured.

use partner_platform::platform::clock::Clock;
use serde_json::json;

use crate::database::Database;
use crate::issuer::{Issuer, SigningKey};
use crate::program::{Service, fails, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_and_an_audience_need_each_other() {
    for [flag, value, other] in
        [["--oidc-issuer", "https://login.example.com", "--oidc-audience"], ["--oidc-audience", "a", "--oidc-issuer"]]
    {
        let said = fails(&run(&["serve", flag, value]).await);
        assert!(said.contains(flag) && said.contains(other), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_taken_as_the_settings_say_and_never_logged() {
    let database = Database::create().await;
    let (key, rsa) = (SigningKey::ed25519("ed"), SigningKey::rsa("rsa", "RS256"));
    let issuer = Issuer::start(&[&key, &rsa]).await;
    let arguments = ["--log-format", "json", "--log-level", "trace", "--oidc-audience", "others"];
    // No proxy is used unless one is configured.
    let environment = [
        ("DATABASE_URL", &*database.url),
        ("OIDC_ISSUER", &issuer.url),
        ("OIDC_ROLE_CLAIM", "roles"),
        ("OIDC_RESELLER_CLAIM", "tenant"),
        ("OIDC_ALGORITHMS", "EdDSA,ES384"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
        ("ALL_PROXY", "http://127.0.0.1:1"),
    ];
    let service = Service::start_with(&arguments, &environment).await;
    let mut claims = issuer.claims(Clock::system().now());
    claims["aud"] = json!(["others"]);
    claims["roles"] = json!(["billing"]);
    claims["tenant"] = json!("partner");
    let good = key.token(&claims);
    assert_eq!(service.customers(&good).await, [""; 0]);
    let by_rsa = rsa.token(&claims);
    claims["exp"] = json!(1);
    let expired = key.token(&claims);
    for refused in [&by_rsa, &expired] {
        let (status, problem) = service.get("/v1/customers", refused).await;
        assert_eq!((status.as_u16(), problem["code"].as_str()), (401, Some("unauthenticated")), "{problem}");
    }

    let log = service.stderr();
    assert!(log.contains("it has expired") && log.contains("its algorithm is not allowed"), "{log}");
    for token in [good, by_rsa, expired] {
        for part in token.split('.').skip(1) {
            assert!(!log.contains(part), "{part} in {log}");
        }
    }
    service.stop().await;
}
