//! The speed of the service compared to the database alone, and how it changes with more data: `cargo bench --bench
//! speed [-- CUSTOMERS]`. Fills two databases, runs the service and `pgbench`, which comes with PostgreSQL, in turns on
//! one machine, and prints ratios. Only results of the same run can be compared.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a benchmark may fail loudly")]
#![allow(clippy::float_arithmetic, reason = "a rate is no money")]

#[allow(dead_code, reason = "it fills for others, too")]
mod fill;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fill::{connect, number};
use partner_platform::platform::db::Db;
use partner_platform::platform::embedded::{Durability, Embedded, Options};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const FILL: &str = include_str!("fill.sql");

/// The number of connections of the load, and of `pgbench`.
const CONNECTIONS: usize = 32;

/// The duration of one turn.
const TURN: Duration = Duration::from_secs(5);

/// The number of turns of the service, and of `pgbench`.
const ROUNDS: usize = 3;

/// How often a request is sent to measure its time with more data.
const TIMES: usize = 40;

/// The number of customers in the smaller of the two databases.
const FEW: u64 = 1000;

/// The id of a row that `fill.sql` created: the `k`-th of `of` rows of a kind.
fn id(k: u64, of: u64, kind: u64) -> String {
    let text = format!("{:012x}", 1_732_579_200_000 + k * (60_480_000_000 / of));
    format!("{}-{}-7000-8000-{kind:012}", &text[..8], &text[8..])
}

