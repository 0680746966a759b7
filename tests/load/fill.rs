//! A database full of subscriptions whose first year ends on a given day.

use tokio_postgres::{Client, NoTls};

/// Ten subscriptions per customer, with two certificate types each: 9 and 1 certificates at 99.00 and 250.00.
const FILL: &str = r#"
INSERT INTO products (id, code, name, name_key, status, certificate_types, terms, prices, version, created_at, updated_at)
VALUES (gen_random_uuid(), 'load', 'Load', 'load', 'active',
    '[{"code": "dv", "name": "DV", "max_quantity": 1000}, {"code": "ov", "name": "OV", "max_quantity": 1000}]', '[12]',
    '[{"certificate_type": "dv", "term_months": 12, "currency": "USD", "unit_price": 9900},
      {"certificate_type": "ov", "term_months": 12, "currency": "USD", "unit_price": 25000}]', 1, now(), now());

INSERT INTO customers (id, company_name, name_key, address, administration, currency, status, version, created_at, updated_at)
SELECT gen_random_uuid(), 'Customer ' || n, 'customer ' || n, '{"line1": "1 Quay", "city": "Antwerp", "country": "BE"}',
    'partner', 'USD', 'active', 1, now(), now()
FROM generate_series(1, greatest(1, $SUBSCRIPTIONS / 10)) AS n;

INSERT INTO subscriptions (id, customer_id, product_id, currency, status, lapsed, auto_renew, anchor, anchor_term,
    term_months, term_number, start_date, end_date, unit_prices, version, created_at, updated_at, due_date, updated_by)
SELECT gen_random_uuid(), customer.id, product.id, 'USD', 'active', false, true, $DAY - interval '1 year', 1,
    12, 1, $DAY - interval '1 year', $DAY,
    '{"dv": {"amount": 9900, "price_list_id": null}, "ov": {"amount": 25000, "price_list_id": null}}', 1,
    $DAY - interval '1 year', $DAY - interval '1 year', $DAY, 'system'
FROM (SELECT id, row_number() OVER () AS n FROM customers) AS customer, products AS product,
    generate_series(1, 10) AS copy
WHERE (customer.n - 1) * 10 + copy <= $SUBSCRIPTIONS;

INSERT INTO subscription_terms (customer_id, subscription_id, number, start_date, end_date, unit_prices)
SELECT customer_id, id, 1, start_date, end_date, unit_prices FROM subscriptions;

INSERT INTO inventory_lines (customer_id, subscription_id, certificate_type, current, used)
SELECT customer_id, id, kind, quantity, 0 FROM subscriptions, (VALUES ('dv', 9), ('ov', 1)) AS line (kind, quantity);

INSERT INTO inventory_ledger (id, customer_id, subscription_id, number, certificate_type, measure, before, after, actor,
    occurred_at)
SELECT gen_random_uuid(), customer_id, subscription_id,
    row_number() OVER (PARTITION BY subscription_id ORDER BY certificate_type), certificate_type, 'current', 0, current, 'system', now() FROM inventory_lines;

ANALYZE;
"#;

/// The price of the renewal of one of them.
pub const RENEWAL: i64 = 9 * 9900 + 25_000;

/// Fills a migrated database. `day` is an SQL expression.
pub async fn fill(url: &str, subscriptions: i64, day: &str) {
    let fill = FILL.replace("$SUBSCRIPTIONS", &subscriptions.to_string()).replace("$DAY", &format!("({day})"));
    connect(url).await.batch_execute(&fill).await.unwrap();
}

/// Runs a query that returns one number.
pub async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// A direct connection to the database.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&url.replace("sslmode=disable", ""), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
