//! If the database is unavailable, slow, busy or corrupt, each request gets an error response in time, and the service
//! recovers without help. A shutdown loses no request.

use std::time::Duration;

use partner_platform::platform::db::{self, Db};
use partner_platform::store::{self, audit};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::world::{World, company};
use crate::support::{Answer, Client, Database, Lock, Mode, Proxy, Server, http, settings};
use crate::worker::until;

/// Short timeouts, so that the tests are short.
fn impatient() -> db::Settings {
    db::Settings {
        max_connections: 4,
        connect_timeout: Duration::from_millis(1500),
        acquire_timeout: Duration::from_millis(2000),
        statement_timeout: Duration::from_millis(1500),
        lock_timeout: Duration::from_millis(700),
    }
}

/// The maximum time of any response, on the slowest machine.
const BOUND: Duration = Duration::from_secs(20);

async fn within_bound<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, answer).await.expect("a response in time")
}

/// 503 with `Retry-After`, and no internal details.
#[track_caller]
fn assert_unavailable(answer: Answer) {
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_discreet(answer.problem(503, "unavailable"));
}

/// The problem contains nothing of the database.
#[track_caller]
fn assert_discreet(mut problem: Value) {
    for known in ["instance", "request_id"] {
        problem[known].take();
    }
    let text = problem.to_string().to_lowercase();
    let inside = [
        "sql",
        "select",
        "insert",
        "update ",
        "statement",
        "relation",
        "table",
        "column",
        "customers",
        "allocations",
        "api_keys",
        "lock",
        "pool",
        "connection",
        "timeout",
        "127.0.0.1",
        "/dev/",
        "partner_platform",
        "diesel",
        "tokio",
    ];
    let said: Vec<_> = inside.iter().filter(|word| text.replace("unavailable", "").contains(*word)).collect();
    assert!(said.is_empty(), "{said:?} in {text}");
}

