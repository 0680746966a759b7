//! Transactions that are handed on: what a request does, its answer and its traces are one.

use std::time::Instant;

use super::Connection;
use crate::store::{self, Conn};

/// A transaction under way. Dropped, also in the middle of [`Transaction::run`], it is rolled back together with its
/// connection.
pub struct Transaction {
    /// Gone when it took too long: whatever is under way on it, nobody may get this connection again.
    conn: Option<Box<Connection>>,
    ends: Instant,
}

impl Transaction {
    pub(super) fn new(conn: Connection, ends: Instant) -> Self {
        Self { conn: Some(Box::new(conn)), ends }
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
        let conn = self.conn.as_mut().ok_or_else(too_long)?;
        match tokio::time::timeout_at(self.ends.into(), work(conn)).await {
            Ok(outcome) => outcome,
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
    pub async fn commit(mut self) -> Result<(), store::Error> {
        self.run(async |conn: &Conn| store::command(conn, "COMMIT").await).await?;
        self.give_back();
        Ok(())
    }

    /// Takes everything back that was done.
    pub async fn rollback(mut self) {
        match self.run(async |conn: &Conn| store::command(conn, "ROLLBACK").await).await {
            Ok(()) => self.give_back(),
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
