//! How statements are run: each text is parsed once on a connection, and several go out together.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, maybe_done};

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

/// One statement that runs: it is sent when it is first polled, and answers how many rows were written.
pub type Running<'c> = BoxFuture<'c, QueryResult<usize>>;

/// Runs a statement that answers no rows, and keeps it. One that inserts a list of rows has another text for each
/// number of them: see `write_rows`.
pub trait Run {
    /// How many rows were written.
    fn run(self, conn: &Conn) -> Running<'_>;
}

impl<Q: QueryFragment<Pg> + Send> Run for Q {
    fn run(self, conn: &Conn) -> Running<'_> {
        Prepared(self).execute(&mut &*conn)
    }
}

/// Runs SQL that has no parameters and answers no rows, as `BEGIN`.
pub fn command<'c>(conn: &'c Conn, sql: &str) -> Running<'c> {
    diesel::sql_query(sql).run(conn)
}

/// How many rows one statement writes, where there are so many.
pub(super) const ROWS: usize = 100;

/// The statements that write rows: [`ROWS`] with each, and the rest one by one, so that there are two texts however
/// many the rows are. `$statement` is made of one row and of several, as `$row`.
macro_rules! write_rows {
    ($conn:expr, $rows:expr, $row:ident => $statement:expr) => {{
        let (conn, mut rows) = ($conn, $rows);
        let mut statements: Vec<$crate::store::Running<'_>> = Vec::new();
        loop {
            let $row: Vec<_> = rows.by_ref().take($crate::store::run::ROWS).collect();
            if $row.len() < $crate::store::run::ROWS {
                statements.extend($row.into_iter().map(|$row| $crate::store::run::Run::run($statement, conn)));
                break statements;
            }
            statements.push($crate::store::run::Run::run($statement, conn));
        }
    }};
}

pub(super) use write_rows;

/// Runs statements in their order, and waits for the database once.
///
/// # Errors
/// Of the first that fails.
pub async fn in_order(statements: Vec<Running<'_>>) -> Result<()> {
    let mut statements: Vec<_> = statements.into_iter().map(maybe_done).collect();
    // A connection has what is sent in the order in which it was; while it parses one, the others wait for that.
    poll_fn(|cx| {
        for statement in &mut statements {
            let _ = statement.poll_unpin(cx);
        }
        Poll::Ready(())
    })
    .await;
    for mut statement in statements {
        (&mut statement).await;
        Pin::new(&mut statement).take_output().transpose()?;
    }
    Ok(())
}
