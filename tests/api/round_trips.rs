//! The cost of an operation in the database: the number of round trips, of statements, and of statements that are
//! parsed again. The numbers are exact on any machine, so that a review shows each change.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use partner_platform::api::state::AppState;
use partner_platform::service::Http;

use crate::coverage::{call, operations, recipe};
use crate::support::world::World;
use crate::support::{Database, Proxy, Server, Traffic, settings};

/// Tables whose rows belong to a customer.
const OWNED: [&str; 14] = [
    "customers",
    "subscriptions",
    "subscription_terms",
    "inventory_lines",
    "inventory_ledger",
    "allocations",
    "orders",
    "order_lines",
    "charges",
    "invoices",
    "invoice_lines",
    "renewal_failures",
    "events",
    "audit_entries",
];

/// Columns that identify one of their rows, or those of one customer.
const NAMES: [&str; 6] = ["id", "customer_id", "subscription_id", "order_id", "invoice_id", "entry_id"];

/// Queries and writes in the background: whether cached credentials are still valid, and when keys were used.
const BACKGROUND: [&str; 2] = ["access_version", "INSERT INTO api_key_uses"];

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_costs_so_many_round_trips_and_parses_nothing_anew() {
    let database = Database::create().await;
    let proxy = Proxy::start(&database).await;
    let one = partner_platform::platform::db::Settings { max_connections: 1, ..settings() };
    // One worker, so that it always uses the same connection.
    let alone = |state: &mut AppState, http: &mut Http| (state.sandbox, http.workers) = (false, 1);
    let server = Server::on_with(database, &proxy.url, one, alone).await;
    let world = World::on(server).await;
    run_all(&world, &proxy).await;
    let world = World::on_with(world.server, "again").await;
    proxy.wire.slow(Duration::from_millis(40));
    let Told { costs, over_everyone } = run_all(&world, &proxy).await;
    insta::assert_snapshot!(costs);
    // Lists, due transitions of all customers, and global counters: nothing that is about a single resource.
    insta::assert_snapshot!("tables_that_are_read_without_naming_a_row_or_a_customer", over_everyone);
}

/// The cost of operations, and the tables that each reads without naming a row or a customer.
struct Told {
    costs: String,
    over_everyone: String,
}

/// The customer-owned tables that a statement reads or changes without a parameter that names a row or a customer. In a
/// database that is distributed over several servers, such a statement would have to query all of them.
fn unnamed(sql: &str) -> BTreeSet<&'static str> {
    let sql = sql.replace('"', "");
    let words: Vec<_> = sql.split([' ', '(', ')', ',', ';']).filter(|word| !word.is_empty()).collect();
    let mentioned = words.windows(2).filter(|pair| ["FROM", "JOIN", "UPDATE"].contains(&pair[0])).map(|pair| pair[1]);
    let mentioned: BTreeSet<_> = mentioned.collect();
    let is_named = |table: &str| {
        let column = |name: &&str| {
            let (full, alone) = (format!("{table}.{name} = "), format!(" {name} = "));
            // `new` stands for the rows that are written, which are parameters.
            let is = |text: &str| ["$", "ANY($", "new."].iter().any(|given| sql.contains(&format!("{text}{given}")));
            is(&full) || is(&alone) || sql.contains(&format!("({table}.{name}) = (new.{name})"))
        };
        NAMES.iter().any(column)
    };
    OWNED.into_iter().filter(|table| mentioned.contains(table) && !is_named(table)).collect()
}

/// Runs each operation in a world, and returns its cost.
async fn run_all(world: &World, proxy: &Proxy) -> Told {
    let (mut over_everyone, mut told) =
        (String::new(), format!("{:<30} {:>5} {:>10} {:>6}\n", "operation", "trips", "statements", "parsed"));
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
        let unnamed: BTreeSet<_> = traffic.statements().flat_map(unnamed).collect();
        if !unnamed.is_empty() {
            writeln!(over_everyone, "{:<30} {}", operation.id, Vec::from_iter(unnamed).join(", ")).unwrap();
        }
    }
    Told { costs: told, over_everyone }
}
