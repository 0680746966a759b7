//! How many due subscriptions are renewed per second by 1, 2 and 4 instances, and how much memory that takes: `cargo
//! bench --bench renewals [-- SUBSCRIPTIONS]`. Each instance has its own pool. They share a durable PostgreSQL on the
//! machine's disk.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a benchmark may fail loudly")]
#![allow(clippy::float_arithmetic, reason = "a rate is no money")]

mod fill;

use std::time::{Duration, Instant};

use chrono::{TimeZone, Utc};
use fill::{connect, fill, number};
use futures_util::future::join_all;
use partner_platform::domain::authorization::Actor;
use partner_platform::ops::{Context, milestones};
use partner_platform::platform::clock::Clock;
use partner_platform::platform::db::{self, Db};
use partner_platform::platform::embedded::{Durability, Embedded, Options};

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let asked = std::env::args().find_map(|argument| argument.parse().ok());
    let subscriptions: i64 = asked.unwrap_or(100_000);
    let folder = tempfile::Builder::new().prefix("partner-platform-bench").tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let own = Embedded::start(&Options { data_dir, bin_dir: None, durability: Durability::Durable }).await.unwrap();

    println!("instances  subscriptions  seconds  a second  most memory, MiB");
    for (number, instances) in [(1, 1), (2, 2), (3, 4), (4, 1)] {
        // The last run has a tenth of the subscriptions: the memory must not depend on how many are due.
        let due = if number == 4 { subscriptions / 10 } else { subscriptions };
        let url = database(own.database_url(), &format!("bench_{number}"), due).await;
        let seconds = run(&url, instances, due).await;
        let rate = due as f64 / seconds;
        println!("{instances:>9}  {due:>13}  {seconds:>7.1}  {rate:>8.0}  {:>16}", peak_memory());
    }
    own.stop().await.unwrap();
}

async fn database(server: &str, name: &str, due: i64) -> String {
    connect(server).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (address, parameters) = server.split_once('?').unwrap_or((server, ""));
    let url = format!("{}/{name}?{parameters}", address.rsplit_once('/').unwrap().0);
    Db::new(&url, &settings()).unwrap().migrate().await.unwrap();
    fill(&url, due, "DATE '2027-01-01'").await;
    url
}

async fn run(url: &str, instances: usize, due: i64) -> f64 {
    let clock = Clock::manual(Utc.with_ymd_and_hms(2027, 1, 1, 12, 0, 0).unwrap());
    let contexts: Vec<_> = (0..instances)
        .map(|_| Context::new(Db::new(url, &settings()).unwrap(), clock.clone(), Actor::system()))
        .collect();
    let started = Instant::now();
    let drains = contexts.into_iter().map(|cx| tokio::spawn(async move { milestones::drain(&cx, || false).await }));
    join_all(drains).await.into_iter().for_each(|done| done.unwrap().unwrap());
    let seconds = started.elapsed().as_secs_f64();

    let client = connect(url).await;
    let renewed = number(&client, "SELECT count(*) FROM subscription_terms WHERE number = 2").await;
    let charged = number(&client, "SELECT sum(amount)::bigint FROM charges").await;
    assert_eq!((renewed, charged), (due, due * fill::RENEWAL), "each is renewed and charged once");
    seconds
}

fn settings() -> db::Settings {
    let long = Duration::from_secs(60);
    db::Settings {
        max_connections: 8,
        connect_timeout: long,
        acquire_timeout: long,
        statement_timeout: long,
        lock_timeout: long,
    }
}

/// The peak memory of this process, without PostgreSQL.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or_else(|| "?".to_owned(), |kib| (kib / 1024).to_string())
}
