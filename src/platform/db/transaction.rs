//! Transactions that are passed on, so that the changes of a request, its response and its records are committed
//! together.

use std::time::Instant;

use tokio::{join, try_join};

use super::Connection;
use crate::store::{self, Conn, Statement, Write, send};

/// An open transaction. If it is dropped, also during [`Transaction::run`], its connection is closed and the server
/// rolls it back.
pub struct Transaction {
    /// `None` after a timeout. A statement may still be running on the connection, so it must not be reused.
    conn: Option<Box<Connection>>,
    /// The `BEGIN` statement, until it was sent together with the first statement.
    begin: Option<&'static str>,
    ends: Instant,
}

impl Transaction {
    pub(super) fn new(conn: Connection, begin: &'static str, ends: Instant) -> Self {
        Self { conn: Some(Box::new(conn)), begin: Some(begin), ends }
    }

    /// Runs a part of the transaction.
    ///
    /// # Errors
    /// Returns the error of `work`, or fails if the database is unavailable. Roll back in both cases.
    pub async fn run<T, E>(&mut self, work: impl AsyncFnOnce(&Conn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<store::Error>,
    {
        let too_long = || store::Error::Unavailable("the transaction took too long".to_owned());
        // Borrowed, so that a caller that stops waiting drops the connection together with the transaction.
        let conn = &***self.conn.as_mut().ok_or_else(too_long)?;
        let begin = self.begin.take();
        let begin = async {
            let begun = match begin {
                Some(begin) => store::command(begin).run(conn).await.map(drop).map_err(store::Error::from),
                None => Ok(()),
            };
            begun.map_err(E::from)
        };
        // `begin` is polled first: the first statement of `work` is sent right after it, without waiting for its
        // result.
        match tokio::time::timeout_at(self.ends.into(), async { try_join!(biased; begin, work(conn)) }).await {
            Ok(outcome) => outcome.map(|((), outcome)| outcome),
            Err(_) => {
                self.throw_away();
                Err(too_long().into())
            }
        }
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// Fails if the database is unavailable. Then it is unknown whether the transaction was committed.
    pub async fn commit(self) -> Result<(), store::Error> {
        self.commit_with(Vec::new()).await
    }

    /// Commits the transaction. The last statements are sent together with the `COMMIT`.
    ///
    /// # Errors
    /// If a statement fails, nothing is committed. If the database is unavailable, it is unknown whether the
    /// transaction was committed.
    pub async fn commit_with(self, last: Vec<Write>) -> Result<(), store::Error> {
        self.commit_then(last, async |_: &Conn| Ok(())).await
    }

    /// Like [`Transaction::commit_with`], and runs `read` after the commit, in the same round trip.
    ///
    /// # Errors
    /// As for [`Transaction::commit_with`], and the errors of `read`.
    pub async fn commit_then<T>(
        mut self,
        mut last: Vec<Write>,
        read: impl AsyncFnOnce(&Conn) -> Result<T, store::Error>,
    ) -> Result<T, store::Error> {
        // If a statement of the transaction has failed, `COMMIT` rolls back.
        last.push(store::command("COMMIT").later());
        let committed = self.run(async |conn: &Conn| {
            let (committed, read) = join!(biased; send(conn, last), read(conn));
            committed.and(read)
        });
        let committed = committed.await;
        // Otherwise the transaction may still be open, so its connection is closed.
        if matches!(committed, Ok(_) | Err(store::Error::Taken(_))) {
            self.give_back();
        }
        committed
    }

    /// Rolls back the transaction.
    pub async fn rollback(mut self) {
        match self.run(async |conn: &Conn| Ok::<_, store::Error>(store::command("ROLLBACK").run(conn).await?)).await {
            Ok(_) => self.give_back(),
            // The connection is closed, and the server then rolls back the transaction.
            Err(error) => tracing::warn!(%error, "rollback failed"),
        }
    }

    fn give_back(&mut self) {
        drop(self.conn.take());
    }

    fn throw_away(&mut self) {
        if let Some(conn) = self.conn.take() {
            conn.throw_away();
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.throw_away();
    }
}
