//! API keys on the command line, and that no secret gets into the log.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::database::Database;
use crate::http::http;
use crate::program::{Service, fails, run_with, stderr, succeeds};

/// The rows of `keys list`, without the header.
fn rows(list: &str) -> Vec<Vec<&str>> {
    let (head, rows) = list.split_once('\n').unwrap();
    assert_eq!(head, "id\tstatus\trole\treseller\tsecret\tlast used\texpires\tname");
    rows.lines().map(|line| line.split('\t').collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_and_revoked_while_the_service_runs() {
    let database = Database::create().await;
    let on = [("DATABASE_URL", &*database.url)];
    let mut secrets = Vec::new();
    for (role, name) in [("admin", "First"), ("sales", "Second one")] {
        let made = run_with(&["keys", "create", "--role", role, "--name", name], &on).await;
        secrets.push(succeeds(&made).trim().to_owned());
    }
    let service = Service::start(&["--database-url", &database.url]).await;
    assert_eq!(service.get("/v1/customers", &secrets[1]).await.0, 200);
    let list = succeeds(&run_with(&["keys", "list"], &on).await);
    let listed = rows(&list);
    let parts: Vec<_> = listed.iter().map(|row| (row[1], row[2], row[3], row[6], row[7])).collect();
    assert_eq!(parts, [("active", "sales", "-", "-", "Second one"), ("active", "admin", "-", "-", "First")]);
    assert_eq!(listed[0][4], format!("{}…{}", &secrets[1][..8], &secrets[1][43..]));
    assert!(secrets.iter().all(|secret| !list.contains(&secret[4..])), "{list}");

    let id = listed[0][0];
    for _ in 0..2 {
        let revoked = run_with(&["keys", "revoke", id, "--reason", "Leaked"], &on).await;
        assert_eq!(succeeds(&revoked), "");
        assert!(stderr(&revoked).contains(id) && stderr(&revoked).contains("Second one"), "{revoked:?}");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(service.get("/v1/customers", &secrets[1]).await.0, 401);
    let (_, seen) = service.get(&format!("/v1/api-keys/{id}"), &secrets[0]).await;
    assert_eq!((&seen["status"], &seen["revoked"]["reason"]), (&json!("revoked"), &json!("Leaked")));
    assert_eq!(rows(&succeeds(&run_with(&["keys", "list"], &on).await))[0][1], "revoked");
    service.stop().await;

    let unknown = "01990000-0000-7000-8000-000000000000";
    let said = fails(&run_with(&["keys", "revoke", unknown], &on).await);
    assert!(said.contains("no API key"), "{said}");
}

/// Sends a request with a key, and returns the body of the response.
async fn send(service: &Service, key: &str, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let request = http().request(method, format!("{}{path}", service.url)).bearer_auth(key);
    let answer = request.json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log_however_much_is_logged_and_a_use_is_written_before_the_end() {
    let database = Database::create().await;
    let on = [("DATABASE_URL", &*database.url)];
    let admin = succeeds(&run_with(&["keys", "create", "--role", "admin"], &on).await).trim().to_owned();
    let service = Service::start(&["--database-url", &database.url, "--log-level", "trace"]).await;
    let mut secrets = vec![admin.clone()];
    let create = json!({ "name": "Logged", "role": "sales" });
    let (status, made) = send(&service, &admin, Method::POST, "/v1/api-keys", create).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("/v1/api-keys/{}", made["api_key"]["id"].as_str().unwrap());
    let (_, rotated) = send(&service, &admin, Method::POST, &format!("{path}/rotate"), json!({})).await;
    secrets.extend([&made, &rotated].map(|answer| answer["secret"].as_str().unwrap().to_owned()));
    for secret in &secrets {
        assert_eq!(service.get("/v1/customers", secret).await.0, 200);
    }
    // Invalid keys must not be in the log, either.
    let unknown = format!("ppk_{}", "B".repeat(43));
    assert_eq!(service.get("/v1/customers", &unknown).await.0, 401);
    send(&service, &admin, Method::POST, &format!("{path}/rotate"), json!({ "overlap_seconds": 0 })).await;
    assert_eq!(service.get("/v1/customers", &secrets[1]).await.0, 401);
    send(&service, &admin, Method::POST, &format!("{path}/revoke"), json!({})).await;
    assert_eq!(service.get("/v1/customers", &secrets[2]).await.0, 401);
    secrets.push(unknown);
    let log = service.stderr();
    assert!(log.contains("TRACE") && log.contains("/v1/api-keys"), "the log has trace entries");
    for secret in &secrets {
        let line = log.lines().find(|line| line.contains(&secret[4..]));
        assert_eq!(line, None);
    }
    service.stop().await;
    let uses = database.text("SELECT count(*) FROM api_key_uses JOIN api_keys ON id = api_key_id").await;
    assert_eq!(uses, "2");
}
