//! Checks the rules in `src/README.md` on the source.

// A source that cannot be read fails the test.
#![allow(clippy::unwrap_used)]

#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;

use std::path::Path;

use rules::Breach;
use source::Source;

/// The maximum median length of a file, in lines.
const MEDIAN_LENGTH: usize = 150;

fn sources() -> Vec<Source> {
    source::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// Fails with all breaches, each with its place, its rule, and what to do.
fn assert_none(breaches: &[Breach]) {
    let list: String = breaches.iter().map(|breach| format!("\n\n{breach}")).collect();
    assert!(breaches.is_empty(), "{} breach(es) of the rules in src/README.md{list}", breaches.len());
}

#[test]
fn every_line_keeps_the_rules() {
    let sources = sources();
    assert!(sources.iter().any(|source| source.path == "domain/subscription.rs"), "the sources were not found");
    assert_none(&sources.iter().flat_map(rules::of_lines).collect::<Vec<_>>());
}

#[test]
fn a_status_is_written_by_save_alone() {
    assert_none(&sources().iter().flat_map(rules::of_status_columns).collect::<Vec<_>>());
}

#[test]
fn finders_of_tenant_data_take_a_scope() {
    assert_none(&sources().iter().flat_map(rules::of_finders).collect::<Vec<_>>());
}

#[test]
fn a_ring_has_one_error_enum() {
    assert_none(&rules::of_errors(&sources()));
}

#[test]
fn files_are_short() {
    let sources = sources();
    assert_none(&sources.iter().flat_map(rules::of_length).collect::<Vec<_>>());
    let mut lengths: Vec<_> = sources.iter().map(|source| source.length).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(
        median <= MEDIAN_LENGTH,
        "the median length of a file is {median} lines; the maximum is {MEDIAN_LENGTH}: split some files"
    );
}

/// For each rule, a line that breaks it, and the file that the line would be in.
const BROKEN: &[(&str, &str, &str)] = &[
    ("1", "domain/order.rs", "use crate::store::Conn;"),
    ("1", "domain/order.rs", "use crate::{\n    ops,\n    clock,\n};"),
    ("1", "domain/order.rs", "let row = super::super::platform::Db::new();"),
    ("1", "domain/order.rs", "tokio::spawn(work);"),
    ("1", "domain/order.rs", "pub async fn find() {}"),
    ("1", "domain/order.rs", "let day = chrono::Local::now();"),
    ("2", "ops/orders.rs", "use diesel_async::RunQueryDsl;"),
    ("2", "domain/order.rs", "#[derive(diesel::Queryable)]"),
    ("2", "api/v1/orders.rs", "use diesel::prelude::*;"),
    ("2", "ops/orders.rs", "#[derive(utoipa::ToSchema)]"),
    ("2", "domain/order.rs", "#[derive(utoipa::ToSchema)]"),
    ("2", "domain/id.rs", "use actix_web::web;"),
    ("2", "jobs/renewals.rs", "use actix_web::rt;"),
    ("3", "api/v1/orders.rs", "crate::store::orders::find(conn).await"),
    ("3", "api/v1/orders.rs", "use crate::{domain, store};"),
    ("3", "api/contract/problem.rs", "store::orders::find(conn).await"),
    ("3", "store/orders.rs", "use crate::ops::Context;"),
    ("3", "store/orders.rs", "use crate::platform::db::Db;"),
    ("3", "platform/db.rs", "use crate::ops::Context;"),
    ("3", "api/v1/orders.rs", "use crate::service::Http;"),
    ("3", "jobs/renewals.rs", "use crate::store::orders;"),
    ("3", "ops/orders.rs", "use crate::api::contract::problem::Problem;"),
    ("3", "store/orders.rs", "conn.transaction(async |tx| save(tx).await)"),
    ("3", "store/orders.rs", "AnsiTransactionManager::begin_transaction(conn).await"),
    ("3", "api/v1/orders.rs", "state.db.read(async |tx| list(tx).await)"),
    ("3", "jobs/renewals.rs", "db.transaction(async |tx| renew(tx).await)"),
    ("4", "store/subscriptions.rs", "pub async fn set_status(conn: &mut Conn) {}"),
    ("5", "ops/customers.rs", "let scope = Scope::Partner;"),
    ("5", "api/v1/customers.rs", "let scope = id.map(Scope::Reseller);"),
    ("6", "ops/orders.rs", "let amount = Calculation::new(price, 1, start, end, today).amount()?;"),
    ("6", "api/v1/orders.rs", "let amount = line.calculation.amount()?;"),
    ("7", "ops/orders.rs", "let at = Utc::now();"),
    ("7", "store/orders.rs", "let id = Uuid::now_v7();"),
    ("7", "ops/orders.rs", "let url = std::env::var(name);"),
    ("7", "domain/money.rs", "let share: f64 = amount.into();"),
    ("9", "api/contract/problem.rs", "_ => ErrorCode::Internal,"),
    ("10", "api/respond/page.rs", "let page = text.parse().unwrap();"),
    ("10", "main.rs", "server.await.expect(reason);"),
    ("10", "platform/db.rs", "None => panic!(reason),"),
    ("10", "platform/db.rs", "unsafe { work() }"),
];

/// Lines that look like a breach, but are none.
const KEPT: &[(&str, &str)] = &[
    ("domain/order.rs", "/// Kept by `crate::store`, not by diesel or tokio.\nfn order() {} // .unwrap()"),
    ("domain/refusal.rs", "let detail = \"crate::store said panic!\";"),
    ("domain/listing.rs", "Instant(DateTime<Utc>), let db = 1; let api_key = store;"),
    ("domain/id.rs", "#[derive(utoipa::ToSchema, diesel_derive_newtype::DieselNewType)]"),
    ("domain/authorization.rs", "matches!(scope, Scope::Partner)"),
    ("store/orders.rs", "use diesel::prelude::*; query.unwrap_or_default()"),
    ("platform/db/connect.rs", "use diesel::ConnectionError;"),
    ("ops/orders.rs", "cx.db.transaction(async |tx| orders::insert(tx).await)"),
    ("api/middleware/authenticate.rs", "let scope = id.map_or(Scope::Partner, Scope::Reseller);"),
    ("api/contract/problem.rs", "impl From<store::Error> for Problem {}"),
    ("api/contract/problem.rs", "    _ => {}"),
    ("api/v1/orders.rs", "Calculation::new(calculation, currency)"),
    ("platform/clock.rs", "Utc::now()"),
    ("api/middleware/observe.rs", "let started = Instant::now(); histogram.record(elapsed.as_secs_f64())"),
    ("ops/orders.rs", "#[cfg(test)]\nmod tests {\n    fn one() { two().unwrap() }\n}"),
];

#[test]
fn each_rule_catches_what_breaks_it() {
    for (rule, path, text) in BROKEN {
        let found = rules::of_lines(&Source::new(path, text));
        assert!(
            found.iter().any(|breach| breach.rule == *rule),
            "rule {rule} did not find `{text}` in {path}: {found:?}"
        );
    }
}

#[test]
fn no_rule_catches_what_keeps_it() {
    for (path, text) in KEPT {
        assert_none(&rules::of_lines(&Source::new(path, text)));
    }
}

#[test]
fn code_after_the_tests_of_a_file_is_checked() {
    let text = "#[cfg(test)]\nmod tests {\n    fn one() { if a { b } }\n}\nfn two() { three().unwrap() }";
    let found = rules::of_lines(&Source::new("platform/db.rs", text));
    assert_eq!(found.iter().map(|breach| breach.line).collect::<Vec<_>>(), [5]);
}

#[test]
fn a_breach_says_where_it_is_and_what_to_do() {
    let found = rules::of_lines(&Source::new("api/respond/page.rs", "fn page() {\n    text.unwrap();\n}"));
    let expected = "src/api/respond/page.rs:2: text.unwrap();\n  rule 10: nothing panics\n  to do: return an error";
    assert!(found[0].to_string().starts_with(expected), "{}", found[0]);
}

#[test]
fn a_status_written_elsewhere_is_caught() {
    let breaches = |text| rules::of_status_columns(&Source::new("store/customers.rs", text)).len();
    assert_eq!(breaches("diesel::update(table).set((\n    name.eq(a),\n    customers::status.eq(b),\n))"), 1);
    assert_eq!(breaches("diesel::update(table).set(status.eq(b)).filter(id.eq(c))"), 1);
    assert_eq!(breaches("diesel::update(table).set(Row::from(customer)).filter(status.eq(b))"), 0);
}

#[test]
fn a_finder_without_a_scope_is_caught() {
    let breaches = |path, text| rules::of_finders(&Source::new(path, text)).len();
    assert_eq!(
        breaches("store/customers.rs", "pub async fn find(conn: &mut Conn, id: CustomerId) -> Result<()> {}"),
        1
    );
    assert_eq!(breaches("store/customers.rs", "pub async fn list(\n    conn: &mut Conn,\n    scope: Scope,\n) {}"), 0);
    assert_eq!(breaches("store/products.rs", "pub async fn find(conn: &mut Conn, id: ProductId) {}"), 0);
    assert_eq!(breaches("store/customers.rs", "async fn rows(conn: &mut Conn) {}"), 0);
}

#[test]
fn a_second_error_enum_and_a_long_file_are_caught() {
    let errors = ["store/error.rs", "store/page.rs"].map(|path| Source::new(path, "pub enum PageError {\n}"));
    assert_eq!((rules::of_errors(&errors).len(), rules::of_errors(&errors[..1]).len()), (1, 0));
    let lines = |count| rules::of_length(&Source::new("ops/mod.rs", &"\n".repeat(count))).len();
    assert_eq!((lines(500), lines(501)), (0, 1));
}
