//! A connection that belongs to a worker. Whatever the worker reads at a glance goes over it at once, one statement
//! behind the other: nobody waits for a connection, and no other thread is woken.

use std::sync::{Arc, Mutex, PoisonError};

use diesel_async::AsyncPgConnection;

use super::connect::Target;
use crate::store;

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

    /// The connection, which is opened when there is none.
    pub(super) async fn connection(&self) -> Result<Arc<AsyncPgConnection>, store::Error> {
        if let Some(conn) = self.current() {
            return Ok(conn);
        }
        let _opening = self.opening.lock().await;
        if let Some(conn) = self.current() {
            return Ok(conn);
        }
        let conn = self.target.connect().await.map_err(|error| store::Error::Unavailable(error.to_string()))?;
        let conn = Arc::new(conn);
        *self.conn.lock().unwrap_or_else(PoisonError::into_inner) = Some(conn.clone());
        Ok(conn)
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
