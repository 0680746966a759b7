//! The commands on a given database, and the error messages for invalid settings.

use std::net::TcpListener;

use serde_json::Value;

use crate::database::Database;
use crate::http::http;
use crate::program::{Service, fails, folder, run, run_with, stderr, succeeds};

async fn empty() -> Database {
    let database = Database::create().await;
    database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    database
}

pub fn password(database: &Database) -> String {
    let config: tokio_postgres::Config = database.url.parse().unwrap();
    String::from_utf8(config.get_password().unwrap().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_printed_without_a_database() {
    let printed = succeeds(&run_with(&["openapi"], &[("DATABASE_URL", "postgresql://localhost:1/none")]).await);
    assert!(printed == include_str!("../../openapi/openapi.json"), "run `partner-platform openapi` and commit it");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_and_seeding_can_be_repeated() {
    let database = empty().await;
    let on = [("DATABASE_URL", &*database.url)];
    for _ in 0..2 {
        assert_eq!(succeeds(&run_with(&["migrate"], &on).await), "");
    }
    assert_eq!(database.text("SELECT count(*) FROM customers").await, "0", "a given database gets no samples");
    assert!(stderr(&run_with(&["seed-demo"], &on).await).contains("the samples were created"));
    let before = database.fingerprint().await;
    assert_ne!(database.text("SELECT count(*) FROM customers").await, "0");
    let again = run_with(&["seed-demo"], &on).await;
    assert!(again.status.success() && stderr(&again).contains("already"), "{again:?}");
    assert_eq!(database.fingerprint().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_database_gets_no_samples_and_no_key_by_itself() {
    let database = empty().await;
    let service = Service::start(&["--database-url", &database.url]).await;
    assert_eq!(service.stdout(), "");
    assert_eq!(database.text("SELECT count(*) FROM products").await, "0");
    assert_eq!(database.text("SELECT count(*) FROM api_keys").await, "0");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_not_the_services_own_stops_it() {
    let database = empty().await;
    let serve = ["serve", "--listen", "127.0.0.1:0", "--database-url", &database.url];
    let without = [("MIGRATE_AT_START", "false")];
    let said = fails(&run_with(&serve, &without).await);
    assert!(said.contains("lacks migrations") && said.contains("`migrate`"), "{said}");
    assert_eq!(database.text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, "0");

    succeeds(&run_with(&["migrate"], &[("DATABASE_URL", &database.url)]).await);
    let last = "(SELECT max(version) FROM __diesel_schema_migrations)";
    let version = database.text(&format!("SELECT {last}")).await;
    database.execute(&format!("DELETE FROM __diesel_schema_migrations WHERE version = {last}")).await;
    let said = fails(&run_with(&serve, &without).await);
    assert!(said.contains("lacks migrations") && said.contains(&version), "{said}");

    database.execute(&format!("INSERT INTO __diesel_schema_migrations VALUES ('{version}'), ('29990101000000')")).await;
    for environment in [&without[..], &[]] {
        let said = fails(&run_with(&serve, environment).await);
        assert!(said.contains("29990101000000") && said.contains("newer"), "{said}");
    }
    for command in ["migrate", "seed-demo"] {
        let said = fails(&run_with(&[command], &[("DATABASE_URL", &database.url)]).await);
        assert!(said.contains("29990101000000"), "{command}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_used_is_said_without_its_password() {
    let database = Database::create().await;
    let password = password(&database);
    let (wrong_name, _) = database.url.rsplit_once('/').unwrap();
    let wrong_name = format!("{wrong_name}/nothing-here?sslmode=disable");
    for url in [
        "postgresql://someone:pa55word@127.0.0.1:1/db",
        "postgresql://someone:pa55word@no-such-host.invalid/db",
        "host=127.0.0.1 port=1 user=someone password=pa55word dbname=db",
        "postgresql://someone:pa55word@127.0.0.1/db?sslmode=perhaps",
        "postgresql://someone:pa55word@127.0.0.1:port/db",
        "postgresql://someone:pa55word@127.0.0.1/db?pa55word=1",
        "pa55word",
        "mysql://someone:pa55word@127.0.0.1/db",
        "",
        &wrong_name,
    ] {
        for command in ["serve", "migrate"] {
            let output = run_with(&[command], &[("DATABASE_URL", url), ("LOG_LEVEL", "trace")]).await;
            let said = fails(&output);
            let last = said.lines().find(|line| line.starts_with("error: ")).unwrap().to_owned();
            assert!(last.len() > 20, "{url}: {last}");
            assert!(!said.contains("pa55word") && !said.contains(&password), "{url}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_said() {
    let database = Database::create().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = fails(&run(&["serve", "--listen", &address, "--database-url", &database.url]).await);
    assert!(said.contains(&address) && said.contains("in use") && said.contains("--listen"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_is_no_good_is_refused_before_anything_else() {
    for (setting, flag, value) in [
        ("LISTEN", "--listen", "foo"),
        ("LISTEN", "--listen", "127.0.0.1:99999"),
        ("DEFAULT_CURRENCY", "--default-currency", "XXX"),
        ("DEFAULT_CURRENCY", "--default-currency", "usd"),
        ("ISSUER", "--issuer", " "),
        ("OIDC_ISSUER", "--oidc-issuer", "login.example.com"),
        ("OIDC_ISSUER", "--oidc-issuer", "http://login.example.com"),
        ("OIDC_ISSUER", "--oidc-issuer", "https://login.example.com/?tenant=1"),
        ("OIDC_ISSUER", "--oidc-issuer", "https://someone@login.example.com"),
        ("OIDC_AUDIENCE", "--oidc-audience", ""),
        ("OIDC_ROLE_CLAIM", "--oidc-role-claim", ""),
        ("OIDC_ALGORITHMS", "--oidc-algorithms", "HS256"),
        ("OIDC_ALGORITHMS", "--oidc-algorithms", "none"),
        ("OIDC_ALGORITHMS", "--oidc-algorithms", ""),
        ("ANSWER_TIMEOUT_MS", "--answer-timeout-ms", "0"),
        ("CORS_ORIGINS", "--cors-origins", "*"),
        ("CORS_ORIGINS", "--cors-origins", "https://app.example.com/"),
        ("CORS_ORIGINS", "--cors-origins", "https://app.example.com:443"),
        ("CORS_ORIGINS", "--cors-origins", "https://App.example.com"),
        ("CORS_ORIGINS", "--cors-origins", "https://user@app.example.com"),
        ("CORS_ORIGINS", "--cors-origins", "app.example.com"),
        ("CORS_ORIGINS", "--cors-origins", "null"),
        ("MAX_CONNECTIONS", "--max-connections", "0"),
        ("RATE_LIMIT_READS", "--rate-limit-reads", "-1"),
        ("RATE_LIMIT_WRITES", "--rate-limit-writes", "many"),
        ("SEND_TIMEOUT_MS", "--send-timeout-ms", "0"),
        ("WEBHOOK_ALLOW_PRIVATE", "--webhook-allow-private", "10.0.0.0"),
        ("WEBHOOK_ALLOW_PRIVATE", "--webhook-allow-private", "10.0.0.0/33"),
        ("WEBHOOK_ALLOW_PRIVATE", "--webhook-allow-private", "all"),
        ("WORKERS", "--workers", "0"),
        ("DATABASE_MAX_CONNECTIONS", "--database-max-connections", "0"),
        ("DATABASE_LOCK_TIMEOUT_MS", "--database-lock-timeout-ms", "-1"),
        ("LOG_FORMAT", "--log-format", "xml"),
        ("MIGRATE_AT_START", "--migrate-at-start", "perhaps"),
    ] {
        for output in [run_with(&["serve"], &[(setting, value)]).await, run(&[&*format!("{flag}={value}")]).await] {
            assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]), "{setting}: {output:?}");
            let said = stderr(&output);
            assert!(said.contains(flag) && said.contains(value), "{setting}: {said}");
        }
    }
    let said = fails(&run(&["openapi", "--log-level", "partner_platform=loud"]).await);
    assert!(said.contains("error: ") && said.len() > 20, "{said}");
    for arguments in [&["keys", "create"][..], &["keys", "create", "--role", "god"], &["sreve"]] {
        assert_eq!(run(arguments).await.status.code(), Some(2), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_for_production_is_refused_in_production() {
    let database = Database::create().await;
    let before = database.fingerprint().await;
    let serve = ["serve", "--listen", "127.0.0.1:0", "--production"];
    let given = [("DATABASE_URL", &*database.url)];
    let with_sandbox = [&serve[..], &["--sandbox"]].concat();
    let by_environment = [("DATABASE_URL", &*database.url), ("PRODUCTION", "true"), ("SANDBOX", "true")];
    for output in [run_with(&with_sandbox, &given).await, run_with(&serve[..3], &by_environment).await] {
        let said = fails(&output);
        assert!(said.contains("--production") && said.contains("--sandbox") && said.contains("exclude"), "{said}");
    }
    let folder = folder();
    let data_dir = folder.path().join("data");
    let own = [&serve[..], &["--data-dir", data_dir.to_str().unwrap()]].concat();
    for arguments in [own.clone(), [&own[..], &["--sandbox"]].concat()] {
        let said = fails(&run(&arguments).await);
        assert!(said.contains("--production"), "{said}");
    }
    let said = fails(&run(&own).await);
    assert!(said.contains("--database-url") && !data_dir.exists(), "{said}");
    assert_eq!(database.fingerprint().await, before);
    let service = Service::start(&["--production", "--database-url", &database.url]).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_clock_was_moved_is_a_sandbox_s_for_good() {
    let database = Database::create().await;
    let key = succeeds(&run_with(&["keys", "create", "--role", "admin"], &[("DATABASE_URL", &database.url)]).await);
    let service = Service::start(&["--sandbox", "--database-url", &database.url]).await;
    let (status, before) = service.get("/v1/sandbox/clock", key.trim()).await;
    assert_eq!((status.as_u16(), &before["moving_to"]), (200, &Value::Null));
    service.stop().await;
    // The command has only read the database, so the database can still be used.
    let service = Service::start(&["--database-url", &database.url]).await;
    assert_eq!(service.get("/v1/sandbox/clock", key.trim()).await.0, 404);
    service.stop().await;

    let service = Service::start(&["--sandbox", "--database-url", &database.url]).await;
    let request = http().post(format!("{}/v1/sandbox/clock", service.url)).bearer_auth(key.trim());
    let moved = request.json(&serde_json::json!({ "advance_days": 3 })).send().await.unwrap();
    assert_eq!(moved.status(), 200);
    service.stop().await;
    for flag in [None, Some("--production")] {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--database-url", &database.url];
        let said = fails(&run(&arguments.into_iter().chain(flag).collect::<Vec<_>>()).await);
        assert!(said.contains("was moved") && said.contains("--sandbox"), "{said}");
    }
    let service = Service::start(&["--sandbox", "--database-url", &database.url]).await;
    let (_, now) = service.get("/v1/sandbox/clock", key.trim()).await;
    let day = |clock: &Value| clock["now"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert!(day(&now) - day(&before) >= chrono::TimeDelta::days(3), "{before} {now}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_for_machines_are_json_lines_with_request_ids_and_no_secrets() {
    let database = Database::create().await;
    let on = [("DATABASE_URL", &*database.url)];
    let key = succeeds(&run_with(&["keys", "create", "--role", "admin"], &on).await);
    let arguments = ["--database-url", &database.url, "--log-format", "json", "--log-level", "trace"];
    let mut service = Service::start(&arguments).await;
    service.customers(key.trim()).await;
    let request = http().get(format!("{}/v1/nothing?secret=1", service.url));
    request.header("x-request-id", "log-me").bearer_auth("ppk_forged").send().await.unwrap();
    let (status, problem) = service.get("/v1/subscriptions?x=1", key.trim()).await;
    assert_eq!(status, 422, "{problem}");
    service.signal("TERM").await;
    assert_eq!(service.ended().await, Some(0));

    let log = service.stderr();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()), "{log}");
    let answered: Vec<_> = lines.iter().filter(|line| line["message"] == "request completed").collect();
    let ids: Vec<_> = answered.iter().map(|line| &line["span"]["request_id"]).collect();
    assert_eq!(ids.len(), 3, "{log}");
    assert!(ids.contains(&&Value::from("log-me")) && ids.contains(&&problem["request_id"]), "{log}");
    assert!(answered.iter().all(|line| line["status"].is_u64() && line["span"]["path"].is_string()), "{log}");
    for secret in [key.trim(), "ppk_", &password(&database), "secret=1"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_for_people_have_no_escapes_where_there_is_no_terminal() {
    let database = Database::create().await;
    let service = Service::start(&["--database-url", &database.url]).await;
    service.get("/healthz", "none").await;
    let log = service.stderr();
    assert!(log.contains("request completed") && !log.contains('\u{1b}'), "{log:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_told_to_stop_serves_on_while_others_take_over() {
    let database = Database::create().await;
    let key = succeeds(&run_with(&["keys", "create", "--role", "admin"], &[("DATABASE_URL", &database.url)]).await);
    let mut service = Service::start(&["--database-url", &database.url, "--drain-delay-seconds", "6"]).await;
    assert_eq!(service.get("/readyz", "none").await.0, 200);
    service.signal("TERM").await;
    let draining = async { while service.get("/readyz", "none").await.0 != 503 {} };
    tokio::time::timeout(std::time::Duration::from_secs(6), draining)
        .await
        .expect("the service reports that it is draining while it still serves");
    assert!(service.get("/readyz", "none").await.1["detail"].as_str().unwrap().contains("stopped"));
    assert_eq!(service.get("/healthz", "none").await.0, 200);
    service.customers(key.trim()).await;
    assert_eq!(service.ended().await, Some(0));
    assert!(http().get(format!("{}/healthz", service.url)).send().await.is_err());
}
