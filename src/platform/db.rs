//! Connection pool, transactions, timeouts and migrations. Only this file knows the pool.

pub mod connect;
mod lane;
mod tls;
mod transaction;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::Text;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::store::sort_keys::{self, Pass};
use crate::store::{self, Conn, Write};
use connect::{Target, TargetError};
use lane::Lane;
pub use transaction::Transaction;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// The key of the advisory lock for migrations. Any number that no other program uses in the same database.
const MIGRATION_LOCK: i64 = 0x7061_7274_6e65_7201;

/// How long to wait before rows that were locked by other transactions are retried.
const LOCKED_ROWS_RETRY: Duration = Duration::from_millis(100);

/// The size of the pool, and the timeouts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The maximum number of connections.
    pub max_connections: usize,
    /// For opening a connection.
    pub connect_timeout: Duration,
    /// For getting a connection from the pool.
    pub acquire_timeout: Duration,
    /// For one statement.
    pub statement_timeout: Duration,
    /// For getting the lock of a row.
    pub lock_timeout: Duration,
}

/// A connection of the pool, with the permit to use it.
struct Connection {
    conn: Object<AsyncPgConnection>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Closes the connection instead of returning it to the pool, because a statement may still be running on it.
    fn throw_away(self) {
        let _ = Object::take(self.conn);
    }
}

impl Deref for Connection {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.conn
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.conn
    }
}

/// A handle to the database.
#[derive(Clone)]
pub struct Db {
    pool: Pool<AsyncPgConnection>,
    target: Target,
    acquire_timeout: Duration,
    /// Limits how many connections the users of this handle may have at a time. `None` means the whole pool.
    share: Option<Arc<Semaphore>>,
    /// The connection for single reads (see [`Db::glance`]). `None` means that the pool is used.
    lane: Option<Arc<Lane>>,
    /// For a whole transaction. The server cancels slow statements itself; this covers a server that does not respond
    /// at all.
    transaction_timeout: Duration,
}

tokio::task_local! {
    /// When the current work must have ended.
    static DEADLINE: Instant;
}

/// Runs work with a deadline for all its statements and transactions. After the deadline they fail as unavailable. The
/// work itself is not cancelled, so that it can clean up and respond.
pub async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> T {
    match Instant::now().checked_add(timeout) {
        Some(deadline) => DEADLINE.scope(deadline, work).await,
        None => work.await,
    }
}

/// Returns the timeout, or the time until the deadline of the current work if that is shorter.
fn shortened(timeout: Duration) -> Duration {
    let left = DEADLINE.try_with(|deadline| deadline.saturating_duration_since(Instant::now()));
    left.map_or(timeout, |left| left.min(timeout))
}

/// Errors of the pool and of migrations.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection string is invalid.
    #[error("DATABASE_URL: {0}")]
    Target(#[from] TargetError),
    /// The pool cannot be created.
    #[error("the connection pool: {0}")]
    Pool(String),
    /// The connection to the server failed.
    #[error("no connection to the database: {0}")]
    Connection(#[from] diesel::ConnectionError),
    /// The server does not respond, or not in time.
    #[error("{0}")]
    Unavailable(String),
    /// A migration failed. The migrations before it remain applied.
    #[error("migration: {0}")]
    Migration(Box<dyn std::error::Error + Send + Sync>),
    /// The server rejected a statement.
    #[error(transparent)]
    Query(#[from] diesel::result::Error),
}

/// Errors that can mean that the database is unavailable.
pub trait IsUnavailable {
    fn is_unavailable(&self) -> bool;
}

/// The schema of the database, compared to the schema that this program was built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// The schemas are the same.
    Current,
    /// These migrations are missing in the database.
    Behind(Vec<String>),
    /// These migrations are unknown to this program: a newer release has run them.
    Newer(Vec<String>),
}

/// The state of the schema, cached so that the server is queried at most once per second.
#[derive(Clone, Default)]
pub struct Readiness(Arc<tokio::sync::Mutex<Option<Asked>>>);

/// When the server was queried, and the result.
type Asked = (Instant, Result<Schema, String>);

/// How long a result is cached.
const READINESS_BELIEVED_FOR: Duration = Duration::from_secs(1);

impl Readiness {
    /// Compares the schema of the database with the schema of this program. The result may be up to one second old.
    pub async fn schema(&self, db: &Db) -> Result<Schema, String> {
        // Concurrent callers wait for the same result.
        let mut known = self.0.lock().await;
        if let Some((at, schema)) = &*known
            && at.elapsed() < READINESS_BELIEVED_FOR
        {
            return schema.clone();
        }
        let schema = db.schema().await.map_err(|error| error.to_string());
        *known = Some((Instant::now(), schema.clone()));
        schema
    }
}

/// The current use of the pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolStatus {
    /// Open connections, idle ones included.
    pub open: usize,
    /// Open connections that are not in use.
    pub idle: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
}

