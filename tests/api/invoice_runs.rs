//! Invoice runs: in any situation, and with concurrent runs, each due charge is on exactly one invoice.

use std::time::Duration;

use futures_util::future::join_all;
use partner_platform::domain::authorization::Actor;
use partner_platform::domain::money::MAX_AMOUNT;
use partner_platform::ops::{Context, billing};
use serde_json::{Value, json};

use crate::concurrency::{act, at_once};
use crate::steps::{all, on_day, subscribe};
use crate::support::world::{World, basket, bill, company, id};
use crate::support::{Database, Server};

/// The service itself as the caller, as at the end of a month.
fn service(server: &Server) -> Context {
    let actor = Actor::system();
    Context::new(server.db.clone(), server.clock.clone(), actor)
}

async fn run(world: &World, through: &str) -> Value {
    world.admin.post("/v1/invoices/run", json!({ "through": through })).await.ok()
}

/// Adds charges to the active subscription, all with the same amount.
async fn add_charges(world: &World, count: usize, amount: i64) {
    add_charges_of(world, "subscription_id", &world.active_id, count, amount).await;
}

async fn add_charges_of(world: &World, column: &str, owner: &Value, count: usize, amount: i64) {
    let sql = format!(
        "INSERT INTO charges SELECT gen_random_uuid(), order_id, customer_id, subscription_id, certificate_type, \
         calculation, {amount}, currency, due_date, 'pending', NULL \
         FROM charges, generate_series(1, {count}) WHERE {column} = '{}' AND certificate_type = 'dv' LIMIT {count}",
        id(owner)
    );
    world.server.database.execute(&sql).await;
}

/// Checks the invariants: a charge is invoiced if and only if it is on one invoice that is not void, invoices are the
/// sum of their lines, and the numbers of each year are consecutive from 1.
async fn assert_in_order(database: &Database) {
    for (what, query) in [
        (
            "charges that are not on the one invoice that they name",
            "SELECT count(*) FROM charges AS charge LEFT JOIN LATERAL (SELECT count(*) AS count, min(id::text) AS id \
             FROM invoices JOIN invoice_lines ON invoice_id = id WHERE charge_id = charge.id AND status <> 'void') \
             AS invoice ON true WHERE (charge.status = 'invoiced') <> (count = 1) OR count > 1 \
             OR invoice_id::text IS DISTINCT FROM invoice.id",
        ),
        (
            "invoices that are not the sum of their lines",
            "SELECT count(*) FROM invoices JOIN LATERAL (SELECT sum(amount) AS sum, count(*) AS count, \
             count(DISTINCT (charges.currency, charges.customer_id)) AS kinds FROM charges JOIN invoice_lines ON charge_id = id \
             WHERE invoice_lines.invoice_id = invoices.id) AS lines ON true WHERE total <> sum OR line_count <> count OR kinds <> 1",
        ),
        (
            "gaps between numbers",
            "SELECT count(*) FROM (SELECT number_sequence - row_number() OVER (PARTITION BY number_year ORDER BY \
             number_sequence) AS gap FROM invoices) AS numbers WHERE gap <> 0",
        ),
    ] {
        assert_eq!(database.text(query).await, "0", "{what}");
    }
}

