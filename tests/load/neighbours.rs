//! What other tenants notice while one tenant causes as much load as it can: `cargo bench --bench neighbours`.
//!
//! One service with its default limits and its own durable PostgreSQL, on the same machine as the load. While a hostile
//! tenant performs each of its acts, another tenant reads one customer 100 times a second. The table compares the
//! latency of these reads with the latency without load. It also has the maximum memory and number of open files of the
//! service, and the transactions per second of the database. `-- BINARY` measures another build of the service.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a benchmark may fail loudly")]
#![allow(clippy::float_arithmetic, reason = "a latency is no money")]

#[allow(dead_code, reason = "what other benchmarks need of it")]
mod fill;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fill::{connect, number};
use partner_platform::platform::embedded::{Durability, Embedded, Options};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The duration of each act.
const SPAN: Duration = Duration::from_secs(6);

/// The time between two reads of the neighbour.
const PACE: Duration = Duration::from_millis(10);

/// Data of the hostile tenant: 200 orders of 2,000 lines, and 200 audit entries of the maximum size, 60 kB.
const LARGE: &str = r"
INSERT INTO orders (id, kind, customer_id, total, currency, confirmed_by, confirmed_at)
SELECT gen_random_uuid(), 'current_inventory', '$CUSTOMER', 0, 'USD', 'system', now() FROM generate_series(1, 200);
INSERT INTO order_lines (customer_id, order_id, position, subscription_id, product_id, certificate_type, bucket, quantity_before,
    quantity_after, amount, due_date)
SELECT orders.customer_id, orders.id, n, '$SUBSCRIPTION', '$PRODUCT', 'dv', 'renewal', 1, 2, 0, current_date
FROM orders, generate_series(0, 1999) AS n WHERE confirmed_by = 'system';
INSERT INTO audit_entries (id, occurred_at, actor, role, reseller_id, request_id, operation, outcome, status, changes)
SELECT gen_random_uuid(), now(), 'api_key:x', 'admin', '$RESELLER', 'r', 'updateCustomer', 'succeeded', 200,
    (SELECT jsonb_agg(jsonb_build_object('resource_type', 'customer', 'resource_id', '$CUSTOMER', 'before',
        jsonb_build_object('company_name', repeat('x', 1000)), 'after', jsonb_build_object('company_name', n)))
     FROM generate_series(1, 55) AS n) FROM generate_series(1, 200);
ANALYZE;
";

struct Service {
    process: Child,
    url: String,
    http: Client,
}

impl Service {
    async fn start(binary: &str, database: &str) -> (Self, String) {
        let url = format!("http://127.0.0.1:{}", free_port());
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", url.trim_start_matches("http://"), "--log-level", "error"]);
        command.args(["--webhook-allow-private", "127.0.0.0/8"]);
        command.env("DATABASE_URL", database).stdout(Stdio::null());
        let mut keys = Command::new(binary);
        keys.args(["keys", "create", "--role", "admin"]).env("DATABASE_URL", database);
        let key = String::from_utf8(keys.output().unwrap().stdout).unwrap().trim().to_owned();
        let http = Client::builder().pool_max_idle_per_host(2000).build().unwrap();
        let service = Self { process: command.spawn().unwrap(), url, http };
        while service.http.get(format!("{}/healthz", service.url)).send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        (service, key)
    }

    /// Returns the status and the body of the response.
    async fn send(&self, key: &str, method: Method, path: &str, body: Option<String>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(key);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        match request.send().await {
            Err(_) => (0, Value::Null),
            Ok(response) => (response.status().as_u16(), response.json().await.unwrap_or_default()),
        }
    }

    async fn create(&self, key: &str, path: &str, body: Value) -> Value {
        let (status, created) = self.send(key, Method::POST, path, Some(body.to_string())).await;
        assert_eq!(status, 201, "{path}: {created}");
        created
    }

    /// A number of the process, from `/proc`.
    fn memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        line.unwrap_or(0_u64) / 1024
    }

    fn open_files(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).map_or(0, |files| files.count() as u64)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn company(name: &str) -> Value {
    json!({ "company_name": name, "address": { "line1": "1 Quay", "city": "Antwerp", "country": "BE" } })
}

/// The data of the hostile tenant and of its neighbour.
struct World {
    service: Service,
    hostile: Vec<String>,
    subscription: String,
    endpoint: String,
    neighbour: Vec<String>,
    customer: String,
}