impl Db {
    /// Creates the pool. Connections are opened on demand.
    ///
    /// # Errors
    /// Fails if the connection string is invalid.
    pub fn new(url: &str, settings: &Settings) -> Result<Self, Error> {
        let millis = |timeout: Duration| timeout.as_millis().to_string();
        let session = [
            ("statement_timeout", millis(settings.statement_timeout)),
            ("lock_timeout", millis(settings.lock_timeout)),
            ("idle_in_transaction_session_timeout", millis(settings.statement_timeout)),
            ("TimeZone", "UTC".to_owned()),
            ("application_name", env!("CARGO_PKG_NAME").to_owned()),
        ];
        let target = Target::parse(url, settings.connect_timeout, &session)?;

        let mut manager = ManagerConfig::default();
        manager.recycling_method = RecyclingMethod::Fast;
        let server = target.clone();
        manager.custom_setup = Box::new(move |_| {
            let server = server.clone();
            async move { server.connect().await }.boxed()
        });
        let pool = Pool::builder(AsyncDieselConnectionManager::new_with_config("", manager))
            .max_size(settings.max_connections)
            .build()
            .map_err(|error| Error::Pool(error.to_string()))?;
        Ok(Self {
            pool,
            target,
            acquire_timeout: settings.acquire_timeout,
            share: None,
            lane: None,
            transaction_timeout: settings.statement_timeout * 2,
        })
    }

    /// A handle to the same database that may only use as many connections as the semaphore has permits.
    #[must_use]
    pub fn sharing(&self, share: Arc<Semaphore>) -> Self {
        Self { share: Some(share), ..self.clone() }
    }

    /// A handle to the same database without the limit of [`Db::sharing`], for work that is done for all callers.
    #[must_use]
    pub fn for_everybody(&self) -> Self {
        Self { share: None, ..self.clone() }
    }

    /// A handle to the same database for a worker thread, with its own connection for single reads. The connection is
    /// opened on first use.
    #[must_use]
    pub fn of_worker(&self) -> Self {
        Self { lane: Some(Arc::new(Lane::new(self.target.clone()))), ..self.clone() }
    }

