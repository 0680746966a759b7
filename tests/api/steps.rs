//! Helpers for the tests of subscriptions and their inventory.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::world::{World, basket, id};
use crate::support::{Client, Server};

/// Sets the clock to noon of a day.
pub fn on_day(server: &Server, day: &str) {
    server.clock.set(format!("{day}T12:00:00Z").parse().unwrap());
}

/// All rows of a list, page by page.
pub async fn all(client: &Client, path: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let first = format!("{path}{}limit=200", if path.contains('?') { '&' } else { '?' });
    let mut next = first.clone();
    loop {
        let page = client.get(&next).await.ok();
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("{first}&cursor={cursor}"),
            None => return rows,
        }
    }
}

/// All orders of a list, with their lines.
pub async fn whole_orders(client: &Client, path: &str) -> Vec<Value> {
    let mut orders = Vec::new();
    for summary in all(client, path).await {
        let order = client.get(&format!("/v1/orders/{}", summary["id"].as_str().unwrap())).await.ok();
        assert_eq!(summary["line_count"], order["lines"].as_array().unwrap().len(), "{summary}");
        orders.push(order);
    }
    orders
}

/// Adds a subscription, and returns its path.
pub async fn subscribe(world: &World, item: Value) -> String {
    let mut body = basket(&world.product_id, 5);
    for (field, value) in item.as_object().unwrap() {
        body["subscriptions"][0][field] = value.clone();
    }
    let added = world.admin.post(&world.customer("/subscriptions"), body).await.created();
    format!("/v1/subscriptions/{}", id(&added["subscriptions"][0]["id"]))
}

/// Allocates `dv`, and returns the allocation.
pub async fn allocate(client: &Client, subscription: &str, quantity: i32, reference: &str) -> Value {
    let body = json!({ "certificate_type": "dv", "quantity": quantity, "reference": reference });
    client.post(&format!("{subscription}/allocations"), body).await.created()
}

/// Checks that the ledger of a subscription explains its lines: each entry starts where the previous one ended, and the
/// deltas add up to the line.
pub async fn assert_ledger_adds_up(client: &Client, subscription: &str) {
    let mut lines: BTreeMap<(String, String), Value> = BTreeMap::new();
    let mut sums: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut ledger = all(client, &format!("{subscription}/inventory/ledger")).await;
    ledger.reverse();
    for row in &ledger {
        let key = ["certificate_type", "measure"].map(|field| row[field].as_str().unwrap().to_owned());
        let [code, measure] = key;
        let start = if measure == "renewal" { Value::Null } else { json!(0) };
        let key = (code, measure);
        assert_eq!(row["before"], *lines.get(&key).unwrap_or(&start), "{row} starts where the previous entry ended");
        let delta = row["after"].as_i64().zip(row["before"].as_i64()).map(|(after, before)| after - before);
        assert_eq!(row["delta"], json!(delta), "{row}");
        assert_ne!(row["before"], row["after"], "{row} has an effect");
        *sums.entry(key.clone()).or_default() += delta.unwrap_or(0);
        lines.insert(key, row["after"].clone());
    }
    let inventory = client.get(&format!("{subscription}/inventory")).await.ok();
    for line in inventory["data"].as_array().unwrap() {
        let of = |measure: &str| (line["certificate_type"].as_str().unwrap().to_owned(), measure.to_owned());
        for (measure, number) in [("current", &line["current"]["quantity"]), ("used", &line["current"]["used"])] {
            assert_eq!(json!(sums.get(&of(measure)).unwrap_or(&0)), *number, "{measure} of {line}");
        }
        assert_eq!(*lines.get(&of("renewal")).unwrap_or(&Value::Null), line["renewal"]["quantity"], "{line}");
    }
}

/// The number of `dv` certificates in use.
pub async fn used(client: &Client, subscription: &str) -> i64 {
    let inventory = client.get(&format!("{subscription}/inventory")).await.ok();
    inventory["data"][0]["current"]["used"].as_i64().unwrap()
}
