//! Transitions that are due are processed before any request about the subscription, with the same result as if they
//! had been processed in time.

use std::time::Duration;

use partner_platform::api::contract::document::Operation;
use serde_json::json;

use crate::coverage::{call, operations, recipe};
use crate::steps::{on_day, subscribe};
use crate::support::world::{World, id};
use crate::support::{Answer, Database, Lock, Server, TABLES};

/// All rows of a subscription, without ids and positions.
pub async fn rows_of(database: &Database, path: &str) -> String {
    let id = path.rsplit('/').next().unwrap();
    let own = format!("subscription_id = '{id}'");
    let orders = format!("SELECT order_id FROM order_lines WHERE {own}");
    let without_ids = "'{id,subscription_id,order_id,allocation_id,seq}'::text[]";
    let tables = [
        ("subscriptions", format!("id = '{id}'")),
        ("subscription_terms", own.clone()),
        ("inventory_lines", own.clone()),
        ("inventory_ledger", own.clone()),
        ("orders", format!("id IN ({orders})")),
        ("order_lines", own.clone()),
        ("charges", own.clone()),
        ("renewal_failures", own),
    ];
    let rows = tables.map(|(table, filter)| {
        format!("SELECT '{table} ' || (to_jsonb(t) - {without_ids})::text AS row FROM {table} t WHERE {filter}")
    });
    database
        .text(&format!("SELECT string_agg(row, E'\\n' ORDER BY row) FROM ({}) rows", rows.join(" UNION ALL ")))
        .await
}