/// A request by which the service and the database are compared.
struct Act {
    name: &'static str,
    request: fn(u64, u64) -> (&'static str, String, String),
    /// The statements that the request needs, as a script for `pgbench`.
    needed: &'static str,
}

/// Numbers of an existing and of a new row, for `pgbench`.
const SOME: &str = r"\set ms 1732579200000 + random(1, :n) * (60480000000 / :n)
\set r random(1, 9000000000000000)
";

const ACTS: [Act; 3] = [
    Act {
        name: "read a customer",
        request: |k, of| ("GET", format!("/v1/customers/{}", id(k, of, 1)), String::new()),
        needed: "SELECT customers.*, (SELECT count(*) FROM subscriptions WHERE customer_id = customers.id \
            AND status IN ('pending', 'active', 'suspended')), \
            EXISTS (SELECT FROM orders WHERE customer_id = customers.id) FROM customers \
            WHERE id = (lpad(to_hex(:ms::bigint), 12, '0') || '70008000000000000001')::uuid;",
    },
    Act {
        name: "list 50 customers",
        request: |_, _| ("GET", "/v1/customers?limit=50".to_owned(), String::new()),
        needed: "SELECT customers.*, (SELECT count(*) FROM subscriptions WHERE customer_id = customers.id \
            AND status IN ('pending', 'active', 'suspended')), \
            (SELECT true FROM orders WHERE customer_id = customers.id LIMIT 1) FROM customers \
            ORDER BY name_key, id LIMIT 51;",
    },
    Act {
        name: "allocate",
        request: |k, of| {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let reference = NEXT.fetch_add(1, Ordering::Relaxed);
            let body = format!(r#"{{"certificate_type":"dv","quantity":1,"reference":"bench-{reference}"}}"#);
            ("POST", format!("/v1/subscriptions/{}/allocations", id(k, of, 2)), body)
        },
        needed: "BEGIN; \
            SELECT subscriptions.*, products.code FROM subscriptions JOIN products ON products.id = product_id \
            WHERE subscriptions.id = (lpad(to_hex(:ms::bigint), 12, '0') || '70008000000000000002')::uuid \
            FOR UPDATE OF subscriptions; \
            WITH about AS (SELECT (lpad(to_hex(:ms::bigint), 12, '0') || '70008000000000000001')::uuid AS customer, \
                (lpad(to_hex(:ms::bigint), 12, '0') || '70008000000000000002')::uuid AS subscription, \
                gen_random_uuid() AS allocation), \
            a AS (INSERT INTO allocations (id, customer_id, subscription_id, certificate_type, quantity, reference, \
                created_at) SELECT allocation, customer, subscription, 'dv', 1, 'pgbench-' || :r, now() FROM about), \
            u AS (UPDATE inventory_lines SET used = used + 1 FROM about WHERE subscription_id = subscription \
                AND certificate_type = 'dv'), \
            l AS (INSERT INTO inventory_ledger (id, customer_id, subscription_id, number, certificate_type, measure, \
                before, after, allocation_id, actor, occurred_at) SELECT gen_random_uuid(), customer, subscription, \
                (SELECT max(number) + 1 FROM inventory_ledger WHERE subscription_id = subscription), 'dv', 'used', \
                1, 2, allocation, 'pgbench', now() FROM about), \
            e AS (INSERT INTO events (id, customer_id, kind, occurred_at, resource_type, resource_id, \
                resource_version, data, actor, request_id, for_everyone) SELECT gen_random_uuid(), customer, \
                'inventory.allocated', now(), 'inventory', subscription, 1, \
                jsonb_build_object('data', repeat('x', 450)), 'pgbench', :r::text, false FROM about), \
            q AS (INSERT INTO event_queue (event_id, kind, for_everyone) \
                VALUES (gen_random_uuid(), 'inventory.allocated', false)) \
            INSERT INTO audit_entries (id, customer_id, occurred_at, actor, role, request_id, operation, \
                resource_type, resource_id, outcome, status, changes) SELECT gen_random_uuid(), customer, now(), \
                'pgbench', 'admin', :r::text, 'allocate', 'subscription', subscription, 'succeeded', 201, \
                jsonb_build_array(jsonb_build_object('resource_type', 'subscription', 'resource_id', subscription, \
                    'before', null, 'after', jsonb_build_object('data', repeat('x', 450)))) \
                FROM about; \
            COMMIT;",
    },
];

/// Requests whose time must not grow with the amount of data.
const GROWTH: [&str; 30] = [
    "/v1/customers/$CUSTOMER",
    "/v1/customers?limit=50",
    "/v1/customers?limit=50&sort=-created_at",
    "/v1/customers?limit=50&q=tics%20$N",
    "/v1/customers?limit=50&q=zzqqxx",
    "/v1/customers?limit=50&q=harbour",
    "/v1/customers?limit=50&country=NL",
    "/v1/customers?limit=50&country=US",
    "/v1/customers?limit=50&status=archived",
    "/v1/customers?external_id=crm-$N",
    "/v1/customers?created_after=2039-01-01T00:00:00Z",
    "/v1/subscriptions/$SUBSCRIPTION",
    "/v1/subscriptions/$SUBSCRIPTION/inventory",
    "/v1/subscriptions/$SUBSCRIPTION/inventory/ledger",
    "/v1/subscriptions?limit=50",
    "/v1/subscriptions?limit=50&status=suspended",
    "/v1/subscriptions?customer_id=$CUSTOMER",
    "/v1/events?limit=50&after=$N",
    "/v1/events?limit=50&after=0&types=product.updated",
    "/v1/audit-entries?limit=50",
    "/v1/audit-entries?resource_id=$CUSTOMER",
    "/v1/audit-entries?operation=archiveCustomer",
    "/v1/audit-entries?outcome=refused",
    "/v1/audit-entries?occurred_after=2024-12-01T00:00:00Z&occurred_before=2024-12-02T00:00:00Z",
    "/v1/charges?limit=50&status=voided",
    "/v1/charges?limit=50&due_after=2039-01-01",
    "/v1/orders?limit=50&kind=renewal",
    "/v1/orders?subscription_id=$SUBSCRIPTION",
    "/v1/reports/subscriptions?limit=50&status=cancelled",
    "/v1/reports/transactions?limit=50&kind=renewal",
];

/// The service on a database, as a separate process.
struct Service {
    process: Child,
    address: String,
    key: String,
    customers: u64,
    database: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Service {
    async fn start(server: &str, name: &str, customers: u64) -> Self {
        connect(server).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (address, parameters) = server.split_once('?').unwrap_or((server, ""));
        let database = format!("{}/{name}?{parameters}", address.rsplit_once('/').unwrap().0);
        let long = Duration::from_secs(600);
        let settings = partner_platform::platform::db::Settings {
            max_connections: 2,
            connect_timeout: long,
            acquire_timeout: long,
            statement_timeout: long,
            lock_timeout: long,
        };
        let db = Db::new(&database, &settings).unwrap();
        db.migrate().await.unwrap();
        let fill = FILL.replace("$N", &customers.to_string()).replace("date '$TODAY'", "CURRENT_DATE");
        connect(&database).await.batch_execute(&fill).await.unwrap();
        // Builds the sort keys of the names.
        db.migrate().await.unwrap();
        connect(&database).await.batch_execute("VACUUM (ANALYZE)").await.unwrap();

        let binary = env!("CARGO_BIN_EXE_partner-platform");
        let mut keys = Command::new(binary);
        let keys = keys.args(["keys", "create", "--role", "admin"]).env("DATABASE_URL", &database).output().unwrap();
        let key = String::from_utf8(keys.stdout).unwrap().trim().to_owned();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", &address, "--log-level", "error", "--worker", "false"]);
        for limit in ["READS", "WRITES", "TENANT_READS", "TENANT_WRITES"] {
            command.env(format!("RATE_LIMIT_{limit}"), "0");
        }
        let process = command.env("DATABASE_URL", &database).stdout(Stdio::null()).spawn().unwrap();
        while TcpStream::connect(&address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { process, address, key, customers, database }
    }

    fn request(&self, (method, path, body): (&str, String, String)) -> String {
        let (key, length) = (&self.key, body.len());
        format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
    }

    /// Requests of a kind per second, and the 50th and 99th percentile of their time.
    async fn play(self: &Arc<Self>, act: &'static Act) -> (f64, Duration, Duration) {
        let ends = Instant::now() + TURN;
        let mut lanes = JoinSet::new();
        for lane in 0..CONNECTIONS {
            let service = self.clone();
            lanes.spawn(async move {
                let mut connection = Connection::open(&service.address).await;
                let mut taken = Vec::new();
                let mut k = lane as u64 * 7919;
                while Instant::now() < ends {
                    k = (k * 48271 + 11) % service.customers;
                    let request = service.request((act.request)(k + 1, service.customers));
                    taken.push(connection.send(&request).await);
                }
                taken
            });
        }
        let mut taken: Vec<_> = lanes.join_all().await.into_iter().flatten().collect();
        taken.sort_unstable();
        let at = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize];
        (taken.len() as f64 / TURN.as_secs_f64(), at(0.5), at(0.99))
    }

    /// The median time of a request without other load.
    async fn median(&self, path: &str) -> f64 {
        let mut connection = Connection::open(&self.address).await;
        let mut taken = Vec::new();
        for time in 1..=TIMES as u64 {
            let k = time * 7919 % self.customers + 1;
            let path = path.replace("$CUSTOMER", &id(k, self.customers, 1)).replace("$N", &k.to_string());
            let path = path.replace("$SUBSCRIPTION", &id(k, self.customers, 2));
            taken.push(connection.send(&self.request(("GET", path, String::new()))).await);
        }
        taken.sort_unstable();
        taken[taken.len() / 2].as_secs_f64() * 1000.0
    }

    /// How many bytes the database writes to its log for one request.
    async fn bytes_logged(&self, act: &Act) -> i64 {
        let client = connect(&self.database).await;
        let mut connection = Connection::open(&self.address).await;
        let place = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";
        client.batch_execute("CHECKPOINT").await.unwrap();
        // After a checkpoint, PostgreSQL writes whole pages to the log: once for each page that is changed repeatedly.
        let mut logged = Vec::new();
        for _ in 0..20 {
            let before = number(&client, place).await;
            let request = self.request((act.request)(self.customers / 2, self.customers));
            connection.send(&request).await;
            logged.push(number(&client, place).await - before);
        }
        logged.sort_unstable();
        logged[logged.len() / 2]
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    async fn send(&mut self, request: &str) -> Duration {
        let started = Instant::now();
        self.0.write_all(request.as_bytes()).await.unwrap();
        let (mut line, mut status, mut length) = (String::new(), String::new(), 0);
        loop {
            line.clear();
            self.0.read_line(&mut line).await.unwrap();
            match line.trim_end() {
                "" => break,
                head if status.is_empty() => head.clone_into(&mut status),
                header => {
                    if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        assert!(status.contains(" 20"), "{request}: {status}: {}", String::from_utf8_lossy(&body));
        started.elapsed()
    }
}

/// Transactions of a script per second, if `pgbench` is installed.
fn pgbench(database: &str, folder: &Path, act: &Act, customers: u64) -> Option<f64> {
    let script = folder.join("script.sql");
    std::fs::write(&script, format!("{SOME}{}\n", act.needed.replace("; ", ";\n"))).unwrap();
    let mut command = Command::new("pgbench");
    command.args(["-n", "-M", "prepared", "-j", "2", "-c"]).arg(CONNECTIONS.to_string());
    command.arg("-T").arg(TURN.as_secs().to_string()).arg("-D").arg(format!("n={customers}"));
    let output = command.arg("-f").arg(&script).arg(database).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    if rate.is_none() {
        println!("pgbench: {}", String::from_utf8_lossy(&output.stderr));
    }
    rate
}

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let many: u64 = asked.unwrap_or(100_000);
    let folder = tempfile::Builder::new().prefix("partner-platform-bench").tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let own = Embedded::start(&Options { data_dir, bin_dir: None, durability: Durability::Durable }).await.unwrap();
    let small = Arc::new(Service::start(own.database_url(), "few", FEW).await);
    let big = Arc::new(Service::start(own.database_url(), "many", many).await);

    println!("{many} customers, {CONNECTIONS} connections, the medians of {ROUNDS} turns of {TURN:?}");
    println!(
        "{:<20} {:>10} {:>9} {:>9} {:>10} {:>7} {:>11}",
        "", "a second", "p50", "p99", "pgbench", "ratio", "log, bytes"
    );
    // Measured before the load, because the clean-up after the load also writes to the log.
    let mut logged = Vec::new();
    for act in &ACTS {
        logged.push(big.bytes_logged(act).await);
    }
    for (act, logged) in ACTS.iter().zip(logged) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(big.play(act).await);
            theirs.extend(pgbench(&big.database, folder.path(), act, many));
        }
        ours.sort_by(|one, other| one.0.total_cmp(&other.0));
        theirs.sort_by(f64::total_cmp);
        let (rate, half, most) = ours[ROUNDS / 2];
        let beside = theirs.get(theirs.len() / 2);
        let beside =
            beside.map_or("none is there".to_owned(), |theirs| format!("{theirs:>10.0} {:>7.2}", rate / theirs));
        println!("{:<20} {rate:>10.0} {half:>9.1?} {most:>9.1?} {beside} {logged:>11}", act.name);
    }

    println!("\n{:<92} {FEW:>9} {many:>9} growth", "alone, ms");
    for path in GROWTH {
        let (few, many) = (small.median(path).await, big.median(path).await);
        println!("{path:<92} {few:>9.2} {many:>9.2} {:>6.1}", many / few);
    }
    own.stop().await.unwrap();
}
