//! Runs statements. Each text is parsed once per connection, and several statements are sent together.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error, QueryResult};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use tokio::task::unconstrained;

use super::rows::{AnyRows, Fragment, together};
use super::{Conn, Result};

/// A prepared statement, which a connection caches by its text. diesel itself caches no UPDATE, no upsert and no plain
/// SQL, because their number of different texts could be unlimited. Here only the parameters differ between runs.
#[derive(Debug, Clone, Copy)]
pub struct Prepared<Q>(pub Q);

impl<Q> QueryId for Prepared<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Prepared<Q> {
    type SqlType = Q::SqlType;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Prepared<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

/// A query with a limit, whose best plan does not depend on its parameters. The limit is part of the statement, which
/// can then have a generic plan: for a limit that is not known yet, the planner assumes a tenth of all rows. The limit
/// is rounded up to one of a few numbers, so there may be more rows than requested.
#[derive(Debug, Clone, Copy)]
pub struct UpTo<Q> {
    query: Q,
    rows: i64,
}

impl<Q> UpTo<Q> {
    /// Limits a query to its first rows. The query must not have a limit.
    pub fn new(query: Q, rows: i64) -> Self {
        let few = [1, 11, 26, 51, 101, 201].into_iter().find(|few| *few >= rows);
        Self { query, rows: few.unwrap_or(rows) }
    }
}

impl<Q> QueryId for UpTo<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for UpTo<Q> {
    type SqlType = Q::SqlType;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for UpTo<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.query.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT ");
        out.push_sql(&self.rows.to_string());
        Ok(())
    }
}

/// A write that is sent later, together with the other writes of a unit of work.
pub struct Write(pub(super) Kind);

pub(super) enum Kind {
    /// Rows, which are sent together with other rows of their kind.
    Rows(Box<dyn AnyRows>),
    Statement(Fragment),
}

/// A running statement: it is sent when it is first polled, and returns how many rows were written.
pub type Running<'c> = BoxFuture<'c, QueryResult<usize>>;

/// A statement that returns no rows. A connection caches it, so its text must not vary. Lists of rows are written by
/// `rows`.
pub trait Statement: Sized {
    /// Sends the statement, and returns how many rows were written.
    fn run(self, conn: &Conn) -> Running<'_>;

    /// Keeps the statement for later.
    fn later(self) -> Write
    where
        Self: Sync + 'static;
}

impl<Q: QueryFragment<Pg> + Send> Statement for Q {
    fn run(self, conn: &Conn) -> Running<'_> {
        Prepared(self).execute(&mut &*conn)
    }

    fn later(self) -> Write
    where
        Self: Sync + 'static,
    {
        Write(Kind::Statement(Box::new(self)))
    }
}

/// A statement without parameters, such as `COMMIT`.
#[must_use]
pub fn command(sql: &'static str) -> impl Statement + Sync + 'static {
    diesel::sql_query(sql)
}

/// Sends statements in order, in one round trip. If one cannot be sent, the statements after it are not sent.
///
/// # Errors
/// Returns the error of the first statement that failed.
pub async fn send(conn: &Conn, writes: Vec<Write>) -> Result<()> {
    let mut statements: Vec<_> = together(writes).into_iter().map(|write| maybe_done(write.run(conn))).collect();
    // A connection sends statements in the order in which they are polled first. While it parses one, the others wait.
    // They are polled without the budget of the scheduler, which would stop after the first hundred.
    let sent = unconstrained(poll_fn(|cx| {
        let is_not_sent = |statement: &mut MaybeDone<Running<'_>>| {
            let _ = statement.poll_unpin(cx);
            matches!(statement, MaybeDone::Done(Err(error)) if !matches!(error, Error::DatabaseError(..)))
        };
        let not_sent = statements.iter_mut().position(is_not_sent);
        Poll::Ready(not_sent.map_or(statements.len(), |not_sent| not_sent + 1))
    }))
    .await;
    statements.truncate(sent);
    let mut outcome = Ok(());
    // Every statement is awaited, even after an error, because the connection is reused.
    for mut statement in statements {
        (&mut statement).await;
        let answer = Pin::new(&mut statement).take_output().transpose();
        outcome = outcome.and(answer.map(drop));
    }
    Ok(outcome?)
}
