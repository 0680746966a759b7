//! Query plans of lists: each uses an index, with any filter. On a filled database, no list scans a big table
//! completely.

use std::time::Duration;

use partner_platform::api::contract::document::DOCUMENT;

use crate::coverage::operations;
use crate::support::{Client, Database, Server};

const FILL: &str = include_str!("../load/fill.sql");

/// The number of customers. There are at least as many rows of everything else.
const CUSTOMERS: u32 = 40_000;

/// Tables that grow with use. The others are small, or internal to the service.
const BIG: &str = "'customers', 'subscriptions', 'subscription_terms', 'inventory_lines', 'inventory_ledger', \
    'allocations', 'orders', 'order_lines', 'charges', 'invoices', 'invoice_lines', 'events', 'event_places', \
    'audit_entries', 'audit_resources', 'audit_seals', 'webhook_deliveries', 'renewal_failures'";

/// More often than PostgreSQL plans a prepared statement for its parameters.
const TIMES: usize = 7;

/// The requests that may read a whole table, and why.
const WHOLE: [(&str, &str); 2] = [
    // Its totals include everything that is due.
    ("/v1/upcoming-charges", ""),
    ("/v1/customers/{customer_id}/upcoming-charges", ""),
];

/// Values of a parameter: an existing one if there is any, and one that does not exist.
fn values(path: &str, parameter: &str, found: &Found) -> Vec<String> {
    let all = |values: &[&str]| values.iter().map(ToString::to_string).collect();
    match parameter {
        "q" => all(&["harbour", "zzqqxx", "tics 17"]),
        "partner_id" => vec![found.reseller.clone()],
        "customer_id" => vec![found.customer.clone()],
        "subscription_id" => vec![found.subscription.clone()],
        "product_id" => vec![found.product.clone()],
        "resource_id" => vec![found.customer.clone(), "01990000-0000-7000-8000-000000000000".to_owned()],
        "status" if path.contains("customers") && !path.contains("subscriptions") => all(&["active", "archived"]),
        "status" if path.contains("subscriptions") || path.contains("reports") => {
            all(&["pending", "active", "suspended", "expired", "cancelled"])
        }
        "status" if path.contains("charges") => all(&["pending", "invoiced", "voided"]),
        "status" if path.contains("invoices") => all(&["created", "emailed", "paid", "void"]),
        "kind" => all(&["add_subscriptions", "current_inventory", "renewal_inventory", "renewal", "cancellation"]),
        "country" => all(&["NL", "US"]),
        "external_id" => all(&["crm-17", "nobody"]),
        "auto_renew" => all(&["true", "false"]),
        "number" => all(&["INV-2026-000017", "INV-2025-000001"]),
        "actor" => all(&["load-key17", "system"]),
        "operation" => all(&["createCustomer", "archiveCustomer"]),
        "request_id" => all(&["request-17", "none"]),
        "outcome" => all(&["succeeded", "refused"]),
        "types" => all(&["customer.created", "product.updated"]),
        "after" => all(&["0", "4000"]),
        "as_of" => all(&["2026-06-01T00:00:00Z"]),
        "sort" => {
            let names = if path.contains("subscriptions") {
                ["end_date", "created_at"]
            } else {
                ["company_name", "created_at"]
            };
            names.iter().flat_map(|name| [(*name).to_owned(), format!("-{name}")]).collect()
        }
        "ends_after" | "ends_before" | "due_after" | "due_before" => all(&["2024-01-01", "2027-01-01", "2039-01-01"]),
        _ if parameter.ends_with("_after") || parameter.ends_with("_before") => {
            all(&["2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2039-01-01T00:00:00Z"])
        }
        "limit" => all(&["2", "200"]),
        "cursor" | "wait" | "from" | "to" | "columns" | "bom" => Vec::new(),
        _ => panic!("{path} has a parameter {parameter}: add a value for it here"),
    }
}

/// Existing values for the filters.
struct Found {
    reseller: String,
    customer: String,
    subscription: String,
    order: String,
    product: String,
}

impl Found {
    async fn new(database: &Database) -> Self {
        let id = async |table: &str| {
            let any = format!("SELECT id FROM {table} ORDER BY id OFFSET (SELECT count(*) / 2 FROM {table}) LIMIT 1");
            database.text(&any).await
        };
        Self {
            reseller: id("resellers").await,
            customer: id("customers").await,
            subscription: id("subscriptions").await,
            order: id("orders").await,
            product: id("products").await,
        }
    }

    fn path(&self, path: &str) -> Option<String> {
        let path = path.replace("{customer_id}", &self.customer).replace("{subscription_id}", &self.subscription);
        let path = path.replace("{order_id}", &self.order);
        (!path.contains('{')).then_some(path)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_list_reads_a_big_table_from_end_to_end() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let today = server.clock.now().date_naive().to_string();
    let fill = FILL.replace("$N", &CUSTOMERS.to_string()).replace("$TODAY", &today);
    server.database.execute(&fill).await;
    let found = Found::new(&server.database).await;
    let small =
        ["api-keys", "webhook-endpoints", "products", "price-lists", "resellers", "sandbox", "renewal-failures"];
    let lists = operations().filter(|operation| operation.method == "GET");
    let lists =
        lists.filter(|operation| !small.iter().any(|small| operation.path.starts_with(&format!("/v1/{small}"))));
    let mut wrong = Vec::new();
    let mut asked = 0;
    for operation in lists {
        let Some(path) = found.path(&operation.path) else { continue };
        if WHOLE.iter().any(|(whole, _)| *whole == operation.path) {
            continue;
        }
        let mut queries = vec![String::new()];
        for parameter in parameters(&operation.path) {
            let values = values(&operation.path, &parameter, &found);
            queries.extend(values.into_iter().map(|value| format!("?{parameter}={value}")));
        }
        asked += queries.len();
        let paths: Vec<_> = queries.iter().map(|query| format!("{path}{query}")).collect();
        if read_whole(&server, &admin, &paths).await.is_empty() {
            continue;
        }
        for path in paths {
            let read = read_whole(&server, &admin, std::slice::from_ref(&path)).await;
            if !read.is_empty() {
                wrong.push(format!("{path} reads {read}"));
            }
        }
    }
    assert!(asked > 100, "{asked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The query parameters of a GET.
fn parameters(path: &str) -> Vec<String> {
    let document = &DOCUMENT.value;
    let parameters = document["paths"][path]["get"]["parameters"].as_array().cloned().unwrap_or_default();
    let resolve = |parameter: serde_json::Value| match parameter["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap().clone(),
        None => parameter,
    };
    let queries = parameters.into_iter().map(resolve).filter(|parameter| parameter["in"] == "query");
    queries.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
}

/// Which big tables are scanned completely by some requests.
async fn read_whole(server: &Server, client: &Client, paths: &[String]) -> String {
    let scans = format!("SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN ({BIG})");
    server.database.execute(&format!("DROP TABLE IF EXISTS scans; CREATE TABLE scans AS {scans}")).await;
    for path in paths {
        let mut answered = 0;
        while answered < TIMES {
            let answer = client.get(path).await;
            // The previous connection was terminated.
            assert!([200, 503].contains(&answer.status), "{path}: {}", answer.body);
            answered += usize::from(answer.status != 503);
        }
    }
    // A connection writes its statistics when it ends.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    server.database.text(end).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let more = "SELECT string_agg(now.relname, ', ') FROM pg_stat_user_tables AS now JOIN scans USING (relname) \
        WHERE now.seq_scan > scans.seq_scan";
    server.database.text(more).await
}
