//! What an operation costs the database: how often the service waits for it, how many statements are run, and how many
//! have to be parsed although they were before. Exact on any machine, so that a review sees each change.

use std::fmt::Write;
use std::time::Duration;

use crate::coverage::{call, operations, recipe};
use crate::support::world::World;
use crate::support::{Database, Proxy, Server, Traffic, settings};

/// What is asked and written in the background: whether what is remembered of keys still holds, and when they were used.
const BACKGROUND: [&str; 2] = ["access_version", "INSERT INTO \"api_key_uses\""];

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_costs_so_many_round_trips_and_parses_nothing_anew() {
    let database = Database::create().await;
    let proxy = Proxy::start(&database).await;
    let one = partner_platform::db::Settings { max_connections: 1, ..settings() };
    let server = Server::production_on(database, &proxy.url, one).await;
    let world = World::on(server).await;
    run_all(&world, &proxy).await;
    let world = World::on_with(world.server, "again").await;
    proxy.wire.slow(Duration::from_millis(10));
    insta::assert_snapshot!(run_all(&world, &proxy).await);
}

/// Runs each operation in a world, and tells what it costs.
async fn run_all(world: &World, proxy: &Proxy) -> String {
    let mut told = format!("{:<30} {:>5} {:>10} {:>6}\n", "operation", "trips", "statements", "parsed");
    let there = operations().filter(|operation| !operation.id.contains("Sandbox"));
    let (previews, others): (Vec<_>, Vec<_>) = there.partition(|operation| operation.id.starts_with("preview"));
    for operation in previews.into_iter().chain(others) {
        let recipe = recipe(&operation.id, world);
        let path = recipe.id.as_str().unwrap_or_default();
        let keyed = world.admin.with("idempotency-key", &format!("{}-{}", operation.id, world.active_id));
        proxy.wire.take();
        let answer = call(&keyed, operation, path, recipe.body.as_ref()).await;
        assert!((200..300).contains(&answer.status), "{}: {} {}", operation.id, answer.status, answer.body);
        let traffic = BACKGROUND.into_iter().fold(proxy.wire.take(), Traffic::without);
        let (trips, statements, parsed) = (traffic.0.len(), traffic.statements().count(), traffic.parsed().count());
        writeln!(told, "{:<30} {trips:>5} {statements:>10} {parsed:>6}", operation.id).unwrap();
    }
    told
}
