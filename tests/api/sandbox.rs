//! The clock of a sandbox.

use serde_json::json;

use crate::support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_no_sandbox_has_no_clock_to_move() {
    let server = Server::production().await;
    let admin = server.admin().await;
    let before = server.database.fingerprint().await;
    admin.get("/v1/sandbox/clock").await.problem(404, "not_found");
    admin.post("/v1/sandbox/clock", json!({ "advance_days": 1 })).await.problem(404, "not_found");
    assert_eq!(before, server.database.fingerprint().await, "nothing changed");
}
