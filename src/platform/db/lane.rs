//! The own connection of a worker thread. All single reads of the worker are pipelined on it, so that none waits for a
//! connection of the pool, and no other thread is woken.

use std::sync::{Arc, Mutex, PoisonError};

use diesel_async::AsyncPgConnection;

use super::connect::Target;

pub(super) struct Lane {
    target: Target,
    conn: Mutex<Option<Arc<AsyncPgConnection>>>,
    /// Held while a connection is being opened.
    opening: tokio::sync::Mutex<()>,
}

impl Lane {
    pub(super) fn new(target: Target) -> Self {
        Self { target, conn: Mutex::default(), opening: tokio::sync::Mutex::default() }
    }

    /// Returns the connection, and opens it if there is none. Returns `None` if that fails, or if another task is
    /// opening it.
    pub(super) async fn connection(&self) -> Option<Arc<AsyncPgConnection>> {
        if let Some(conn) = self.current() {
            return Some(conn);
        }
        let _opening = self.opening.try_lock().ok()?;
        let conn = Arc::new(self.target.connect().await.ok()?);
        *self.conn.lock().unwrap_or_else(PoisonError::into_inner) = Some(conn.clone());
        Some(conn)
    }

    /// Drops a broken connection.
    pub(super) fn forget(&self, broken: &Arc<AsyncPgConnection>) {
        let mut conn = self.conn.lock().unwrap_or_else(PoisonError::into_inner);
        if conn.as_ref().is_some_and(|conn| Arc::ptr_eq(conn, broken)) {
            *conn = None;
        }
    }

    fn current(&self) -> Option<Arc<AsyncPgConnection>> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