    /// Runs reads in one read-only transaction. All of them see the same snapshot of the data.
    pub async fn read<T, E>(&self, work: impl AsyncFnOnce(&Conn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<store::Error>,
    {
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work).await
    }

    /// Runs changes in one transaction. An error of `work` rolls back all of them.
    pub async fn transaction<T, E>(&self, work: impl AsyncFnOnce(&Conn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<store::Error>,
    {
        self.run("BEGIN", work).await
    }

    /// Runs a single statement without a transaction.
    pub async fn statement<T, E>(&self, work: impl AsyncFnOnce(&Conn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<store::Error>,
    {
        let mut conn = self.acquire().await?;
        match tokio::time::timeout(shortened(self.transaction_timeout), work(&mut conn)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                conn.throw_away();
                Err(store::Error::Unavailable("the statement took too long".to_owned()).into())
            }
        }
    }

    /// Reads one row by its id, in a single statement. All concurrent reads of the worker share one connection.
    pub async fn glance<T, E>(&self, work: impl AsyncFn(&Conn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<store::Error> + IsUnavailable,
    {
        if let Some(lane) = &self.lane
            && let Some(conn) = lane.connection().await
        {
            match tokio::time::timeout(shortened(self.transaction_timeout), work(&conn)).await {
                Ok(Err(error)) if error.is_unavailable() => lane.forget(&conn),
                Ok(outcome) => return outcome,
                Err(_) => {
                    lane.forget(&conn);
                    return Err(store::Error::Unavailable("the statement took too long".to_owned()).into());
                }
            }
        }
        // The worker has no connection, or it was lost. The pool opens a new one if necessary.
        self.statement(work).await
    }

    /// Sends write statements in one round trip. Each is its own transaction.
    pub async fn send(&self, writes: Vec<Write>) -> Result<(), store::Error> {
        self.statement(async |conn| store::send(conn, writes).await).await
    }

    async fn run<T, E>(&self, begin: &'static str, work: impl AsyncFnOnce(&Conn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<store::Error>,
    {
        let mut transaction = self.begin_with(begin).await?;
        let outcome = transaction.run(work).await;
        match outcome {
            Ok(_) => transaction.commit().await?,
            Err(_) => transaction.rollback().await,
        }
        outcome
    }

    /// Begins a transaction that is passed on. It only takes effect with [`Transaction::commit`].
    pub async fn begin(&self) -> Result<Transaction, store::Error> {
        self.begin_with("BEGIN").await
    }

    async fn begin_with(&self, begin: &'static str) -> Result<Transaction, store::Error> {
        let ends = Instant::now() + shortened(self.transaction_timeout);
        Ok(Transaction::new(self.acquire().await?, begin, ends))
    }

    async fn acquire(&self) -> Result<Connection, store::Error> {
        let acquire = async {
            // First the permit, then the connection: a caller that waits for a permit must not keep a connection from
            // others.
            let permit = match &self.share {
                None => None,
                Some(share) => Some(share.clone().acquire_owned().await.map_err(|error| error.to_string())?),
            };
            let conn = self.pool.get().await.map_err(|error| error.to_string())?;
            Ok(Connection { conn, _permit: permit })
        };
        match tokio::time::timeout(shortened(self.acquire_timeout), acquire).await {
            Ok(conn) => conn.map_err(store::Error::Unavailable),
            Err(_) => Err(store::Error::Unavailable("no connection became free in time".to_owned())),
        }
    }

    /// Returns the current use of the pool.
    #[must_use]
    pub fn pool_status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus { open: status.size, idle: status.available, waiting: status.waiting }
    }

    /// Compares the schema of the database with the schema of this program. Queries the server each time.
    pub async fn schema(&self) -> Result<Schema, Error> {
        let mut conn = self.acquire().await.map_err(|error| Error::Unavailable(error.to_string()))?;
        let applied = tokio::time::timeout(self.transaction_timeout, applied(&mut conn));
        match applied.await {
            Ok(applied) => compare(&applied?),
            Err(_) => {
                conn.throw_away();
                Err(Error::Unavailable("the server does not answer".to_owned()))
            }
        }
    }

    /// Runs the missing migrations and returns their names. Then rebuilds sort keys that another release made by
    /// another rule. Concurrent instances wait for each other.
    ///
    /// # Errors
    /// Fails if the server cannot be reached, if a migration fails, or if the schema is newer than this program.
    pub async fn migrate(&self) -> Result<Vec<String>, Error> {
        let mut conn = self.target.connect().await?;
        let lock =
            format!("SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock({MIGRATION_LOCK})");
        conn.batch_execute(&lock).await?;
        if let Schema::Newer(unknown) = compare(&applied(&mut conn).await?)? {
            return Err(Error::Migration(newer(&unknown).into()));
        }
        // The lock is released when the connection is closed.
        let mut harness = AsyncMigrationHarness::new(conn);
        let run = tokio::task::block_in_place(|| {
            let run = harness.run_pending_migrations(MIGRATIONS).map_err(Error::Migration)?;
            Ok::<_, Error>(run.iter().map(ToString::to_string).collect())
        })?;
        rebuild_sort_keys(&mut harness.into_inner()).await?;
        Ok(run)
    }
}

/// Rebuilds sort keys until all have the current version.
async fn rebuild_sort_keys(conn: &mut AsyncPgConnection) -> Result<(), Error> {
    loop {
        let pass = sort_keys::rebuild(conn).await.map_err(|error| Error::Migration(error.into()))?;
        if pass == Pass::default() {
            return Ok(());
        }
        tracing::info!(rows = pass.rebuilt, locked = pass.skipped, "rebuilt sort keys");
        if pass.skipped > 0 {
            tokio::time::sleep(LOCKED_ROWS_RETRY).await;
        }
    }
}

/// The error message for a schema that a newer release has created.
#[must_use]
pub fn newer(unknown: &[String]) -> String {
    format!(
        "the database has migrations that this release does not know ({}): run the release that created them, or a \
         newer one",
        unknown.join(", ")
    )
}

/// The versions of the migrations that were run, oldest first.
async fn applied(conn: &mut AsyncPgConnection) -> Result<Vec<String>, Error> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let table = "SELECT coalesce(to_regclass('__diesel_schema_migrations')::text, '') AS version";
    let table: Row = diesel::sql_query(table).get_result(conn).await?;
    if table.version.is_empty() {
        return Ok(Vec::new());
    }
    let query = diesel::sql_query("SELECT version FROM __diesel_schema_migrations ORDER BY version");
    let rows: Vec<Row> = query.load(conn).await?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}

fn compare(applied: &[String]) -> Result<Schema, Error> {
    let known = MigrationSource::<Pg>::migrations(&MIGRATIONS).map_err(Error::Migration)?;
    let known: Vec<_> = known.iter().map(|migration| migration.name().version().to_string()).collect();
    let missing_in = |all: &[String], some: &[String]| -> Vec<String> {
        some.iter().filter(|version| !all.contains(version)).cloned().collect()
    };
    let unknown = missing_in(&known, applied);
    let missing = missing_in(applied, &known);
    Ok(match (unknown.is_empty(), missing.is_empty()) {
        (false, _) => Schema::Newer(unknown),
        (true, false) => Schema::Behind(missing),
        (true, true) => Schema::Current,
    })
}