/// The number of charges that are due and not billed.
async fn left(world: &World) -> String {
    let query = "SELECT count(*) FROM charges WHERE status = 'pending' AND due_date <= '2027-01-01'";
    world.server.database.text(query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_bills_what_is_due_once() {
    let world = World::new().await;
    let total = 50 * 9900 + 10 * 25_000 + 5 * 9900;
    let first = world.admin.act("/v1/invoices/run").await.ok();
    let expected = json!({
        "through": "2027-01-01", "invoices": 1, "charges": 3, "complete": true,
        "totals": [{ "amount": total, "currency": "USD" }],
    });
    assert_eq!(first, expected);
    let nothing = json!({ "through": "2027-01-01", "invoices": 0, "charges": 0, "complete": true, "totals": [] });
    assert_eq!(run(&world, "2027-01-01").await, nothing);
    assert_eq!(world.admin.post("/v1/invoices/run", json!({})).await.ok(), nothing);
    assert_in_order(&world.server.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_is_not_billed_before_it_is_due() {
    let world = World::new().await;
    run(&world, "2026-12-31").await;
    assert_eq!(left(&world).await, "3", "charges due on New Year are not due the day before");
    run(&world, "2027-01-01").await;
    let pending = world.admin.get("/v1/charges?status=pending").await.ok();
    assert_eq!(pending["data"][0]["subscription_id"], world.pending_id);
    assert_eq!(pending["data"].as_array().unwrap().len(), 1);
    on_day(&world.server, "2027-01-31");
    assert_eq!(run(&world, "2027-01-31").await["charges"], 0);
    on_day(&world.server, "2027-02-01");
    assert_eq!(run(&world, "2027-02-01").await["charges"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_due_yet_cannot_be_billed() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for through in ["2027-01-02", "9999-12-31"] {
        let found = world.admin.post("/v1/invoices/run", json!({ "through": through })).await.violations();
        assert_eq!(found, [("/through".to_owned(), "out_of_range".to_owned())]);
    }
    for through in [json!("yesterday"), json!("2027-02-30")] {
        let found = world.admin.post("/v1/invoices/run", json!({ "through": through })).await.violations();
        assert_eq!(found, [("/through".to_owned(), "invalid_format".to_owned())]);
    }
    assert_eq!(run(&world, "0001-01-01").await["charges"], 0);
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_have_no_gaps_and_begin_anew_each_year() {
    let world = World::new().await;
    let mut numbers = Vec::new();
    for day in ["2027-12-30", "2027-12-31", "2028-01-01", "2028-01-02"] {
        on_day(&world.server, day);
        subscribe(&world, json!({})).await;
        // A run that is rejected, or that fails in the database after taking a number, uses up no number.
        world.admin.post("/v1/invoices/run", json!({ "through": "2029-01-01" })).await.violations();
        let obstacle = "ALTER TABLE invoice_lines ADD CONSTRAINT invoice_lines_none CHECK (position < 0) NOT VALID";
        world.server.database.execute(obstacle).await;
        world.admin.act("/v1/invoices/run").await.problem(500, "internal");
        world.server.database.execute("ALTER TABLE invoice_lines DROP CONSTRAINT invoice_lines_none").await;
        let invoice = bill(&world.admin).await;
        numbers.push(world.admin.get(&format!("/v1/invoices/{}", id(&invoice))).await.ok()["number"].clone());
    }
    assert_eq!(numbers, ["INV-2027-000001", "INV-2027-000002", "INV-2028-000001", "INV-2028-000002"]);
    assert_in_order(&world.server.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_short_is_gone_on_with() {
    let world = World::new().await;
    add_charges(&world, 6500, 5).await;
    let cx = service(&world.server);
    let mut invoices = 0;
    let mut runs = 0;
    loop {
        let done = billing::run(&cx, cx.today()).await.unwrap();
        (invoices, runs) = (invoices + done.invoices, runs + 1);
        assert_in_order(&world.server.database).await;
        if done.complete {
            break;
        }
    }
    assert_eq!((invoices, runs, left(&world).await.as_str()), (7, 3, "0"));
    let counts = "SELECT string_agg(line_count::text, ' ' ORDER BY number_sequence) FROM invoices \
                  WHERE number_year = 2027";
    assert_eq!(world.server.database.text(counts).await, "1000 1000 1000 1000 1000 1000 503");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_not_split_between_batches() {
    let world = World::new().await;
    add_charges(&world, 400, 5).await;
    let idle = format!("/v1/customers/{}/subscriptions", id(&world.idle_customer_id));
    for _ in 0..3 {
        world.admin.post(&idle, basket(&world.product_id, 1)).await.created();
    }
    add_charges_of(&world, "customer_id", &world.idle_customer_id, 200, 5).await;
    add_charges(&world, 600, 5).await;
    let done = run(&world, "2027-01-01").await;
    assert_eq!(
        (&done["invoices"], &done["complete"]),
        (&json!(3), &json!(true)),
        "1003 charges on two invoices, and 203 on one"
    );
    assert_in_order(&world.server.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_cannot_be_added_up_go_on_several_invoices() {
    let world = World::new().await;
    run(&world, "2027-01-01").await;
    add_charges(&world, 3, MAX_AMOUNT).await;
    for complete in [false, false, true] {
        let done = run(&world, "2027-01-01").await;
        assert_eq!((&done["invoices"], &done["complete"]), (&json!(1), &json!(complete)));
        assert_eq!(done["totals"], json!([{ "amount": MAX_AMOUNT, "currency": "USD" }]));
    }
    assert_in_order(&world.server.database).await;
}

/// Adds 60 customers with two charges each.
async fn crowd(world: &World) {
    let customers = (0..60).map(async |number| {
        let customer = world.admin.post("/v1/customers", company(&format!("Customer {number}"))).await.created();
        let mut body = basket(&world.product_id, 1);
        let inventory =
            [("dv", 1), ("ov", 2)].map(|(code, quantity)| json!({ "certificate_type": code, "quantity": quantity }));
        body["subscriptions"][0]["inventory"] = json!(inventory);
        world.admin.post(&format!("/v1/customers/{}/subscriptions", id(&customer["id"])), body).await.created();
    });
    join_all(customers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_runs_at_once_each_charge_is_billed_by_one() {
    let world = World::new().await;
    crowd(&world).await;
    let answers = at_once((0..8).map(|_| act(&world.admin, "/v1/invoices/run"))).await;
    let sum = |field: &str| answers.iter().map(|answer| answer.body[field].as_i64().unwrap()).sum::<i64>();
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body["complete"] == true));
    assert_eq!((sum("invoices"), sum("charges"), left(&world).await.as_str()), (61, 123, "0"));
    assert_in_order(&world.server.database).await;
    let numbers = "SELECT concat_ws(' ', min(number_sequence), max(number_sequence), count(*)) FROM invoices \
                   WHERE number_year = 2027";
    assert_eq!(world.server.database.text(numbers).await, "1 61 61");
}

#[tokio::test(flavor = "multi_thread")]
async fn invoices_can_be_voided_while_runs_bill_again_what_they_give_back() {
    let world = World::new().await;
    crowd(&world).await;
    world.admin.act("/v1/invoices/run").await.ok();
    let invoices = all(&world.admin, "/v1/invoices").await;
    let voids = invoices.iter().map(|invoice| format!("/v1/invoices/{}/void", id(&invoice["id"])));
    let runs = (0..20).map(|_| "/v1/invoices/run".to_owned());
    let mixed: Vec<_> = voids.zip(runs.cycle()).flat_map(|(void, run)| [void, run]).collect();
    let answers = at_once(mixed.iter().map(|path| act(&world.admin, path))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "there is no deadlock");
    assert_in_order(&world.server.database).await;
    world.admin.act("/v1/invoices/run").await.ok();
    assert_eq!(left(&world).await, "0");
    assert_in_order(&world.server.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_leaves_nothing_half_done() {
    let world = World::new().await;
    crowd(&world).await;
    add_charges(&world, 2500, 5).await;
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut killed = 0;
    for round in 0..12 {
        let cx = service(&world.server);
        let run = tokio::spawn(async move { billing::run_monthly(&cx, 1).await });
        tokio::time::sleep(Duration::from_millis(round * 9)).await;
        world.server.database.text(kill).await;
        killed += i32::from(run.await.unwrap().is_err());
        assert_in_order(&world.server.database).await;
    }
    assert!(killed > 0, "some runs were killed before their end");
    let cx = service(&world.server);
    // The pool may still have a connection that was killed.
    while billing::run_monthly(&cx, 1).await.is_err() {}
    assert_eq!(left(&world).await, "0");
    assert_in_order(&world.server.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_cancelled_during_a_run_waits_for_no_one() {
    let world = World::new().await;
    let mut paths = vec!["/v1/invoices/run".to_owned(); 10];
    for _ in 0..10 {
        paths.push(format!("{}/cancel", subscribe(&world, json!({ "start_date": "2027-01-02" })).await));
    }
    let answers = at_once(paths.iter().rev().map(|path| act(&world.admin, path))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let voided = "SELECT count(*) FROM charges WHERE status = 'voided' AND invoice_id IS NULL";
    assert_eq!(world.server.database.text(voided).await, "10");
    assert_in_order(&world.server.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_month_is_billed_once_on_its_invoice_day() {
    let world = World::new().await;
    let months = async || {
        let runs = billing::run_monthly(&service(&world.server), 10).await.unwrap();
        runs.into_iter().map(|(month, run)| (month.through.to_string(), run.charges)).collect::<Vec<_>>()
    };
    let of = |through: &str, charges: i64| (through.to_owned(), charges);
    assert_eq!(months().await, [], "it is not the 10th yet");
    on_day(&world.server, "2027-01-12");
    assert_eq!(months().await, [of("2027-01-10", 3)]);
    assert_eq!(months().await, []);

    subscribe(&world, json!({})).await;
    on_day(&world.server, "2027-02-09");
    assert_eq!(months().await, [], "charges after the 10th wait for the next run");
    on_day(&world.server, "2027-04-10");
    assert_eq!(
        months().await,
        [of("2027-02-10", 2), of("2027-03-10", 0), of("2027-04-10", 0)],
        "a late run bills everything"
    );
    let recorded = "SELECT string_agg(concat_ws(' ', month, through), ', ' ORDER BY month) FROM invoice_runs";
    let expected = "2027-01-01 2027-01-10, 2027-02-01 2027-02-10, 2027-03-01 2027-03-10, 2027-04-01 2027-04-10";
    assert_eq!(world.server.database.text(recorded).await, expected);
    assert_in_order(&world.server.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_bill_a_month_at_once_bill_it_once() {
    let world = World::new().await;
    crowd(&world).await;
    let instances = (0..6).map(|_| {
        let cx = service(&world.server);
        tokio::spawn(async move { billing::run_monthly(&cx, 1).await.unwrap() })
    });
    let runs = join_all(instances).await.into_iter().flat_map(Result::unwrap);
    assert_eq!(runs.map(|(_, run)| run.invoices).sum::<i64>(), 61);
    assert_eq!(world.server.database.text("SELECT count(*) FROM invoice_runs").await, "1");
    assert_in_order(&world.server.database).await;
}
