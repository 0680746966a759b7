//! The service with its own PostgreSQL, while clients write and one reads the feed. The service or the database is
//! killed again and again at random moments. No acknowledged write is lost, and the feed has the events of committed
//! changes, each once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::random;

const CLIENTS: u64 = 4;

/// How often the service and the database are killed, at least.
const KILLS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_and_events_are_those_of_what_was_committed() {
    // PostgreSQL may have to run as another user, who needs access to the data directory.
    let folder = tempfile::Builder::new().prefix("partner-platform-kill").tempdir().unwrap();
    let data = folder.path().join("data");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut service = Service::start(&data, port);
    let api = Api::new(&data, port).await;
    let (over, all_written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));

    let writers: Vec<_> = (0..CLIENTS).map(|number| tokio::spawn(write(api.clone(), over.clone(), number))).collect();
    let follower = tokio::spawn(follow(api.clone(), all_written.clone()));
    let (mut services, mut databases) = (0, 0);
    // The processes of PostgreSQL can only be found on Linux.
    let finds_database = cfg!(target_os = "linux");
    while services < KILLS || (finds_database && databases < KILLS) {
        tokio::time::sleep(Duration::from_millis(random(300..1500))).await;
        if random(0..2) == 0 || !finds_database {
            services += 1;
        } else {
            databases += usize::from(kill_database(&data));
        }
        drop(service);
        service = Service::start(&data, port);
        api.wait().await;
    }
    over.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeSet::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    // Only now, because each writer may have had one more write to send after `over`.
    all_written.store(true, Ordering::Relaxed);
    let followed = follower.await.unwrap();
    println!("{} writes, {services} kills of the service and {databases} of its database", acknowledged.len());

    let mut there = Vec::new();
    let mut path = "/v1/resellers?q=Killed&limit=200".to_owned();
    loop {
        let page = api.get(&path).await;
        there.extend(
            page["data"].as_array().unwrap().iter().map(|row| row["company_name"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/resellers?q=Killed&limit=200&cursor={cursor}"),
            None => break,
        }
    }
    assert!(acknowledged.len() > KILLS, "some writes are acknowledged");
    assert_eq!(there.len(), acknowledged.len(), "each write exists once");
    assert_eq!(there.into_iter().collect::<BTreeSet<_>>(), acknowledged, "all acknowledged writes exist");

    let (all, _) = api.feed(String::new()).await;
    assert_eq!(followed, all, "the reader of the feed gets each event once, in the final order");
    let created: Vec<_> = all
        .iter()
        .filter(|event| event["type"] == "reseller.created" && event["request_id"] != Value::Null)
        .map(|event| event["data"]["company_name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(created.len(), acknowledged.len(), "no event is there twice, and none of a change that was rolled back");
    assert_eq!(created.into_iter().collect::<BTreeSet<_>>(), acknowledged, "no event is missing");
}

/// Writes with a new key each time, and repeats each write until it is acknowledged.
async fn write(api: Api, over: Arc<AtomicBool>, number: u64) -> Vec<String> {
    let mut acknowledged = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let name = format!("Killed {number} {}", acknowledged.len());
        let address = json!({ "line1": "1 Quay", "city": "Antwerp", "country": "BE" });
        let body = json!({ "company_name": name, "address": address });
        loop {
            let request = api.http.post(format!("{}/v1/resellers", api.url)).bearer_auth(&api.key);
            let request = request.header("idempotency-key", name.replace(' ', "-")).json(&body);
            match request.send().await.map(|answer| answer.status().as_u16()) {
                Ok(201) => break,
                Ok(409 | 500 | 503) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(status) => panic!("{name}: {status}"),
            }
        }
        acknowledged.push(name);
    }
    acknowledged
}

/// Reads the feed, and continues from the last position after each failure.
async fn follow(api: Api, all_written: Arc<AtomicBool>) -> Vec<Value> {
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let is_last_look = all_written.load(Ordering::Relaxed);
        let (more, next) = api.feed(after).await;
        seen.extend(more);
        after = next;
        if is_last_look {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[derive(Clone)]
struct Api {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Api {
    async fn new(data: &Path, port: u16) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let mut api = Self { http, url: format!("http://127.0.0.1:{port}"), key: String::new() };
        api.wait().await;
        api.key = std::fs::read_to_string(data.join("admin-key")).unwrap().trim().to_owned();
        api
    }

    async fn wait(&self) {
        let started = Instant::now();
        let ready = || self.http.get(format!("{}/readyz", self.url)).send();
        while !ready().await.is_ok_and(|answer| answer.status() == 200) {
            assert!(started.elapsed() < Duration::from_secs(60), "the service starts again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn get(&self, path: &str) -> Value {
        loop {
            let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key);
            if let Ok(answer) = request.send().await
                && answer.status() == 200
                && let Ok(body) = answer.json().await
            {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// All events after a position, and the position at the end.
    async fn feed(&self, mut after: String) -> (Vec<Value>, String) {
        let mut all = Vec::new();
        loop {
            let from = if after.is_empty() { String::new() } else { format!("&after={after}") };
            let feed = self.get(&format!("/v1/events?limit=200{from}")).await;
            let events = feed["data"].as_array().unwrap();
            feed["next_after"].as_str().unwrap().clone_into(&mut after);
            if events.is_empty() {
                return (all, after);
            }
            all.extend(events.iter().cloned());
        }
    }
}

/// The service as a separate process, with its own PostgreSQL.
struct Service(Child);

impl Service {
    fn start(data: &PathBuf, port: u16) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_partner-platform"));
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--log-level", "error", "--data-dir"])
            .arg(data);
        Self(command.env_remove("DATABASE_URL").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Service {
    /// SIGKILL, so that it cannot clean up.
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// SIGKILL for PostgreSQL, its child processes first. Returns whether it was running.
fn kill_database(data: &Path) -> bool {
    let Ok(pid) = std::fs::read_to_string(data.join("postgres/postmaster.pid")) else { return false };
    let Some(pid) = pid.lines().next() else { return false };
    let script = format!(
        "kill -STOP {pid} && for child in $(cat /proc/{pid}/task/{pid}/children); do kill -KILL $child; done; kill -KILL {pid}"
    );
    Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status().unwrap().success()
}
