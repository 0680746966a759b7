//! Compares the real service with a simple model of its rules: after each step of a random sequence of operations and
//! clock movements, both must have the same state. `MODEL_WORLDS` sets the number of sequences, `MODEL_SEED` selects
//! one.

mod player;
mod rules;

use chrono::{Days, NaiveDate};
use fastrand::Rng;
use futures_util::future::join_all;
use player::Player;
use rules::Prices;
use serde_json::{Value, json};

use crate::support::world::{company, id, product};
use crate::support::{Client, Server};

/// The number of customers. Each has its own sequence of operations.
const PLAYERS: usize = 8;

const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn the_service_does_what_a_plain_model_of_the_rules_does() {
    #[allow(clippy::disallowed_methods, reason = "tests have no settings but this one")]
    let setting = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match setting("MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("MODEL_WORLDS").unwrap_or(3),
    };
    let mut operations = 0;
    for seed in seeds.clone() {
        operations += play(seed).await;
        println!("world {seed}: {operations} operations so far");
    }
    println!("{} sequences, {operations} operations", (seeds.end - seeds.start) * PLAYERS as u64);
}

/// Runs one world, and returns the number of operations.
async fn play(seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let server = Server::start().await;
    let admin = server.admin().await;
    let mut prices: Prices =
        [(("dv", 1), 990), (("dv", 12), 9900), (("ov", 1), 2500), (("ov", 12), 25_000)].into_iter().collect();
    let product_id = admin.post("/v1/products", product("tls")).await.created()["id"].clone();
    let mut players = Vec::new();
    for number in 0..PLAYERS {
        let customer = admin.post("/v1/customers", company(&format!("Player {number}"))).await.created();
        let seed = seed * PLAYERS as u64 + number as u64;
        players.push(Player::new(&admin, id(&customer["id"]), id(&product_id), seed));
    }
    // January is billed here, without any due charge.
    let mut today = NaiveDate::from_ymd_opt(2027, 1, 1).unwrap();
    pass(&admin, &mut today, 1, &mut players, &prices).await;

    for _ in 0..ROUNDS {
        join_all(players.iter_mut().map(|player| player.act(today, &prices))).await;
        match rng.u32(0..6) {
            0 => change_price(&admin, &product_id, &mut prices, &mut rng).await,
            1 => {
                admin.post("/v1/invoices/run", json!({})).await.ok();
                players.iter_mut().for_each(|player| player.model.bill(today));
            }
            _ => {}
        }
        let days = if rng.u32(0..8) == 0 { rng.u64(100..400) } else { rng.u64(1..45) };
        pass(&admin, &mut today, days, &mut players, &prices).await;
        join_all(players.iter().map(|player| player.compare(today))).await;
    }
    for (what, sql) in INVARIANTS {
        assert_eq!(server.database.text(sql).await, "0", "seed {seed}: {what}");
    }
    players.iter().map(|player| player.log.len()).sum()
}

/// Moves the clock: for the service in one step, for the model day by day.
async fn pass(admin: &Client, today: &mut NaiveDate, days: u64, players: &mut [Player], prices: &Prices) {
    admin.post("/v1/sandbox/clock", json!({ "advance_days": days })).await.ok();
    for _ in 0..days {
        *today = *today + Days::new(1);
        players.iter_mut().for_each(|player| player.model.dawn(*today, prices));
    }
    players.iter_mut().for_each(|player| player.log.push(format!("{days} days to {today}")));
}

async fn change_price(admin: &Client, product_id: &Value, prices: &mut Prices, rng: &mut Rng) {
    let (kind, months) = (["dv", "ov"][rng.usize(0..2)], [1, 12][rng.usize(0..2)]);
    prices.insert((kind, months), rng.i64(0..30_000));
    let price = |((kind, months), amount): (&(&str, u32), &i64)| json!({ "certificate_type": kind, "term_months": months, "unit_price": { "amount": amount, "currency": "USD" } });
    let all: Vec<_> = prices.iter().map(price).collect();
    admin.patch(&format!("/v1/products/{}", id(product_id)), json!({ "prices": all })).await.ok();
}

/// Queries that must return 0.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "lines that are not the sum of their ledger",
        "SELECT count(*) FROM inventory_lines AS line, LATERAL (
            SELECT coalesce(sum(after - before) FILTER (WHERE measure = 'current'), 0) AS current,
                   coalesce(sum(after - before) FILTER (WHERE measure = 'used'), 0) AS used
            FROM inventory_ledger AS entry WHERE entry.subscription_id = line.subscription_id
            AND entry.certificate_type = line.certificate_type) AS ledger
         WHERE (line.current, line.used) <> (ledger.current, ledger.used)",
    ),
    (
        "terms that overlap, or leave a gap that no lapse explains",
        "SELECT count(*) FROM subscription_terms AS term
         JOIN subscription_terms AS next ON next.subscription_id = term.subscription_id AND next.number = term.number + 1
         WHERE next.start_date < term.end_date OR next.start_date >= term.end_date + 90",
    ),
    (
        "charges that are on another number of invoices that are not void than their status says",
        "SELECT count(*) FROM charges WHERE (status = 'invoiced')::int <> (
            SELECT count(*) FROM invoice_lines JOIN invoices ON invoices.id = invoice_lines.invoice_id
            WHERE charge_id = charges.id AND invoices.status <> 'void')",
    ),
    (
        "gaps in the numbers of invoices",
        "SELECT count(*) FROM (SELECT max(number_sequence) - count(*) AS gap FROM invoices GROUP BY number_year) AS year
         WHERE gap <> 0",
    ),
    (
        "orders whose lines are not their total",
        "SELECT count(*) FROM orders WHERE total <> (SELECT sum(amount) FROM order_lines WHERE order_id = orders.id)",
    ),
];
