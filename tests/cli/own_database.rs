//! The service with its own PostgreSQL: the only setting is a directory.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::json;

use crate::http::http;
use crate::program::{Service, fails, folder, run, stderr, succeeds, wait_until_gone};

/// The process id of the PostgreSQL that runs in a data directory.
fn postgres(data_dir: &Path) -> u32 {
    let file = std::fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

fn path(data_dir: &Path) -> &str {
    data_dir.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_shows_a_key_once_and_the_next_one_finds_everything() {
    let folder = folder();
    let data_dir = folder.path().join("new/data");
    let service = Service::start(&["--data-dir", path(&data_dir)]).await;

    let file = data_dir.join("admin-key");
    let key = std::fs::read_to_string(&file).unwrap();
    assert!(key.ends_with('\n') && key.trim().starts_with("ppk_"), "the output is a key and nothing else");
    let key = key.trim();
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(data_dir.metadata().unwrap().mode() & 0o777, 0o700);
    let shown = service.stdout();
    assert_eq!(shown.matches("ppk_").count(), 1, "{shown}");
    assert!(shown.contains(key) && shown.contains(file.canonicalize().unwrap().to_str().unwrap()), "{shown}");
    assert!(!service.stderr().contains(key), "the key must not be in the log");

    let customers = service.customers(key).await;
    assert!(customers.len() >= 3, "the samples exist: {customers:?}");
    let (status, subscriptions) = service.get("/v1/subscriptions", key).await;
    assert!(status == 200 && !subscriptions["data"].as_array().unwrap().is_empty());

    let pid = postgres(&data_dir);
    service.stop().await;
    wait_until_gone(pid).await;
    assert!(!data_dir.join("postgres/postmaster.pid").exists(), "PostgreSQL was shut down cleanly");

    let again = Service::start(&["--data-dir", path(&data_dir)]).await;
    assert_eq!(again.stdout(), "", "the key is shown only once");
    assert_eq!(again.customers(key).await, customers);
    again.stop().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_takes_its_postgresql_along_and_the_next_one_has_its_data() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    let mut service = Service::start(&["--data-dir", path(&data_dir)]).await;
    let key = std::fs::read_to_string(data_dir.join("admin-key")).unwrap();
    let key = key.trim();
    let company = json!({
        "company_name": "Written just before", "address": { "line1": "1 Quay", "city": "Antwerp", "country": "BE" }
    });
    let request = http().post(format!("{}/v1/customers", service.url)).bearer_auth(key);
    assert_eq!(request.json(&company).send().await.unwrap().status(), 201);
    let customers = service.customers(key).await;
    assert!(customers.iter().any(|name| name == "Written just before"), "{customers:?}");

    let pid = postgres(&data_dir);
    service.signal("KILL").await;
    assert_eq!(service.ended().await, None);
    wait_until_gone(pid).await;

    let again = Service::start(&["--data-dir", path(&data_dir)]).await;
    assert_eq!((again.stdout(), again.customers(key).await), (String::new(), customers));
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_while_the_service_runs() {
    let folder = folder();
    let data_dir = folder.path().join("data");
    let service = Service::start(&["--data-dir", path(&data_dir)]).await;
    let admin = std::fs::read_to_string(data_dir.join("admin-key")).unwrap();
    let create = ["keys", "create", "--data-dir", path(&data_dir), "--role"];

    let output = run(&[&create[..], &["sales", "--name", "Command line"]].concat()).await;
    let key = succeeds(&output);
    assert!(
        key.starts_with("ppk_") && key.trim_end() == key.lines().next().unwrap(),
        "the output is only the key: {output:?}"
    );
    assert!(!stderr(&output).contains(key.trim()));
    assert_eq!(service.customers(key.trim()).await, service.customers(admin.trim()).await);

    let (_, resellers) = service.get("/v1/resellers?status=enabled", admin.trim()).await;
    let reseller = resellers["data"][0]["id"].as_str().unwrap();
    let theirs = succeeds(&run(&[&create[..], &["billing", "--reseller", reseller]].concat()).await);
    let (_, seen) = service.get("/v1/resellers", theirs.trim()).await;
    assert_eq!((seen["data"].as_array().unwrap().len(), &seen["data"][0]["id"]), (1, &json!(reseller)));

    let unknown = "01990000-0000-7000-8000-000000000000";
    let said = fails(&run(&[&create[..], &["admin", "--reseller", unknown]].concat()).await);
    assert!(said.contains(unknown), "{said}");
    // A second process that attaches to the database must not stop it.
    let second = Service::start(&["--data-dir", path(&data_dir)]).await;
    assert_eq!((second.stdout(), second.customers(key.trim()).await.is_empty()), (String::new(), false));
    second.stop().await;
    assert!(!service.customers(key.trim()).await.is_empty());
    service.stop().await;
    let later = succeeds(&run(&[&create[..], &["technician"]].concat()).await);
    let service = Service::start(&["--data-dir", path(&data_dir)]).await;
    assert!(!service.customers(later.trim()).await.is_empty());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_or_programs_that_are_not_ours_are_left_alone() {
    let folder = folder();
    std::fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let said = fails(&run(&["serve", "--data-dir", folder.path().to_str().unwrap()]).await);
    assert!(said.contains("did not create") && said.contains("--data-dir"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let other = folder.path().join("other");
    let said = fails(&run(&["migrate", "--pg-bin-dir", "/nowhere", "--data-dir", path(&other)]).await);
    assert!(said.contains("PG_BIN_DIR /nowhere"), "{said}");
}