async fn world(binary: &str, database: &str) -> World {
    let (service, admin) = Service::start(binary, database).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut tenants = Vec::new();
    for name in ["Hostile", "Neighbour"] {
        let reseller = text(&service.create(&admin, "/v1/resellers", company(name)).await["id"]);
        let mut keys = Vec::new();
        for number in 0..6 {
            let key = json!({ "name": format!("{number}"), "role": "admin", "partner_id": reseller });
            keys.push(text(&service.create(&admin, "/v1/api-keys", key).await["secret"]));
        }
        let customer = text(&service.create(&keys[0], "/v1/customers", company("Customer")).await["id"]);
        tenants.push((reseller, keys, customer));
    }
    let (_, neighbour, customer) = tenants.pop().unwrap();
    let (reseller, hostile, theirs) = tenants.pop().unwrap();
    let price =
        json!({ "certificate_type": "dv", "term_months": 12, "unit_price": { "amount": 100, "currency": "USD" } });
    let types = json!([{ "code": "dv", "name": "DV", "max_quantity": 1000 }]);
    let product = json!({ "code": "p", "name": "P", "certificate_types": types, "terms": [12], "prices": [price] });
    let product = text(&service.create(&admin, "/v1/products", product).await["id"]);
    let inventory = json!([{ "certificate_type": "dv", "quantity": 5 }]);
    let add = json!({ "auto_renew": true, "subscriptions": [{ "product_id": product, "term_months": 12, "inventory": inventory }] });
    let added = service.create(&hostile[0], &format!("/v1/customers/{theirs}/subscriptions"), add).await;
    let subscription = text(&added["subscriptions"][0]["id"]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = json!({ "url": format!("http://{}/", silent.local_addr().unwrap()) });
    let endpoint =
        text(&service.create(&hostile[0], "/v1/webhook-endpoints", endpoint).await["webhook_endpoint"]["id"]);
    // The listener accepts no connection, and its backlog is long enough.
    std::mem::forget(silent);
    let large = LARGE.replace("$CUSTOMER", &theirs).replace("$SUBSCRIPTION", &subscription);
    let large = large.replace("$PRODUCT", &product).replace("$RESELLER", &reseller);
    connect(database).await.batch_execute(&large).await.unwrap();
    World { service, hostile, subscription, endpoint, neighbour, customer }
}

/// Repeats a request on `connections` connections until it is stopped.
fn repeat(
    tasks: &mut JoinSet<()>,
    world: &Arc<World>,
    stop: &Arc<AtomicBool>,
    (connections, key, method, path, body): (usize, &str, Method, &str, Option<String>),
) {
    for _ in 0..connections {
        let (world, stop, key, path) = (world.clone(), stop.clone(), key.to_owned(), path.to_owned());
        let (method, body) = (method.clone(), body.clone());
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let (status, _) = world.service.send(&key, method.clone(), &path, body.clone()).await;
                if [0, 429, 503].contains(&status) {
                    // Like a client that does not wait for responses.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
    }
}

/// Starts an act of the hostile tenant.
fn act(name: &str, world: &Arc<World>, stop: &Arc<AtomicBool>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let key = world.hostile[0].as_str();
    let preview = format!("/v1/subscriptions/{}/inventory/current/preview", world.subscription);
    let mut go = |request| repeat(&mut tasks, world, stop, request);
    match name {
        "quiet" => {}
        "1 MiB of [0,0,…], 16 at once" => {
            let body = format!("{{\"lines\":[{}0]}}", "0,".repeat(520_000));
            go((16, key, Method::POST, &preview, Some(body)));
        }
        "audit entries, 200 a page, 16 at once" => go((16, key, Method::GET, "/v1/audit-entries?limit=200", None)),
        "orders, 200 a page, 16 at once" => go((16, key, Method::GET, "/v1/orders?limit=200", None)),
        "64 connections of one key" => go((64, key, Method::GET, "/v1/subscriptions?limit=200", None)),
        "64 connections of six keys" => {
            for key in &world.hostile {
                go((11, key, Method::GET, "/v1/subscriptions?limit=200", None));
            }
        }
        "1,000 long polls, 5 writes/s by another" => {
            go((1000, key, Method::GET, "/v1/events?after=latest&wait=30", None));
            let (world, stop) = (world.clone(), stop.clone());
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    world
                        .service
                        .send(&world.neighbour[0], Method::POST, "/v1/customers", Some(company("New").to_string()))
                        .await;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
        }
        "unknown keys, 32 connections" => {
            let number = Arc::new(AtomicU64::new(0));
            for _ in 0..32 {
                let (world, stop, number) = (world.clone(), stop.clone(), number.clone());
                tasks.spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let key = format!("ppk_{:0>43}", number.fetch_add(1, Ordering::Relaxed));
                        world.service.send(&key, Method::GET, "/v1/customers", None).await;
                    }
                });
            }
        }
        "/readyz, 32 connections" => go((32, key, Method::GET, "/readyz", None)),
        "300 webhook tests of a silent receiver" => {
            go((300, key, Method::POST, &format!("/v1/webhook-endpoints/{}/test", world.endpoint), None));
        }
        "600 unfinished bodies of 900 kB" => {
            for _ in 0..600 {
                let (world, stop) = (world.clone(), stop.clone());
                tasks.spawn(async move {
                    let address = world.service.url.trim_start_matches("http://").to_owned();
                    let Ok(mut stream) = TcpStream::connect(address).await else { return };
                    let head = format!(
                        "POST /v1/customers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
                         Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
                        world.hostile[0]
                    );
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(&vec![b' '; 900_000]).await;
                    while !stop.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                });
            }
        }
        other => panic!("no act {other}"),
    }
    tasks
}

