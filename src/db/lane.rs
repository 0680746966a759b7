//! A connection that belongs to a worker. Whatever the worker reads at a glance goes over it at once, one statement
//! behind the other: nobody waits for a connection, and no other thread is woken.

use std::sync::{Arc, Mutex, PoisonError};

use diesel_async::AsyncPgConnection;

use super::connect::Target;

pub(super) struct Lane {
    target: Target,
    conn: Mutex<Option<Arc<AsyncPgConnection>>>,
    /// Held by whoever opens it.
    opening: tokio::sync::Mutex<()>,
}

impl Lane {
    pub(super) fn new(target: Target) -> Self {
        Self { target, conn: Mutex::default(), opening: tokio::sync::Mutex::default() }
    }

    /// The connection, which is opened when there is none. Nobody waits for somebody else to open it.
    pub(super) async fn connection(&self) -> Option<Arc<AsyncPgConnection>> {
        if let Some(conn) = self.current() {
            return Some(conn);
        }
        let _opening = self.opening.try_lock().ok()?;
        let conn = Arc::new(self.target.connect().await.ok()?);
        *self.conn.lock().unwrap_or_else(PoisonError::into_inner) = Some(conn.clone());
        Some(conn)
    }

    /// Lets go of a connection that is of no use any more.
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
