//! Three instances renew and bill, and are killed again and again at random moments: nothing is renewed, billed or
//! emitted twice, and nothing is missed.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

#[path = "../api/support/database.rs"]
#[allow(dead_code, reason = "what other tests need of it")]
mod database;
mod fill;
mod writes;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use database::Database;
use fill::{RENEWAL, connect, fill, number};

/// The number of due subscriptions. `KILL_SUBSCRIPTIONS` sets another number.
const SUBSCRIPTIONS: i64 = 1_500;

const INSTANCES: usize = 3;

/// The last day of the month on which invoices can be created, or today if that is earlier.
const DAY: &str = "SELECT least(current_date, date_trunc('month', current_date)::date + 27)";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_renewed_or_billed_twice_or_missed_whoever_is_killed_when() {
    #[allow(clippy::disallowed_methods, reason = "tests have no settings but this one")]
    let asked = std::env::var("KILL_SUBSCRIPTIONS").ok().and_then(|number| number.parse().ok());
    let subscriptions: i64 = asked.unwrap_or(SUBSCRIPTIONS);
    let database = Database::create().await;
    fill(&database.url, subscriptions, DAY).await;
    let client = connect(&database.url).await;
    let day = number(&client, &format!("SELECT extract(day FROM ({DAY}))::bigint")).await;

    let mut instances: Vec<_> = (0..INSTANCES).map(|_| Instance::start(&database.url, day)).collect();
    let (mut kills, mut done, started) = (0, 0, Instant::now());
    while number(&client, "SELECT count(*) FROM invoice_runs").await == 0 {
        assert!(started.elapsed() < Duration::from_secs(1200), "all subscriptions are processed in time");
        let (pause, victim) = (random(20..500), random(0..INSTANCES as u64));
        tokio::time::sleep(Duration::from_millis(pause)).await;
        // On a slow machine, instances would be killed during their start and make no progress.
        let now = number(&client, PROGRESS).await;
        if now > done {
            instances[usize::try_from(victim).unwrap()] = Instance::start(&database.url, day);
            (kills, done) = (kills + 1, now);
        }
    }
    drop(instances);
    println!("{subscriptions} subscriptions, {kills} kills, {:?}", started.elapsed());
    assert!(kills > 0, "some instances are killed");

    let expected = [
        (
            "subscriptions in their second term",
            subscriptions,
            "SELECT count(*) FROM subscriptions WHERE term_number = 2",
        ),
        ("terms", 2 * subscriptions, "SELECT count(*) FROM subscription_terms"),
        ("orders", subscriptions, "SELECT count(*) FROM orders WHERE kind = 'renewal'"),
        ("subscriptions that were ordered", subscriptions, "SELECT count(DISTINCT subscription_id) FROM order_lines"),
        ("charges", 2 * subscriptions, "SELECT count(*) FROM charges WHERE status = 'invoiced'"),
        ("other charges", 0, "SELECT count(*) FROM charges WHERE status <> 'invoiced'"),
        ("charged", subscriptions * RENEWAL, "SELECT sum(amount)::bigint FROM charges"),
        ("billed", subscriptions * RENEWAL, "SELECT sum(total)::bigint FROM invoices"),
        ("charges on invoices", 2 * subscriptions, "SELECT count(DISTINCT charge_id) FROM invoice_lines"),
        ("lines of invoices", 2 * subscriptions, "SELECT count(*) FROM invoice_lines"),
        ("customers without just one invoice", 0, ONE_INVOICE_EACH),
        ("told renewals", subscriptions, "SELECT count(*) FROM events WHERE kind = 'subscription.renewed'"),
        ("told charges", 4 * subscriptions, "SELECT count(*) FROM events WHERE kind LIKE 'charge.%'"),
        ("invoices that are not told once", 0, INVOICES_TOLD),
        ("holes in the feed", 0, "SELECT coalesce(max(position), 0) - count(position) FROM event_places"),
        ("gaps in the numbers", 0, "SELECT max(number_sequence) - count(*) FROM invoices"),
        ("lines that are not the sum of their ledger", 0, LEDGER),
    ];
    for (what, count, sql) in expected {
        assert_eq!(number(&client, sql).await, count, "{what}");
    }
}

const PROGRESS: &str = "SELECT (SELECT count(*) FROM subscription_terms) + (SELECT count(*) FROM invoices)";

const ONE_INVOICE_EACH: &str = "SELECT count(*) FROM customers WHERE \
    (SELECT count(*) FROM invoices WHERE customer_id = customers.id) <> 1";

const INVOICES_TOLD: &str = "SELECT count(*) FROM invoices WHERE \
    (SELECT count(*) FROM events WHERE kind = 'invoice.created' AND resource_id = invoices.id) <> 1";

const LEDGER: &str = "SELECT count(*) FROM inventory_lines AS line WHERE current <> \
    (SELECT sum(after - before) FROM inventory_ledger AS entry WHERE measure = 'current' \
     AND entry.subscription_id = line.subscription_id AND entry.certificate_type = line.certificate_type)";

/// The service as a separate process.
struct Instance(Child);

impl Instance {
    fn start(url: &str, invoice_day: i64) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_partner-platform"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error", "--workers", "1"]);
        command.args(["--database-max-connections", "6", "--invoice-day", &invoice_day.to_string()]);
        command.env("DATABASE_URL", url).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Instance {
    /// SIGKILL, so that it cannot clean up.
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn random(range: std::ops::Range<u64>) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    range.start + u64::from_le_bytes(bytes) % (range.end - range.start)
}
