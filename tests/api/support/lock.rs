//! A lock that is held directly in the database.

use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use super::Database;

/// A locked table: other statements on it wait.
pub struct Lock {
    client: Client,
}

impl Lock {
    pub async fn hold(database: &Database, table: &str) -> Self {
        let url = database.url.replace("sslmode=disable", "");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
        Self { client }
    }

    /// The number of statements that wait for the lock, or for one that waits.
    pub async fn waiting(&self) -> i64 {
        // A transaction keeps its first snapshot of the activity, unless it is cleared.
        self.execute("SELECT pg_stat_clear_snapshot()").await;
        let query =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        self.client.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Returns once so many statements wait for the lock.
    pub async fn wait_for(&self, waiting: i64) {
        for _ in 0..600 {
            if self.waiting().await >= waiting {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{waiting} statements did not wait");
    }

    /// Runs a statement while the lock is held.
    pub async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    pub async fn release(self) {
        self.client.batch_execute("COMMIT").await.unwrap();
    }
}
