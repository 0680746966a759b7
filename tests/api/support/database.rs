//! One PostgreSQL for all tests of the process, and a database for each test: a copy of a migrated template.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use partner_platform::platform::db::{self, Db};
use partner_platform::platform::embedded::{Durability, Embedded, Options};
use tokio_postgres::NoTls;

/// All tables of the service.
pub const TABLES: &[&str] = &[
    "resellers",
    "customers",
    "products",
    "subscriptions",
    "subscription_terms",
    "inventory_lines",
    "inventory_ledger",
    "orders",
    "order_lines",
    "charges",
    "invoices",
    "invoice_lines",
    "invoice_numbers",
    "invoice_runs",
    "allocations",
    "api_keys",
    "access_version",
    "price_lists",
    "price_list_prices",
    "renewal_failures",
    "sandbox_clock",
    "events",
    "webhook_endpoints",
];

static SERVER: OnceLock<PostgreSql> = OnceLock::new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

struct PostgreSql {
    url: String,
    template: String,
}

/// The database of one test. It is dropped together with this value.
pub struct Database {
    pub name: String,
    pub url: String,
}

impl Database {
    pub async fn create() -> Self {
        let server = tokio::task::block_in_place(|| SERVER.get_or_init(PostgreSql::start));
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let template = &server.template;
        server.execute(&format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")).await;
        Self { url: with_database(&server.url, &name), name }
    }

    /// Runs statements directly in the database.
    pub async fn execute(&self, sql: &str) {
        execute(&self.url, sql).await;
    }

    /// The first column of the first row, as text.
    pub async fn text(&self, sql: &str) -> String {
        let client = connect(self).await;
        let rows = client.simple_query(sql).await.unwrap();
        let row = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        row.and_then(|row| row.get(0)).unwrap_or_default().to_owned()
    }

    /// All data of the service as one text. If two texts are equal, nothing has changed between them.
    pub async fn fingerprint(&self) -> String {
        let hashes = TABLES.map_sql(|table| {
            format!("(SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '-') FROM {table} t)")
        });
        self.text(&format!("SELECT concat_ws(',', {hashes})")).await
    }
}

trait MapSql {
    fn map_sql(&self, sql: impl Fn(&str) -> String) -> String;
}

impl MapSql for &[&str] {
    fn map_sql(&self, sql: impl Fn(&str) -> String) -> String {
        self.iter().map(|table| sql(table)).collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.name.clone();
        // In the background, so that a test does not wait until its database is dropped.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let server = SERVER.get().unwrap();
            runtime.block_on(server.execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
        });
    }
}

impl PostgreSql {
    /// The server in `TEST_DATABASE_URL`, or a new one that ends with this process.
    fn start() -> Self {
        #[allow(clippy::disallowed_methods, reason = "tests have no settings but this one")]
        let given = std::env::var("TEST_DATABASE_URL").ok();
        let (send, receive) = mpsc::channel();
        // A thread that lives as long as the process, because the server ends with the thread that started it.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let own = match given {
                    Some(url) => Err(url),
                    None => Ok(start_own().await),
                };
                let url = own.as_ref().map_or_else(Clone::clone, |own| own.database_url().to_owned());
                let template = format!("template_{}", std::process::id());
                execute(&url, &format!("CREATE DATABASE {template}")).await;
                let db = Db::new(&with_database(&url, &template), &settings()).unwrap();
                db.migrate().await.unwrap();
                drop(db);
                send.send(Self { url, template }).unwrap();
                std::future::pending::<()>().await;
            });
        });
        receive.recv().expect("the PostgreSQL of the tests starts; see its log")
    }

    async fn execute(&self, sql: &str) {
        execute(&self.url, sql).await;
    }
}

async fn start_own() -> Embedded {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let data_dir = base.join(format!("partner-platform-tests-{}", std::process::id()));
    let options = Options { data_dir, bin_dir: None, durability: Durability::Throwaway };
    Embedded::start(&options).await.expect("PostgreSQL is installed; `./dev test` installs it")
}

/// Long timeouts, so that a busy machine does not fail the tests. Tests of an unavailable database set their own.
pub fn settings() -> db::Settings {
    use std::time::Duration;
    db::Settings {
        max_connections: 8,
        connect_timeout: Duration::from_secs(20),
        acquire_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(20),
    }
}

fn with_database(url: &str, name: &str) -> String {
    let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = address.rsplit_once('/').unwrap();
    format!("{server}/{name}?{parameters}")
}

/// A direct connection to the database of a test.
pub async fn connect(database: &Database) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&plain(&database.url), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The URL without the parameters that only the service understands.
fn plain(url: &str) -> String {
    url.replace("sslmode=disable", "")
}

async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(&plain(url), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
}