/// The service reads and writes again on every connection, after `tries` attempts at most.
async fn assert_recovers(client: &Client) {
    for _ in 0..40 {
        let reads = within_bound(start(client, "/v1/customers", 8).join_all()).await;
        let write = within_bound(client.post("/v1/customers", company("Back"))).await;
        let ready = within_bound(client.get("/readyz")).await;
        if write.status == 201 && ready.status == 200 && reads.iter().all(|read| read.status == 200) {
            return;
        }
        reads.into_iter().chain([ready, write]).filter(|answer| answer.status >= 300).for_each(assert_unavailable);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the service does not recover");
}

/// Starts so many requests at the same time.
fn start(client: &Client, path: &str, number: usize) -> JoinSet<Answer> {
    let mut requests = JoinSet::new();
    for _ in 0..number {
        let (client, path) = (client.clone(), path.to_owned());
        requests.spawn(async move { client.get(&path).await });
    }
    requests
}

async fn answers_while_the_database_is(mode: Mode) {
    let database = Database::create().await;
    let proxy = Proxy::start(&database).await;
    let server = Server::on(database, &proxy.url, impatient()).await;
    let admin = server.admin().await;
    // All connections of the pool are open, and will be found broken.
    assert_recovers(&admin).await;
    for _ in 0..2 {
        proxy.set(mode);
        let reads = within_bound(start(&admin, "/v1/customers", 12).join_all()).await;
        reads.into_iter().for_each(assert_unavailable);
        assert_unavailable(within_bound(admin.post("/v1/customers", company("Lost"))).await);
        // A readiness result is cached for a second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_unavailable(within_bound(server.stranger().get("/readyz")).await);
        within_bound(server.stranger().get("/healthz")).await.ok();
        within_bound(server.stranger().get("/metrics")).await.ok();
        within_bound(server.stranger().get("/v1/customers")).await.problem(401, "unauthenticated");
        proxy.set(Mode::Pass);
        assert_recovers(&admin).await;
    }
    assert_eq!(server.database.text("SELECT count(*) FROM customers WHERE company_name = 'Lost'").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_is_503_until_it_is_back() {
    answers_while_the_database_is(Mode::Refuse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_never_answers_is_503_until_it_is_back() {
    answers_while_the_database_is(Mode::BlackHole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_restarted_costs_no_more_than_a_retry() {
    let server = Server::with(impatient()).await;
    let admin = server.admin().await;
    assert_recovers(&admin).await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    server.database.execute(others).await;
    assert_recovers(&admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_waits_too_long_is_503() {
    let by_lock = db::Settings { acquire_timeout: BOUND, statement_timeout: BOUND, ..impatient() };
    let by_statement = db::Settings { acquire_timeout: BOUND, lock_timeout: BOUND, ..impatient() };
    for settings in [by_lock, by_statement] {
        let server = Server::with(settings).await;
        let admin = server.admin().await;
        let lock = Lock::hold(&server.database, "customers").await;
        assert_unavailable(within_bound(admin.get("/v1/customers")).await);
        assert_unavailable(within_bound(admin.post("/v1/customers", company("Waits"))).await);
        // Requests that do not need the locked table are served.
        within_bound(admin.get("/v1/resellers")).await.ok();
        lock.release().await;
        assert_recovers(&admin).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_in_all_is_503_whatever_it_waits_for() {
    let server = Server::adjusted(|state, _| state.answer_timeout = Duration::from_millis(1500)).await;
    let admin = server.admin().await;
    assert_recovers(&admin).await;
    let lock = Lock::hold(&server.database, "customers").await;
    // More than there are connections: some wait for the lock, the others for a connection.
    for answer in within_bound(start(&admin, "/v1/customers", 12).join_all()).await {
        assert_unavailable(answer);
    }
    assert_unavailable(within_bound(admin.post("/v1/customers", company("Late"))).await);
    lock.release().await;
    assert_recovers(&admin).await;
    assert_eq!(server.database.text("SELECT count(*) FROM customers WHERE company_name = 'Late'").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_stays_empty_is_503_and_serves_those_who_have_a_connection() {
    let settings =
        db::Settings { max_connections: 2, statement_timeout: BOUND * 2, lock_timeout: BOUND * 2, ..impatient() };
    let server = Server::with(settings).await;
    let admin = server.admin().await;
    assert_recovers(&admin).await;
    let lock = Lock::hold(&server.database, "customers").await;
    let slow = start(&admin, "/v1/customers", 2);
    lock.wait_for(2).await;
    for answer in within_bound(start(&admin, "/v1/resellers", 5).join_all()).await {
        assert_unavailable(answer);
    }
    let status = server.db.pool_status();
    assert_eq!((status.open, status.idle), (2, 0));
    lock.release().await;
    for answer in slow.join_all().await {
        answer.ok();
    }
    assert_recovers(&admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_no_connection_with_it() {
    let settings = db::Settings { max_connections: 2, lock_timeout: BOUND, statement_timeout: BOUND, ..impatient() };
    let server = Server::with(settings).await;
    let admin = server.admin().await;
    assert_recovers(&admin).await;
    let lock = Lock::hold(&server.database, "customers").await;
    let mut gone = start(&admin, "/v1/customers", 2);
    lock.wait_for(2).await;
    gone.shutdown().await;
    lock.release().await;
    assert_recovers(&admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_nobody_waits_for_any_more_ends_with_its_connection() {
    let server = Server::start().await;
    let db = Db::new(&server.database.url, &settings()).unwrap();
    let begun = tokio::sync::Notify::new();
    let endless = db.transaction(async |tx| {
        audit::lock_end(tx).await?;
        begun.notify_one();
        std::future::pending::<Result<(), store::Error>>().await
    });
    tokio::select! {
        _ = endless => unreachable!("the query never ends"),
        () = begun.notified() => {}
    }
    assert_eq!(db.pool_status().open, 0, "a connection with an open transaction is not reused");
    let own = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    within_bound(until(&server.database, own, "0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_happen_is_a_500_that_explains_nothing() {
    let world = World::new().await;
    let allocation = json!({ "certificate_type": "dv", "reference": "second" });
    let database = &world.server.database;
    database.execute("DROP TABLE allocations CASCADE").await;
    for answer in [
        world.admin.get(&world.active("/allocations")).await,
        world.admin.post(&world.active("/allocations"), allocation).await,
    ] {
        assert_discreet(answer.problem(500, "internal"));
    }
    database.execute("UPDATE customers SET address = '\"Northwind street\"'").await;
    let unreadable = world.admin.get(&world.customer("")).await.problem(500, "internal");
    assert!(!unreadable.to_string().contains("Northwind"), "{unreadable}");
    assert_discreet(unreadable);
    database.execute("ALTER TABLE customers ADD CONSTRAINT customers_surprise CHECK (version < 2) NOT VALID").await;
    database.execute("UPDATE customers SET address = '{\"line1\":\"1\",\"city\":\"A\",\"country\":\"BE\"}'").await;
    let refused = world.admin.patch(&world.customer(""), json!({ "company_name": "Refused" })).await;
    let refused = refused.problem(500, "internal");
    assert!(!refused.to_string().contains("surprise"), "{refused}");
    assert_discreet(refused);
    // Everything else works.
    world.admin.get("/v1/resellers").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_are_answered_before_the_service_stops() {
    let world = World::new().await;
    let lock = Lock::hold(&world.server.database, "customers").await;
    let slow = start(&world.admin, "/v1/customers", 6);
    lock.wait_for(6).await;
    let stop = async {
        world.server.stop().await;
        "stopped"
    };
    tokio::pin!(stop);
    let early = tokio::time::timeout(Duration::from_millis(500), &mut stop).await;
    assert!(early.is_err(), "the server does not stop while requests are in flight");
    lock.release().await;
    for answer in within_bound(slow.join_all()).await {
        answer.ok();
    }
    // Long before the idle timeout of the clients' connections.
    assert_eq!(within_bound(stop).await, "stopped");
    assert!(world.server.shutdown.is_draining());
    assert!(http().get(format!("{}/healthz", world.server.url)).send().await.is_err(), "the server no longer listens");
}
