//! What must never be in the log, at any log level: passwords, and keys and tokens, wherever a client puts them by
//! mistake.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::database::Database;
use crate::http::http;
use crate::program::{Service, folder, run_with, succeeds};
use crate::settings::password;

/// It has the format of a key, but was never created.
const FORGED: &str = "ppk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// A token of an issuer that does not exist.
const TOKEN: &str =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.eyJzdWIiOiJhbGljZSIsInJvbGUiOiJhZG1pbiJ9.c2ln-bmF0_dXJlMDEyMzQ1Njc4OQ";

/// Requests with a key in all places where a client could put it by mistake.
fn confused(url: &str, key: &str) -> Vec<RequestBuilder> {
    let client = http();
    let request = |method: Method, path: &str| client.request(method, format!("{url}{path}"));
    let get = |path: &str| request(Method::GET, path);
    let post = |path: &str| request(Method::POST, path).bearer_auth(key);
    let company = json!({
        "company_name": key, "address": { "line1": key, "city": "Antwerp", "country": "BE" }, "external_id": key
    });
    let mut requests = vec![
        get("/v1/customers").bearer_auth(key),
        get("/v1/customers").basic_auth(key, Some(key)),
        get("/v1/customers").header("x-api-key", key).header("cookie", format!("key={key}")),
        get("/v1/customers").bearer_auth(key).header("x-request-id", key),
        get("/v1/customers").bearer_auth(key).header("if-none-match", key).header("accept", key),
        get("/v1/customers").bearer_auth(key).header("origin", key).header("referer", format!("{url}/?key={key}")),
        get(&format!("/v1/customers?api_key={key}&access_token={key}")),
        get(&format!("/v1/customers?q={key}&cursor={key}")).bearer_auth(key),
        get(&format!("/v1/customers?{key}")).bearer_auth(key),
        get(&format!("/v1/customers/{key}")).bearer_auth(key),
        get(&format!("/{key}/v1/customers/{key}")),
        post("/v1/customers").json(&company),
        post("/v1/customers").json(&company),
        post("/v1/customers").json(&json!({ key: key, "authorization": format!("Bearer {key}") })),
        post("/v1/customers").header("content-type", "application/json").body(format!("{{\"key\": {key}")),
        post("/v1/customers").header("content-type", "application/x-www-form-urlencoded").body(format!("key={key}")),
        post("/v1/customers").header("idempotency-key", key).json(&company),
        post(&format!("/v1/customers/{key}/archive")).json(&json!({ "reason": key })),
        request(Method::OPTIONS, "/v1/customers")
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", key.to_lowercase()),
        request(Method::from_bytes(key.as_bytes()).unwrap(), "/v1/customers"),
    ];
    for value in [format!("Token {key}"), format!("bearer  {key}"), key.to_owned(), format!("Bearer,{key}")] {
        requests.push(get("/v1/customers").header("authorization", value));
    }
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_no_key_no_token_and_no_password_whatever_clients_send() {
    let database = Database::create().await;
    let key = succeeds(&run_with(&["keys", "create", "--role", "admin"], &[("DATABASE_URL", &database.url)]).await);
    let key = key.trim();
    let mut arguments = vec!["--database-url", &database.url, "--log-level", "trace"];
    arguments.extend(["--cors-origins", "https://ours.example"]);
    arguments.extend(["--oidc-issuer", "http://127.0.0.1:1", "--oidc-audience", "tests"]);
    let mut service = Service::start(&arguments).await;
    let mut answers = Vec::new();
    for presented in [key, FORGED, TOKEN] {
        for request in confused(&service.url, presented) {
            answers.push(request.send().await.unwrap().status().as_u16());
        }
    }
    for seen in [200, 201, 400, 401, 403, 404, 406, 409, 415, 422] {
        assert!(answers.contains(&seen), "a response {seen} is among {answers:?}");
    }
    // Errors are logged with their cause, and the message of the database may quote what was sent.
    database.execute("ALTER TABLE customers ADD CONSTRAINT customers_surprise CHECK (version < 1) NOT VALID").await;
    for request in confused(&service.url, key) {
        answers.push(request.send().await.unwrap().status().as_u16());
    }
    assert!(answers.contains(&500), "{answers:?}");
    service.signal("TERM").await;
    assert_eq!(service.ended().await, Some(0));

    let log = service.stderr();
    assert!(log.contains("request completed") && log.contains("database error"), "{log}");
    for secret in [key, FORGED] {
        let random = secret.strip_prefix("ppk_").unwrap();
        // As a text, and as the numbers of its bytes.
        let bytes = format!("{:?}", &random.as_bytes()[8..24]);
        for part in [random, &random.to_lowercase(), &random[8..24], bytes.trim_matches(['[', ']'])] {
            let line = log.lines().find(|line| line.contains(part));
            assert_eq!(line, None, "a key is in the log");
        }
    }
    for part in TOKEN.split('.') {
        assert_eq!(log.lines().find(|line| line.contains(part)), None, "a token is in the log");
    }
    assert_eq!(log.lines().find(|line| line.contains(&password(&database))), None, "the password is in the log");
    assert_eq!(service.stdout(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_no_secret_of_a_webhook_and_nothing_of_what_is_sent() {
    let database = Database::create().await;
    let key = succeeds(&run_with(&["keys", "create", "--role", "admin"], &[("DATABASE_URL", &database.url)]).await);
    let arguments = ["--database-url", &database.url, "--log-level", "trace", "--webhook-allow-private", "127.0.0.0/8"];
    let mut service = Service::start(&arguments).await;
    let post = async |path: &str, body: serde_json::Value| {
        let request = http().post(format!("{}{path}", service.url)).bearer_auth(key.trim()).json(&body);
        request.send().await.unwrap().json::<serde_json::Value>().await.unwrap()
    };
    // A receiver that accepts connections, but whose responses are invalid.
    let receiver = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/T0KEN/in?the=URL", receiver.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in receiver.incoming() {
            let _ = std::io::Write::write_all(&mut stream.unwrap(), b"NONSENSE ANSWER\r\n\r\n");
        }
    });
    let created = post("/v1/webhook-endpoints", json!({ "url": url })).await;
    let endpoint = format!("/v1/webhook-endpoints/{}", created["webhook_endpoint"]["id"].as_str().unwrap());
    let rotated = post(&format!("{endpoint}/rotate-secret"), json!({})).await;
    let company =
        json!({ "company_name": "Unm1stakable", "address": { "line1": "1 Quay", "city": "Antwerp", "country": "BE" } });
    assert!(post("/v1/customers", company).await["id"].is_string());
    let went = post(&format!("{endpoint}/test"), json!({})).await;
    assert_eq!(went["status"], "failed", "{went}");
    let tried = "SELECT count(*) FROM webhook_deliveries WHERE event_type = 'customer.created' AND attempts > 0";
    let there = async {
        while database.text(tried).await != "1" {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), there).await.expect("a delivery is attempted");
    service.signal("TERM").await;
    assert_eq!(service.ended().await, Some(0));
    let log = service.stderr();
    let secrets = [&created, &rotated].map(|answer| answer["secret"].as_str().unwrap()["whsec_".len()..].to_owned());
    for part in ["whsec_", &secrets[0], &secrets[1], "v1,", "T0KEN", "Unm1stakable", "NONSENSE"] {
        assert_eq!(log.lines().find(|line| line.contains(part)), None, "{part} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_says_the_password_of_our_own_postgresql() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    let arguments = ["--data-dir", data_dir.to_str().unwrap(), "--log-level", "trace"];
    for _ in 0..2 {
        let mut service = Service::start(&arguments).await;
        let key = std::fs::read_to_string(data_dir.join("admin-key")).unwrap();
        service.customers(key.trim()).await;
        service.signal("TERM").await;
        assert_eq!(service.ended().await, Some(0));
        let password = std::fs::read_to_string(data_dir.join("password")).unwrap();
        assert!(password.trim().len() > 20, "the password exists");
        let postgres = ["postgres.log", "postgres.log.old"].map(|log| std::fs::read_to_string(data_dir.join(log)));
        let postgres: String = postgres.into_iter().flatten().collect();
        for log in [service.stdout(), service.stderr(), postgres] {
            assert!(!log.contains(password.trim()), "{log}");
        }
        assert!(!service.stderr().contains(key.trim()));
    }
}
