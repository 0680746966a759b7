//! Reports as CSV: the same rows as in JSON, safe in a spreadsheet, and complete or visibly truncated.

use std::time::Duration;

use partner_platform::api::contract::document::DOCUMENT;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::steps::all;
use crate::support::world::{World, basket, company, id};
use crate::support::{Answer, Client, Database, Lock, Mode, Proxy, Server, settings};

const REPORTS: [&str; 3] = ["subscriptions", "transactions", "usage"];

/// A table, as parsed by a CSV reader.
struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

async fn csv(client: &Client, report: &str) -> Answer {
    client.with("accept", "text/csv").get(&format!("/v1/reports/{report}")).await
}

async fn table(client: &Client, report: &str) -> Table {
    let text = csv(client, report).await.ok();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_str().unwrap().as_bytes());
    let records = reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect());
    let mut rows: Vec<Vec<_>> = records.collect();
    Table { names: rows.remove(0), rows }
}

/// The value of a column in a row of JSON, in the format of CSV.
fn cell(row: &Value, column: &str) -> String {
    let value = match column.strip_prefix("cost_") {
        Some(part) => &row["cost"][part],
        None => row.get(column).unwrap_or_else(|| panic!("a field for the column {column}: {row}")),
    };
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@']) => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Checks that a report has the same rows as CSV and as JSON, cell by cell. Returns the number of rows.
async fn assert_same(client: &Client, report: &str) -> usize {
    let table = table(client, report).await;
    let rows = all(client, &format!("/v1/reports/{report}")).await;
    assert_eq!(table.rows.len(), rows.len(), "{report}");
    for (cells, row) in table.rows.iter().zip(&rows) {
        let expected: Vec<_> = table.names.iter().map(|name| cell(row, name)).collect();
        assert_eq!(*cells, expected, "{report}");
    }
    let fields = rows[0].as_object().unwrap();
    let columns = fields.len() + usize::from(fields.contains_key("cost"));
    assert_eq!(table.names.len(), columns, "{report}: each field is a column, and the cost is two");
    rows.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_has_the_rows_of_json_cell_by_cell_whatever_the_names() {
    let world = World::new().await;
    let names = [
        "=cmd|' /C calc'!A0",
        "+1",
        "-1+2",
        "@SUM(A1:A9)",
        "Comma, \"quoted\"; and | more",
        "'s-Hertogenbosch",
        "Ünï çødé 日本 🦀",
        "1,5",
        "\"",
    ];
    for name in names {
        let customer = world.admin.post("/v1/customers", company(name)).await.created();
        let subscriptions = format!("/v1/customers/{}/subscriptions", id(&customer["id"]));
        world.admin.post(&subscriptions, basket(&world.product_id, 1)).await.created();
    }
    let reseller = format!("/v1/resellers/{}", id(&world.reseller_id));
    world.admin.patch(&reseller, json!({ "company_name": "=1+1, Ltd" })).await.ok();
    let product = format!("/v1/products/{}", id(&world.product_id));
    world.admin.patch(&product, json!({ "name": "-- \"TLS\"" })).await.ok();
    world.admin.act(&format!("/v1/subscriptions/{}/cancel", id(&world.pending_id))).await.ok();
    for report in REPORTS {
        assert!(assert_same(&world.admin, report).await > names.len());
        let text = csv(&world.admin, report).await.ok();
        let text = text.as_str().unwrap();
        assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']), "lines end with CRLF");
        assert!(text.contains(",'+1,") && text.contains("\"'=1+1, Ltd\"") && text.contains("\"'-- \"\"TLS\"\"\""));
    }
    let less: Vec<_> = table(&world.admin, "transactions?kind=cancellation&columns=certificates").await.rows;
    assert_eq!(less, [["-5"]], "a number may be negative");
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_is_a_file_with_the_name_of_the_report_and_the_day() {
    let world = World::new().await;
    for report in REPORTS {
        let answer = csv(&world.admin, report).await;
        assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
        let file = format!("attachment; filename=\"{report}-2027-01-01.csv\"");
        assert_eq!(answer.header("content-disposition"), file);
        assert!(answer.headers.get("link").is_none());
    }
    for (accept, kind) in [
        ("*/*", "application/json"),
        ("application/json, text/csv", "application/json"),
        ("text/csv;q=0.5, application/json;q=0.1", "text/csv; charset=utf-8; header=present"),
    ] {
        let answer = world.admin.with("accept", accept).get("/v1/reports/usage").await;
        assert_eq!(answer.header("content-type"), kind, "{accept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_chosen_and_ordered() {
    let world = World::new().await;
    let whole = table(&world.admin, "usage").await;
    let column = |name: &str| whole.names.iter().position(|other| other == name).unwrap();
    for columns in ["columns=used,certificate_type", "columns=used&columns=certificate_type"] {
        let chosen = table(&world.admin, &format!("usage?{columns}")).await;
        assert_eq!(chosen.names, ["used", "certificate_type"]);
        let expected: Vec<_> =
            whole.rows.iter().map(|row| ["used", "certificate_type"].map(|name| row[column(name)].clone())).collect();
        assert_eq!(chosen.rows, expected);
    }
    for report in REPORTS {
        let all = table(&world.admin, report).await;
        let mut names = all.names.clone();
        names.reverse();
        let reversed = table(&world.admin, &format!("{report}?columns={}", names.join(","))).await;
        assert_eq!(reversed.names, names, "every column can be selected: {report}");
        let mut back = reversed.rows;
        back.iter_mut().for_each(|row| row.reverse());
        assert_eq!(back, all.rows, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_example_has_columns_that_there_are() {
    let world = World::new().await;
    for report in REPORTS {
        let operation = &DOCUMENT.value["paths"][format!("/v1/reports/{report}")]["get"];
        let example = operation["responses"]["200"]["content"]["text/csv"]["example"].as_str().unwrap();
        let (header, row) = example.split_once("\r\n").unwrap();
        let table = table(&world.admin, &format!("{report}?columns={header}")).await;
        assert_eq!(table.names.join(","), header);
        assert_eq!(row.trim_end().split(',').count(), table.names.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_without_rows_has_its_header() {
    let world = World::new().await;
    for report in REPORTS {
        let path = format!("{report}?customer_id={}", id(&world.idle_customer_id));
        let (empty, full) = (table(&world.admin, &path).await, table(&world.admin, report).await);
        assert_eq!((empty.names, empty.rows.len()), (full.names, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_meaning_is_refused() {
    let world = World::new().await;
    let refused = |names: &[&str], code: &str| -> Vec<_> {
        names.iter().map(|name| ((*name).to_owned(), code.to_owned())).collect()
    };
    for report in REPORTS {
        let page = world.admin.get(&format!("/v1/reports/{report}?limit=1")).await.ok();
        let cursor = page["next_cursor"].as_str().unwrap();
        for (query, accept, expected) in [
            ("columns=product_code".to_owned(), "*/*", refused(&["columns"], "not_allowed")),
            ("limit=5".to_owned(), "text/csv", refused(&["limit"], "not_allowed")),
            (format!("cursor={cursor}&limit=1"), "text/csv", refused(&["cursor", "limit"], "not_allowed")),
            ("cursor=x".to_owned(), "text/csv", refused(&["cursor"], "not_allowed")),
            ("columns=product_code,product_code".to_owned(), "text/csv", refused(&["columns"], "duplicate")),
            ("columns=surprise".to_owned(), "text/csv", refused(&["columns"], "not_allowed")),
            ("columns=".to_owned(), "text/csv", refused(&["columns"], "not_allowed")),
            ("columns=cost".to_owned(), "text/csv", refused(&["columns"], "not_allowed")),
        ] {
            let path = format!("/v1/reports/{report}?{query}");
            let found = world.admin.with("accept", accept).get(&path).await.violations();
            assert_eq!(found, expected, "{report}?{query} as {accept}");
        }
    }
}

/// Copies a subscription with its lines several times, with new ids.
async fn copy(database: &Database, subscription: &Value, customer: &Value, times: usize) {
    let copies = format!(
        "WITH copies AS (INSERT INTO subscriptions SELECT (jsonb_populate_record(s, jsonb_build_object( \
             'id', gen_random_uuid(), 'customer_id', '{}'))).* \
         FROM subscriptions s, generate_series(1, {times}) WHERE s.id = '{}' RETURNING id, customer_id) \
         INSERT INTO inventory_lines (customer_id, subscription_id, certificate_type, current, renewal, used) \
         SELECT copies.customer_id, copies.id, certificate_type, current, renewal, used \
         FROM copies, inventory_lines WHERE subscription_id = '{}'",
        id(customer),
        id(subscription),
        id(subscription),
    );
    database.execute(&copies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_missed_or_comes_twice_where_chunks_meet() {
    let world = World::new().await;
    let database = &world.server.database;
    for (name, subscriptions) in [("a", 500), ("b", 501), ("c", 1250)] {
        let customer = world.admin.post("/v1/customers", company(name)).await.created()["id"].clone();
        // Two lines each.
        copy(database, &world.active_id, &customer, subscriptions).await;
        let of = |report: &str| format!("{report}?customer_id={}", id(&customer));
        let (subscriptions_table, usage) =
            (table(&world.admin, &of("subscriptions")).await, table(&world.admin, &of("usage")).await);
        assert_eq!((subscriptions_table.rows.len(), usage.rows.len()), (subscriptions, 2 * subscriptions));
    }
    let lines = format!(
        "INSERT INTO order_lines (customer_id, order_id, position, subscription_id, subscription_index, product_id, \
             certificate_type, bucket, quantity_before, quantity_after, calculation, amount, due_date) \
         SELECT customer_id, order_id, n, subscription_id, subscription_index, product_id, \
             certificate_type, bucket, quantity_before, quantity_after, calculation, amount, due_date \
         FROM order_lines, generate_series(2, 1100) n WHERE order_id = '{}' AND position = 0",
        id(&world.order_id)
    );
    database.execute(&lines).await;
    for report in REPORTS {
        assert!(assert_same(&world.admin, report).await > 1000);
    }
}

const LINES: usize = 20_000;

/// A world with a usage report that is larger than all buffers between server and client.
async fn with_many_lines(server: Server) -> World {
    let world = World::on(server).await;
    let lines = format!(
        "INSERT INTO inventory_lines (customer_id, subscription_id, certificate_type, current, used) \
         SELECT customer_id, id, 't' || lpad(n::text, 6, '0'), 1, 0 \
         FROM subscriptions, generate_series(1, {LINES}) n WHERE id = '{}'; UPDATE products SET name = repeat('長', 200); \
         UPDATE customers SET company_name = repeat('名', 200)",
        id(&world.active_id)
    );
    world.server.database.execute(&lines).await;
    world
}

/// The usage report, after its first piece was received.
async fn begun(world: &World) -> (Response, Vec<u8>) {
    let path = format!("/v1/reports/usage?customer_id={}", id(&world.customer_id));
    let mut answer = world.admin.with("accept", "text/csv").open(Method::GET, &path, None).await;
    assert_eq!(answer.status(), 200);
    let first = answer.chunk().await.unwrap().expect("there is more").to_vec();
    (answer, first)
}

/// The rest of the response, and whether it ended correctly.
async fn rest(mut answer: Response, mut so_far: Vec<u8>) -> (Vec<u8>, bool) {
    loop {
        match answer.chunk().await {
            Ok(Some(piece)) => so_far.extend(piece),
            Ok(None) => return (so_far, true),
            Err(_) => return (so_far, false),
        }
    }
}

fn lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_read_while_they_are_taken_and_a_slow_client_holds_no_connection() {
    let world = with_many_lines(Server::start().await).await;
    let (answer, first) = begun(&world).await;
    // The client reads no more: the server is idle and holds no connection.
    let mut status = world.server.db.pool_status();
    for _ in 0..200 {
        if status.idle == status.open {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        status = world.server.db.pool_status();
    }
    assert_eq!(status.idle, status.open, "no connection is in use");
    // The following rows have not been read from the database yet.
    let lock = Lock::hold(&world.server.database, "inventory_lines").await;
    let rest = tokio::spawn(rest(answer, first));
    lock.wait_for(1).await;
    assert!(!rest.is_finished(), "the report waits for its next rows");
    lock.release().await;
    let (text, is_whole) = rest.await.unwrap();
    assert!(is_whole);
    // The header, and the five lines that the world already had.
    assert_eq!(lines(&text), 1 + LINES + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_database_goes_away_ends_in_an_error_and_not_as_a_shorter_report() {
    let database = Database::create().await;
    let proxy = Proxy::start(&database).await;
    let server = Server::on(database, &proxy.url, settings()).await;
    let world = with_many_lines(server).await;
    let (answer, first) = begun(&world).await;
    proxy.set(Mode::Refuse);
    let (text, is_whole) = rest(answer, first).await;
    assert!(!is_whole, "the client can see that it is truncated");
    assert!((1..LINES).contains(&lines(&text)), "some lines arrived: {}", lines(&text));
    proxy.set(Mode::Pass);
    let (answer, first) = begun(&world).await;
    let (text, is_whole) = rest(answer, first).await;
    assert!(is_whole, "the report is available when the database is back");
    assert_eq!(lines(&text), 1 + LINES + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_breaks_off_when_its_key_is_revoked() {
    let world = with_many_lines(Server::start().await).await;
    let (answer, first) = begun(&world).await;
    let keys = world.admin.get("/v1/api-keys?role=admin&status=active").await.ok();
    let own = keys["data"].as_array().unwrap().iter().find(|key| key["partner_id"].is_null()).unwrap();
    world.admin.act(&format!("/v1/api-keys/{}/revoke", id(&own["id"]))).await.ok();
    csv(&world.admin, "usage").await.problem(401, "unauthenticated");
    let (text, is_whole) = rest(answer, first).await;
    assert!(!is_whole, "the client can see that it is truncated");
    assert!((1..LINES).contains(&lines(&text)), "some lines arrived: {}", lines(&text));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_before_the_first_row_is_a_problem() {
    let world = World::new().await;
    world.server.database.execute("DROP TABLE inventory_lines CASCADE").await;
    csv(&world.admin, "usage").await.problem(500, "internal");
    csv(&world.admin, "subscriptions").await.problem(500, "internal");
    csv(&world.admin, "transactions").await.ok();
}