/// The number of subscriptions with this condition that have a transition due.
async fn waiting(server: &Server, condition: &str) -> u32 {
    let today = server.clock.now().date_naive();
    let sql = format!("SELECT count(*) FROM subscriptions WHERE due_date <= '{today}' AND {condition}");
    server.database.text(&sql).await.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_years_alone_are_the_same_as_three_years_with_a_visit_every_month() {
    let world = World::new().await;
    let lines = json!([
        { "certificate_type": "dv", "quantity": 5, "renewal_quantity": 3 },
        { "certificate_type": "ov", "quantity": 2 },
    ]);
    let item = json!({ "term_months": 1, "start_date": "2026-12-31", "inventory": lines });
    let (visited, alone) = (subscribe(&world, item.clone()).await, subscribe(&world, item).await);
    for month in 0..36 {
        on_day(&world.server, &format!("{}-{:02}-{}", 2027 + month / 12, month % 12 + 1, 1 + month % 28));
        world.admin.get(&visited).await.ok();
    }
    assert_eq!(
        world
            .server
            .database
            .text(&format!("SELECT term_number FROM subscriptions WHERE id = '{}'", &alone[18..]))
            .await,
        "1"
    );
    world.admin.get(&alone).await.ok();
    let database = &world.server.database;
    let (visited, alone) = (rows_of(database, &visited).await, rows_of(database, &alone).await);
    assert_eq!(visited.matches("subscription_terms ").count(), 36, "{visited}");
    assert_eq!(visited.matches("orders ").count(), 36);
    assert_eq!(visited.matches("charges ").count(), 2 * 36);
    assert_eq!(visited, alone);
}

/// The subscriptions that an operation is about, as a condition; `None` if no transition affects the operation.
fn about(operation: &Operation, world: &World, of_path: &str) -> Option<String> {
    // What can be sold depends only on the customer and the product.
    let is_selling = ["listAvailableProducts", "previewAddSubscriptions", "addSubscriptions"];
    // An order stays as it was confirmed.
    let is_fixed = ["getOrder"];
    let path = operation.path.as_str();
    if is_selling.contains(&&*operation.id) || is_fixed.contains(&&*operation.id) {
        None
    } else if path.contains("{subscription_id}") {
        Some(format!("id = '{of_path}'"))
    } else if path.contains("{allocation_id}") {
        // Reading an allocation shows nothing that a transition changes.
        (operation.method != "GET").then(|| format!("id = '{}'", id(&world.active_id)))
    } else if path.contains("{customer_id}") {
        Some(format!("customer_id = '{of_path}'"))
    } else {
        let is_list = operation.method == "GET" && !path.contains('{');
        let timeless = [
            "products",
            "price-lists",
            "resellers",
            "invoices",
            "sandbox",
            "api-keys",
            "audit-entries",
            "events",
            "webhook-endpoints",
        ];
        let is_about_time = !timeless.iter().any(|start| path.starts_with(&format!("/v1/{start}")));
        let needs_it = ["updateProduct", "runInvoices"].contains(&operation.id.as_str());
        ((is_list && is_about_time) || needs_it).then(|| "true".to_owned())
    }
}

/// Saves the contents of the database, to restore them later.
async fn keep(database: &Database) {
    let copies: String = TABLES.iter().map(|table| format!("CREATE TABLE kept.{table} AS TABLE {table};")).collect();
    // A generated column cannot be restored, but a plain one can. Rows are restored in any order.
    let plain = "ALTER TABLE customers ALTER country DROP EXPRESSION;";
    let loose = "DO $$ DECLARE key record; BEGIN
        FOR key IN SELECT conrelid::regclass AS of, conname FROM pg_constraint WHERE contype = 'f' LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', key.of, key.conname);
        END LOOP;
    END $$;";
    database.execute(&format!("{plain} {loose} CREATE SCHEMA kept; {copies}")).await;
}

async fn restore(database: &Database) {
    let rows: String = TABLES.iter().map(|table| format!("INSERT INTO {table} SELECT * FROM kept.{table};")).collect();
    database.execute(&format!("TRUNCATE {}; {rows}", TABLES.join(", "))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_operation_nothing_that_it_is_about_is_waiting() {
    let world = World::new().await;
    keep(&world.server.database).await;
    // By then every subscription has started, ended or lapsed, and some more than once.
    on_day(&world.server, "2028-06-01");
    let mut checked = 0;
    for operation in operations().filter(|operation| !operation.path.contains("/sandbox/")) {
        let mut recipe = recipe(&operation.id, &world);
        if operation.path.contains("{customer_id}") {
            recipe.id = world.customer_id.clone();
        }
        let of_path = recipe.id.as_str().unwrap_or_default();
        let Some(condition) = about(operation, &world, of_path) else { continue };
        restore(&world.server.database).await;
        assert_ne!(waiting(&world.server, &condition).await, 0, "{} has due transitions to process", operation.id);
        let answer = call(&world.admin, operation, of_path, recipe.body.as_ref()).await;
        assert!(answer.status < 300 || answer.status == 409, "{}: {}", operation.id, answer.body);
        assert_eq!(waiting(&world.server, &condition).await, 0, "{}", operation.id);
        checked += 1;
    }
    assert!(checked > 25, "of all operations only {checked}");
}

/// Sends a request while no charge can be written, and allows it only after the time limit for due transitions of a
/// request.
async fn ask_slowly(world: &World, path: &str) -> Answer {
    let lock = Lock::hold(&world.server.database, "charges").await;
    let (client, path) = (world.admin.clone(), path.to_owned());
    let asking = tokio::spawn(async move { client.get(&path).await });
    lock.wait_for(1).await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    lock.release().await;
    asking.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_finds_too_much_to_do_does_a_part_and_asks_to_come_again() {
    let world = World::new().await;
    let monthly =
        [subscribe(&world, json!({ "term_months": 1 })).await, subscribe(&world, json!({ "term_months": 1 })).await];
    on_day(&world.server, "2027-01-31");
    world.admin.get("/v1/subscriptions").await.ok();
    on_day(&world.server, "2027-02-01");
    let due = monthly.map(|path| format!("id = '{}'", &path[18..])).join(" OR ");
    let later = ask_slowly(&world, &world.customer("")).await;
    assert!(later.header("retry-after").parse::<u32>().unwrap() >= 1);
    let problem = later.problem(503, "unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("due transitions"), "{problem}");
    assert_eq!(waiting(&world.server, &format!("({due})")).await, 1, "one was processed, and stays processed");
    world.admin.get(&world.customer("")).await.ok();
    assert_eq!(waiting(&world.server, "true").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_has_done_everything_answers_however_long_it_took() {
    let world = World::new().await;
    let path = subscribe(&world, json!({ "term_months": 1 })).await;
    on_day(&world.server, "2027-02-01");
    assert_eq!(ask_slowly(&world, &path).await.ok()["term"]["number"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reseller_settles_what_it_sees_and_leaves_the_rest_alone() {
    let world = World::new().await;
    on_day(&world.server, "2028-06-01");
    assert_eq!(waiting(&world.server, "true").await, 4);
    world.other.get("/v1/subscriptions").await.ok();
    world.other.get(&world.active("")).await.problem(404, "not_found");
    world.other.get(&world.customer("")).await.problem(404, "not_found");
    assert_eq!(waiting(&world.server, "true").await, 4, "a request only processes subscriptions in its scope");
    world.own.get("/v1/subscriptions").await.ok();
    assert_eq!(waiting(&world.server, "true").await, 0);
    let renewals = world.own.get("/v1/orders?kind=renewal").await.ok()["data"].clone();
    assert!(renewals.as_array().unwrap().iter().all(|order| order["confirmed_by"] == "system"), "{renewals}");
    assert_eq!(renewals.as_array().unwrap().len(), 2, "the active one, and the pending one a month later");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_go_on_while_the_reseller_is_disabled_and_the_product_retired() {
    let world = World::new().await;
    world.admin.act(&format!("/v1/resellers/{}/disable", id(&world.reseller_id))).await.ok();
    let product = format!("/v1/products/{}", id(&world.product_id));
    world.admin.patch(&product, json!({ "status": "retired" })).await.ok();
    on_day(&world.server, "2028-01-01");
    let renewed = world.admin.get(&world.active("")).await.ok();
    assert_eq!((&renewed["status"], &renewed["term"]["number"]), (&json!("active"), &json!(2)));
    let moved = json!({ "partner_id": world.other_reseller_id });
    world.admin.patch(&world.customer(""), moved).await.ok();
    on_day(&world.server, "2029-01-01");
    assert_eq!(world.other.get(&world.active("")).await.ok()["term"]["number"], 3, "its present reseller sees it");
}
