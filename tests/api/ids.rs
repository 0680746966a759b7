//! The ids of rows that belong to a customer. In a database that is distributed over several servers, they would show
//! where a row is.

use partner_platform::store::WRITE_ORDER;
use serde_json::json;

use crate::support::world::World;

/// The tables with ids whose rows belong to a customer, and the condition for such rows.
const OWNED: [(&str, &str); 8] = [
    ("subscriptions", "true"),
    ("orders", "true"),
    ("charges", "true"),
    ("invoices", "true"),
    ("allocations", "true"),
    ("inventory_ledger", "true"),
    ("events", "resource_type IN ('customer', 'subscription', 'inventory', 'order', 'charge', 'invoice')"),
    ("audit_entries", "resource_type IN ('customer', 'subscription', 'order', 'invoice', 'allocation')"),
];

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_what_is_a_customers_end_as_the_customers_id_does() {
    let world = World::new().await;
    world.admin.act(&world.active("/suspend")).await.ok();
    world.admin.act(&world.active("/cancel")).await.problem(409, "invalid_transition");
    world.admin.post("/v1/invoices/run", json!({})).await.ok();
    let database = &world.server.database;
    for (table, are_owned) in OWNED {
        assert_ne!(database.text(&format!("SELECT count(*) FROM {table} WHERE {are_owned}")).await, "0", "{table}");
        let strays = "right(id::text, 4) <> right(customer_id::text, 4)";
        let strays = format!("SELECT count(*) FROM {table} WHERE ({are_owned}) AND ({strays}) IS NOT FALSE");
        assert_eq!(database.text(&strays).await, "0", "{table}");
    }
    // Not by chance: the ids of two customers have different ends.
    let ends = "SELECT count(DISTINCT right(customer_id::text, 4)) > 1 FROM events";
    assert_eq!(database.text(ends).await, "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_numbered_within_its_subscription_from_one_without_gaps() {
    let world = World::new().await;
    let numbers = "SELECT bool_and(most = rows) AND count(*) > 1 FROM (SELECT max(number) AS most, count(*) AS rows \
        FROM inventory_ledger GROUP BY subscription_id) AS ledger";
    assert_eq!(world.server.database.text(numbers).await, "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_rows_are_written_behind_those_that_they_refer_to() {
    let world = World::new().await;
    let database = &world.server.database;
    let references = "SELECT string_agg(conrelid::regclass || ' ' || confrelid::regclass, ',') FROM pg_constraint \
        WHERE contype = 'f' AND conrelid <> confrelid";
    let place = |table| WRITE_ORDER.iter().position(|written| *written == table);
    let mut seen = 0;
    for reference in database.text(references).await.split(',') {
        let (table, other) = reference.split_once(' ').unwrap();
        // A new charge is not on an invoice.
        if (table, other) == ("charges", "invoice_lines") {
            continue;
        }
        let (Some(from), Some(to)) = (place(table), place(other)) else { continue };
        assert!(from > to, "{table} refers to {other}");
        seen += 1;
    }
    assert!(seen >= 10, "{seen} references");
}
