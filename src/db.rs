//! The pool, transactions, timeouts and migrations: the only file that knows the pool.

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

/// Any number that no other program uses for an advisory lock on the same database.
const MIGRATION_LOCK: i64 = 0x7061_7274_6e65_7201;

/// Before rows that other transactions had locked are tried again.
const LOCKED_ROWS_RETRY: Duration = Duration::from_millis(100);

/// How long the database may take for what.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most connections.
    pub max_connections: usize,
    /// To open a connection.
    pub connect_timeout: Duration,
    /// To get a connection from the pool.
    pub acquire_timeout: Duration,
    /// For one statement.
    pub statement_timeout: Duration,
    /// To get a row's lock.
    pub lock_timeout: Duration,
}

/// A connection of the pool, and the permit to hold it.
struct Connection {
    conn: Object<AsyncPgConnection>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Closes the connection rather than giving it back: something is still under way on it.
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

/// The database.
#[derive(Clone)]
pub struct Db {
    pool: Pool<AsyncPgConnection>,
    target: Target,
    acquire_timeout: Duration,
    /// The connections that may be held at a time by whom this is for; all of the pool where there is none.
    share: Option<Arc<Semaphore>>,
    /// For what is read at a glance; the pool serves where there is none.
    lane: Option<Arc<Lane>>,
    /// For a whole transaction. The server ends a statement by itself; this is for a server that does
    /// not answer at all.
    transaction_timeout: Duration,
}

tokio::task_local! {
    /// When the work under way has to be over.
    static DEADLINE: Instant;
}

/// Does work whose statements and transactions all end in this time; what is left then fails as unavailable. The
/// work goes on, so that it can tidy up and answer.
pub async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> T {
    match Instant::now().checked_add(timeout) {
        Some(deadline) => DEADLINE.scope(deadline, work).await,
        None => work.await,
    }
}

/// A timeout, or what is left of the time of the work under way.
fn shortened(timeout: Duration) -> Duration {
    let left = DEADLINE.try_with(|deadline| deadline.saturating_duration_since(Instant::now()));
    left.map_or(timeout, |left| left.min(timeout))
}

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection string is of no use.
    #[error("DATABASE_URL: {0}")]
    Target(#[from] TargetError),
    /// The pool cannot be made.
    #[error("the connection pool: {0}")]
    Pool(String),
    /// The server is not there.
    #[error("no connection to the database: {0}")]
    Connection(#[from] diesel::ConnectionError),
    /// The server does not answer, or not in time.
    #[error("{0}")]
    Unavailable(String),
    /// A migration failed; those before it stand.
    #[error("migration: {0}")]
    Migration(Box<dyn std::error::Error + Send + Sync>),
    /// The server refused a statement.
    #[error(transparent)]
    Query(#[from] diesel::result::Error),
}

/// Tells whether something failed because the database is unavailable.
pub trait IsUnavailable {
    /// Whether it did.
    fn is_unavailable(&self) -> bool;
}

/// How the schema of the database compares to the one that this program was built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// The same.
    Current,
    /// These migrations are missing.
    Behind(Vec<String>),
    /// These migrations are unknown here: a newer release has been at work.
    Newer(Vec<String>),
}

/// How the schema compares, as of a moment ago: however often it is asked, the server is asked once a second.
#[derive(Clone, Default)]
pub struct Readiness(Arc<tokio::sync::Mutex<Option<Asked>>>);

/// When the server was asked, and what it answered.
type Asked = (Instant, Result<Schema, String>);

/// How long it is believed.
const READINESS_BELIEVED_FOR: Duration = Duration::from_secs(1);

impl Readiness {
    /// Compares the schema.
    ///
    /// # Errors
    /// The server could not be asked.
    pub async fn schema(&self, db: &Db) -> Result<Schema, String> {
        // Whoever asks meanwhile waits for the same answer.
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

/// How busy the pool is.
#[derive(Debug, Clone, Copy)]
pub struct PoolStatus {
    /// Open connections.
    pub open: usize,
    /// Of these, how many nobody uses.
    pub idle: usize,
    /// Requests that wait for one.
    pub waiting: usize,
}

impl Db {
    /// Makes the pool; connections are opened when they are needed.
    ///
    /// # Errors
    /// The connection string is of no use.
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

    /// The same database for somebody who may hold only a share of the pool: the permits of the semaphore.
    #[must_use]
    pub fn sharing(&self, share: Arc<Semaphore>) -> Self {
        Self { share: Some(share), ..self.clone() }
    }

    /// The same database for what somebody does for everybody: nobody's share bounds it.
    #[must_use]
    pub fn for_everybody(&self) -> Self {
        Self { share: None, ..self.clone() }
    }

    /// The same database for a worker, which has a connection of its own for what is read at a glance. It is opened by
    /// the thread that first needs it.
    #[must_use]
    pub fn of_worker(&self) -> Self {
        Self { lane: Some(Arc::new(Lane::new(self.target.clone()))), ..self.clone() }
    }

    /// Runs reads on one snapshot of the data: what they see belongs together.
    ///
    /// # Errors
    /// The error of `work`, or that the database is unavailable.
    pub async fn read<T, E>(&self, work: impl AsyncFnOnce(&Conn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<store::Error>,
    {
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work).await
    }

    /// Runs changes, all or none: an error of `work` rolls them back.
    ///
    /// # Errors
    /// The error of `work`, or that the database is unavailable.
    pub async fn transaction<T, E>(&self, work: impl AsyncFnOnce(&Conn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<store::Error>,
    {
        self.run("BEGIN", work).await
    }

    /// Runs one statement, which needs no transaction.
    ///
    /// # Errors
    /// The error of `work`, or that the database is unavailable.
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

    /// Reads one thing by its id, with one statement: it shares a connection with all others that the worker reads so at
    /// the same time.
    ///
    /// # Errors
    /// The error of `work`, or that the database is unavailable.
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
        // The connection was lost, or there is none: the pool knows what to do.
        self.statement(work).await
    }

    /// Runs statements that write, in one piece and each by itself.
    ///
    /// # Errors
    /// A statement fails, or the database is unavailable.
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

    /// Begins a transaction that whoever has it goes on with; it ends by [`Transaction::commit`] alone.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn begin(&self) -> Result<Transaction, store::Error> {
        self.begin_with("BEGIN").await
    }

    async fn begin_with(&self, begin: &'static str) -> Result<Transaction, store::Error> {
        let ends = Instant::now() + shortened(self.transaction_timeout);
        Ok(Transaction::new(self.acquire().await?, begin, ends))
    }

    async fn acquire(&self) -> Result<Connection, store::Error> {
        let acquire = async {
            // In this order: whoever waits for its own share holds nothing that others need.
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

    /// How busy the pool is.
    #[must_use]
    pub fn pool_status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus { open: status.size, idle: status.available, waiting: status.waiting }
    }

    /// Compares the schema; asks the server each time.
    ///
    /// # Errors
    /// The server cannot be asked.
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

    /// Brings the schema up to date and names the migrations that were run, and rebuilds sort keys that another
    /// release made by another rule. Instances that do so at the same time wait for each other.
    ///
    /// # Errors
    /// The server cannot be asked, a migration fails, or the schema is newer than this program.
    pub async fn migrate(&self) -> Result<Vec<String>, Error> {
        let mut conn = self.target.connect().await?;
        let lock =
            format!("SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock({MIGRATION_LOCK})");
        conn.batch_execute(&lock).await?;
        if let Schema::Newer(unknown) = compare(&applied(&mut conn).await?)? {
            return Err(Error::Migration(newer(&unknown).into()));
        }
        // The lock goes with the connection.
        let mut harness = AsyncMigrationHarness::new(conn);
        let run = tokio::task::block_in_place(|| {
            let run = harness.run_pending_migrations(MIGRATIONS).map_err(Error::Migration)?;
            Ok::<_, Error>(run.iter().map(ToString::to_string).collect())
        })?;
        rebuild_sort_keys(&mut harness.into_inner()).await?;
        Ok(run)
    }
}

/// Rebuilds sort keys until all are of the current version.
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

/// What to say of a schema that a newer release has made.
#[must_use]
pub fn newer(unknown: &[String]) -> String {
    format!(
        "the database has migrations that this release does not know ({}): run the release that made them, or a newer one",
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
