//! Transactions that are handed on: what a request does, its answer and its traces are one.

use std::time::Instant;

use tokio::{join, try_join};

use super::Connection;
use crate::store::{self, Conn, Statement, Write, send};

/// A transaction under way. Dropped, also in the middle of [`Transaction::run`], it is rolled back together with its
/// connection.
pub struct Transaction {
    /// Gone when it took too long: whatever is under way on it, nobody may get this connection again.
    conn: Option<Box<Connection>>,
    /// How it begins, until it has: together with its first statement.
    begin: Option<&'static str>,
    ends: Instant,
}

impl Transaction {
    pub(super) fn new(conn: Connection, begin: &'static str, ends: Instant) -> Self {
        Self { conn: Some(Box::new(conn)), begin: Some(begin), ends }
    }

    /// Runs a part of it.
    ///
    /// # Errors
    /// The error of `work`, or that the database is unavailable. Roll back then.
    pub async fn run<T, E>(&mut self, work: impl AsyncFnOnce(&Conn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<store::Error>,
    {
        let too_long = || store::Error::Unavailable("the transaction took too long".to_owned());
        // Lent, so that whoever gives up waiting drops it with the rest.
        let conn = &***self.conn.as_mut().ok_or_else(too_long)?;
        let begin = self.begin.take();
        let begin = async {
            let begun = match begin {
                Some(begin) => store::command(begin).run(conn).await.map(drop).map_err(store::Error::from),
                None => Ok(()),
            };
            begun.map_err(E::from)
        };
        // It is polled first, so that the work's first statement goes out behind it and waits for no answer.
        match tokio::time::timeout_at(self.ends.into(), async { try_join!(biased; begin, work(conn)) }).await {
            Ok(outcome) => outcome.map(|((), outcome)| outcome),
            Err(_) => {
                self.throw_away();
                Err(too_long().into())
            }
        }
    }

    /// Makes everything that was done last.
    ///
    /// # Errors
    /// The database is unavailable; then nobody knows whether it was done.
    pub async fn commit(self) -> Result<(), store::Error> {
        self.commit_with(Vec::new()).await
    }

    /// The same, and the last statements go out together with it.
    ///
    /// # Errors
    /// A statement fails: then nothing was done. Or the database is unavailable; then nobody knows.
    pub async fn commit_with(self, last: Vec<Write>) -> Result<(), store::Error> {
        self.commit_then(last, async |_: &Conn| Ok(())).await
    }

    /// The same, and what there is after it is read in the same round trip.
    ///
    /// # Errors
    /// As of [`Transaction::commit_with`], and those of `read`.
    pub async fn commit_then<T>(
        mut self,
        mut last: Vec<Write>,
        read: impl AsyncFnOnce(&Conn) -> Result<T, store::Error>,
    ) -> Result<T, store::Error> {
        // In a transaction in which a statement has failed it takes everything back.
        last.push(store::command("COMMIT").later());
        let committed = self.run(async |conn: &Conn| {
            let (committed, read) = join!(biased; send(conn, last), read(conn));
            committed.and(read)
        });
        let committed = committed.await;
        // Else it may not have ended, and goes with its connection.
        if matches!(committed, Ok(_) | Err(store::Error::Taken(_))) {
            self.give_back();
        }
        committed
    }

    /// Takes everything back that was done.
    pub async fn rollback(mut self) {
        match self.run(async |conn: &Conn| Ok::<_, store::Error>(store::command("ROLLBACK").run(conn).await?)).await {
            Ok(_) => self.give_back(),
            // The connection is thrown away, and with it the server the transaction.
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
