//! The memory that a body costs: for a rejected body at most eight times its size, whatever it contains. A single test,
//! because it measures the memory of the whole process.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

#[path = "api/support/random.rs"]
#[allow(dead_code, reason = "what other tests need of it")]
mod random;

use partner_platform::api::contract::body_schema;
use peak_alloc::PeakAlloc;
use random::{body, targets};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The number of random bodies. `RANDOM_BODIES` sets another number.
const BODIES: u64 = 500;

/// The memory that is independent of the size of the body: the list of problems.
const BASE: usize = 128 << 10;

/// Large bodies without useful content, for a schema that has lists in these fields.
fn hostile(bytes: usize) -> Vec<(String, Vec<u8>)> {
    let fill = |start: &str, unit: &str, end: &str| {
        let count = bytes.saturating_sub(start.len() + end.len()) / unit.len();
        format!("{start}{}{end}", unit.repeat(count)).into_bytes()
    };
    let mut all = vec![
        ("a flat list".to_owned(), fill("[", "0,", "0]")),
        ("lists in lists".to_owned(), fill("[", "[],", "0]")),
        ("objects".to_owned(), fill("[", "{},", "0]")),
        ("a deep list".to_owned(), [vec![b'['; bytes / 2], vec![b']'; bytes / 2]].concat()),
        ("an object of one field twice".to_owned(), fill("{\"a\":0", ",\"a\":0", "}")),
        ("a long text".to_owned(), fill("\"", "x", "\"")),
    ];
    let names: Vec<_> = (0..bytes / 12).map(|number| format!("\"{number:0>7}\":0")).collect();
    all.push(("an object of many fields".to_owned(), format!("{{{}}}", names.join(",")).into_bytes()));
    for list in ["lines", "prices", "subscriptions", "certificate_types", "terms", "event_types"] {
        for unit in ["0,", "{},", "[],", "\"\",", "{\"a\":0},", "null,", "{\"certificate_type\":\"\",\"quantity\":0},"]
        {
            all.push((format!("{unit} in {list}"), fill(&format!("{{\"{list}\":["), unit, "0]}")));
        }
        let nested = fill(&format!("{{\"{list}\":[{{\"inventory\":["), "{\"quantity\":\"x\"},", "0]}]}");
        all.push((format!("a list in {list}"), nested));
    }
    let price = "{\"product_id\":\"01990000-0000-7000-8000-000000000000\",\"certificate_type\":\"dv\",\"term_months\":0,\
                 \"unit_price\":{\"amount\":1,\"currency\":\"EUR\"}},";
    all.push((
        "prices that are nearly right".to_owned(),
        fill("{\"name\":\"x\",\"currency\":\"EUR\",\"prices\":[", price, "0]}"),
    ));
    all
}

/// The maximum memory for checking a body, without the body itself, and whether the body is rejected.
fn cost(schema: &str, bytes: &[u8]) -> (usize, bool) {
    let schema = body_schema::named(schema).unwrap();
    // What the validator keeps for later checks, such as the tables of a regular expression, is not a cost of the body.
    drop(schema.check(bytes));
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let checked = schema.check(bytes);
    let peak = MEMORY.peak_usage().saturating_sub(before);
    (peak, checked.map_or(true, |checked| !checked.violations.is_empty()))
}

#[test]
fn a_refused_body_costs_at_most_eight_times_its_size() {
    let schemas: std::collections::BTreeSet<_> = targets().iter().map(|target| target.schema).collect();
    for schema in &schemas {
        // The schema is compiled on first use.
        cost(schema, b"{}");
    }
    let mut worst = (0, String::new());
    for bytes in [1 << 20, 10 << 10] {
        for (what, body) in hostile(bytes) {
            for schema in &schemas {
                let (peak, is_refused) = cost(schema, &body);
                assert!(is_refused, "{what} is not a valid {schema}");
                worst = worst.max((peak, format!("{what} of {bytes} bytes as {schema}")));
                // The body itself counts once in the eight times.
                assert!(peak <= 7 * body.len() + BASE, "{what} of {} bytes as {schema}: {peak}", body.len());
            }
        }
    }
    println!("most: {} kB, {}", worst.0 / 1024, worst.1);

    #[allow(clippy::disallowed_methods, reason = "tests have no settings but this one")]
    let asked = std::env::var("RANDOM_BODIES").ok().and_then(|number| number.parse().ok());
    let mut rng = fastrand::Rng::with_seed(2027);
    let targets = targets();
    let (mut refused, bodies) = (0, asked.unwrap_or(BODIES));
    for number in 0..bodies {
        let target = &targets[rng.usize(..targets.len())];
        let body = body(&mut rng, target.schema);
        let (peak, is_refused) = cost(target.schema, &body);
        refused += u64::from(is_refused);
        assert!(
            !is_refused || peak <= 7 * body.len() + BASE,
            "{number}: {} bytes as {}: {peak}",
            body.len(),
            target.schema
        );
    }
    println!("{refused} of {bodies} random bodies are refused");
    assert!(refused > bodies / 10 && refused < bodies);
}