const ACTS: [&str; 12] = [
    "quiet",
    "1 MiB of [0,0,…], 16 at once",
    "audit entries, 200 a page, 16 at once",
    "orders, 200 a page, 16 at once",
    "64 connections of one key",
    "64 connections of six keys",
    "1,000 long polls, 5 writes/s by another",
    "unknown keys, 32 connections",
    "/readyz, 32 connections",
    "300 webhook tests of a silent receiver",
    "600 unfinished bodies of 900 kB",
    "quiet",
];

/// The latencies and statuses of the neighbour's reads. Each is sent on time, even if the one before has no response
/// yet.
async fn reads(world: &Arc<World>) -> (Vec<Duration>, Vec<u16>) {
    let path = format!("/v1/customers/{}", world.customer);
    let mut tasks = JoinSet::new();
    let mut next = tokio::time::interval(PACE);
    let ends = Instant::now() + SPAN;
    while Instant::now() < ends {
        next.tick().await;
        let (world, path) = (world.clone(), path.clone());
        // In turn, because the rate limit of one key is too low.
        let key = tasks.len() % world.neighbour.len();
        tasks.spawn(async move {
            let started = Instant::now();
            let (status, _) = world.service.send(&world.neighbour[key], Method::GET, &path, None).await;
            (started.elapsed(), status)
        });
    }
    let mut latencies = tasks.join_all().await;
    latencies.sort_unstable();
    latencies.into_iter().unzip()
}

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let other = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let binary = other.unwrap_or_else(|| env!("CARGO_BIN_EXE_partner-platform").to_owned());
    let folder = tempfile::Builder::new().prefix("partner-platform-bench").tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let own = Embedded::start(&Options { data_dir, bin_dir: None, durability: Durability::Durable }).await.unwrap();
    let database = own.database_url().to_owned();
    let migrated = Command::new(&binary).arg("migrate").env("DATABASE_URL", &database).status().unwrap();
    assert!(migrated.success());
    let client = connect(&database).await;
    let mut quiet = None;
    println!(
        "{:<42} {:>8} {:>8} {:>8} {:>7} {:>9} {:>6} {:>7}",
        "while", "p50, ms", "p99, ms", "× quiet", "failed", "most MiB", "files", "tx/s"
    );
    let world = Arc::new(world(&binary, &database).await);
    for name in ACTS {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = act(name, &world, &stop);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let transactions = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
        let before = number(&client, transactions).await;
        let (peak, sampler) = sample(&world);
        let (latencies, statuses) = reads(&world).await;
        let failed = statuses.iter().filter(|status| **status != 200).count();
        sampler.abort();
        let per_second = (number(&client, transactions).await - before) as f64 / SPAN.as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        drop(tasks);
        let at =
            |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)].as_secs_f64() * 1e3;
        let quiet = *quiet.get_or_insert(at(99));
        let [memory, files] = [0, 1].map(|index| peak[index].load(Ordering::Relaxed));
        println!(
            "{name:<42} {:>8.1} {:>8.1} {:>8.1} {failed:>7} {memory:>9} {files:>6} {per_second:>7.0}",
            at(50),
            at(99),
            at(99) / quiet
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    drop(world);
    own.stop().await.unwrap();
}

/// The maximum memory and number of open files of the service from now on.
fn sample(world: &Arc<World>) -> (Arc<[AtomicU64; 2]>, tokio::task::JoinHandle<()>) {
    let (peak, world) = (Arc::new([AtomicU64::new(0), AtomicU64::new(0)]), world.clone());
    let seen = peak.clone();
    let sampler = tokio::spawn(async move {
        loop {
            seen[0].fetch_max(world.service.memory_mib(), Ordering::Relaxed);
            seen[1].fetch_max(world.service.open_files(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    (peak, sampler)
}
