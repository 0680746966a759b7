//! How statements are run: each text is parsed once on a connection, and several go out together.

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

/// A statement that a connection keeps by its text once it is parsed. diesel itself keeps no UPDATE, no upsert and no
/// SQL of our own, as their texts could be without number; here only parameters differ from one run to the next.
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

/// A query for so many rows at the most, where no value that it is given makes another plan better. The number stands in
/// the statement, which can so be planned once for all: a number that is not known yet is taken for a tenth of all rows.
/// It is one of a few, and the rows may be more than were asked for.
#[derive(Debug, Clone, Copy)]
pub struct UpTo<Q> {
    query: Q,
    rows: i64,
}

impl<Q> UpTo<Q> {
    /// The first rows of a query without a limit.
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

/// What is written later: a unit of work collects it.
pub struct Write(pub(super) Kind);

pub(super) enum Kind {
    /// Rows, which go out together with others of their kind.
    Rows(Box<dyn AnyRows>),
    Statement(Fragment),
}

/// A statement on its way: it is sent when it is first polled, and answers how many rows were written.
pub type Running<'c> = BoxFuture<'c, QueryResult<usize>>;

/// A statement that answers no rows. A connection keeps it, so that it must not have another text each time: lists of
/// rows are written by `rows`.
pub trait Statement: Sized {
    /// Sends it, and answers how many rows were written.
    fn run(self, conn: &Conn) -> Running<'_>;

    /// Keeps it for later.
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

/// A statement without parameters, as `COMMIT`.
#[must_use]
pub fn command(sql: &'static str) -> impl Statement + Sync + 'static {
    diesel::sql_query(sql)
}

/// Sends statements in their order, and waits for the database once. One that cannot be sent is the last.
///
/// # Errors
/// Of the first that fails.
pub async fn send(conn: &Conn, writes: Vec<Write>) -> Result<()> {
    let mut statements: Vec<_> = together(writes).into_iter().map(|write| maybe_done(write.run(conn))).collect();
    // A connection has what is sent in the order in which it was; while it parses one, the others wait for that. They
    // are polled without the scheduler's budget, which would hold back all but the first hundred.
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
    // Each is waited for, also when one before it has failed: the connection goes on to somebody else.
    for mut statement in statements {
        (&mut statement).await;
        let answer = Pin::new(&mut statement).take_output().transpose();
        outcome = outcome.and(answer.map(drop));
    }
    Ok(outcome?)
}
