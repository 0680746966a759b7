//! Many operations in random order: sequentially, compared with a model, and concurrently. Also races with a controlled
//! order.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use partner_platform::domain::authorization::Role;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::steps::{all, assert_ledger_adds_up, subscribe, whole_orders};
use crate::support::world::{World, basket, company, id, product};
use crate::support::{Answer, Client};

/// A random generator with a seed, so that a failure can be reproduced.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % sides).unwrap()
    }

    fn certificate_type(&mut self) -> &'static str {
        ["dv", "ov"][usize::try_from(self.roll(2)).unwrap()]
    }
}

async fn raise(client: &Client, path: &str, code: &str, add: i64) -> Answer {
    let body = json!({ "lines": [{ "certificate_type": code, "add": add }] });
    client.post(&format!("{path}/inventory/current"), body).await
}

async fn set(client: &Client, path: &str, code: &str, quantity: Option<i64>) -> Answer {
    let body = json!({ "lines": [{ "certificate_type": code, "quantity": quantity }] });
    client.put(&format!("{path}/inventory/renewal"), body).await
}

async fn allocate(client: &Client, path: &str, code: &str, quantity: i64, reference: &str) -> Answer {
    let body = json!({ "certificate_type": code, "quantity": quantity, "reference": reference });
    client.post(&format!("{path}/allocations"), body).await
}

async fn release(client: &Client, allocation: &Value) -> Answer {
    client.act(&format!("/v1/allocations/{}/release", id(allocation))).await
}

/// The expected numbers of one line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Expected {
    current: i64,
    renewal: Option<i64>,
    used: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_and_the_ledger_are_what_a_sequence_of_operations_makes_of_them() {
    let world = World::new().await;
    for seed in 0..3 {
        let mut dice = Dice(seed);
        let path = subscribe(&world, json!({ "inventory": [{ "certificate_type": "dv", "quantity": 5 }] })).await;
        let mut lines = BTreeMap::from([("dv", Expected { current: 5, ..Expected::default() })]);
        let mut open: Vec<(&str, i64, Value)> = Vec::new();
        for step in 0..60 {
            let (code, number) = (dice.certificate_type(), dice.roll(6) + 1);
            let line = lines.get(code).copied().unwrap_or_default();
            match dice.roll(5) {
                0 => {
                    raise(&world.admin, &path, code, number).await.created();
                    lines.insert(code, Expected { current: line.current + number, ..line });
                }
                1 => {
                    let renewal = (number > 2).then_some(number);
                    set(&world.admin, &path, code, renewal).await.ok();
                    if renewal.is_some() || lines.contains_key(code) {
                        lines.insert(code, Expected { renewal, ..line });
                    }
                }
                2 if !open.is_empty() => {
                    let (code, quantity, allocation) = open.swap_remove(usize::try_from(number).unwrap() % open.len());
                    release(&world.admin, &allocation).await.ok();
                    lines.get_mut(code).unwrap().used -= quantity;
                }
                _ => {
                    let answer = allocate(&world.admin, &path, code, number, &format!("step {step}")).await;
                    if line.used + number > line.current {
                        answer.problem(409, "inventory_exhausted");
                    } else {
                        open.push((code, number, answer.created()["id"].clone()));
                        lines.insert(code, Expected { used: line.used + number, ..line });
                    }
                }
            }
        }
        let inventory = world.admin.get(&format!("{path}/inventory")).await.ok();
        let found = inventory["data"].as_array().unwrap().iter().map(|line| {
            let number = |value: &Value| value.as_i64().unwrap();
            let (current, used) = (number(&line["current"]["quantity"]), number(&line["current"]["used"]));
            assert_eq!(line["current"]["available"], current - used);
            assert_eq!(line["current"]["overage"], 0);
            let renewal = line["renewal"]["quantity"].as_i64();
            assert_eq!(line["renewal"]["effective_quantity"], renewal.unwrap_or(current));
            (line["certificate_type"].as_str().unwrap(), Expected { current, renewal, used })
        });
        assert_eq!(found.collect::<BTreeMap<_, _>>(), lines, "seed {seed}");
        assert_ledger_adds_up(&world.admin, &path).await;
    }
}

/// The random operations of one client.
async fn rage(client: Client, path: String, seed: u64) {
    let mut dice = Dice(seed);
    let mut open: Vec<Value> = Vec::new();
    for step in 0..25 {
        let (code, number) = (dice.certificate_type(), dice.roll(4) + 1);
        let answer = match dice.roll(10) {
            0 => client.act(&format!("{path}/suspend")).await,
            1 | 2 => client.act(&format!("{path}/enable")).await,
            3 => raise(&client, &path, code, number).await,
            4 => set(&client, &path, code, (number > 1).then_some(number)).await,
            5 => client.patch(&path, json!({ "external_id": format!("{seed} {step}") })).await,
            6 if !open.is_empty() => release(&client, &open.swap_remove(0)).await,
            _ => {
                let answer = allocate(&client, &path, code, number, &format!("{seed} {step}")).await;
                open.extend((answer.status == 201).then(|| answer.body["id"].clone()));
                answer
            }
        };
        let refusals = ["subscription_suspended", "inventory_exhausted"];
        let refused = answer.status == 409 && refusals.iter().any(|code| answer.body["code"] == *code);
        assert!(answer.status < 300 || refused, "{}: {}", answer.status, answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_storm_everything_adds_up() {
    let world = World::new().await;
    let path = subscribe(&world, json!({ "inventory": [{ "certificate_type": "dv", "quantity": 20 }] })).await;
    let mut tasks = Vec::new();
    for seed in 0..8 {
        let client = world.server.client(Role::Admin, (seed % 2 == 0).then_some(&world.reseller_id)).await;
        tasks.push(tokio::spawn(rage(client, path.clone(), seed)));
    }
    join_all(tasks).await.into_iter().for_each(Result::unwrap);

    assert_ledger_adds_up(&world.admin, &path).await;
    let allocations = all(&world.admin, &format!("{path}/allocations")).await;
    let orders = whole_orders(&world.admin, &format!("/v1/orders?subscription_id={}", &path[18..])).await;
    let charges = all(&world.admin, "/v1/charges").await;
    let charges: Vec<_> = charges.iter().filter(|charge| path.ends_with(id(&charge["subscription_id"]))).collect();
    for line in world.admin.get(&path).await.ok()["inventory"].as_array().unwrap() {
        let code = &line["certificate_type"];
        let (quantity, used) = (&line["current"]["quantity"], &line["current"]["used"]);
        assert!(used.as_i64() <= quantity.as_i64(), "{line}");
        let open = allocations.iter().filter(|it| it["status"] == "open" && it["certificate_type"] == *code);
        assert_eq!(*used, open.map(|it| it["quantity"].as_i64().unwrap()).sum::<i64>(), "{line}");
        let ordered = orders.iter().flat_map(|order| order["lines"].as_array().unwrap());
        let ordered = ordered.filter(|it| it["certificate_type"] == *code && it["bucket"] == "current");
        let ordered =
            ordered.map(|it| it["quantity_after"].as_i64().unwrap() - it["quantity_before"].as_i64().unwrap());
        assert_eq!(*quantity, ordered.sum::<i64>(), "{line}");
        let paid = charges.iter().filter(|it| it["certificate_type"] == *code);
        assert_eq!(*quantity, paid.map(|it| it["calculation"]["quantity"].as_i64().unwrap()).sum::<i64>(), "{line}");
    }
}

/// A patch that removes `ov` from the product.
fn without_ov() -> Value {
    let mut change = product("unused");
    change.as_object_mut().unwrap().retain(|field, _| field == "certificate_types" || field == "prices");
    change["certificate_types"].as_array_mut().unwrap().retain(|it| it["code"] != "ov");
    change["prices"].as_array_mut().unwrap().retain(|it| it["certificate_type"] != "ov");
    change
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_is_dropped_from_a_product_or_sold_but_not_both() {
    let world = World::new().await;
    for round in 0..6 {
        let product = world.admin.post("/v1/products", product(&format!("round-{round}"))).await.created();
        let (path, client) = (format!("/v1/products/{}", id(&product["id"])), world.admin.clone());
        let mut body = basket(&product["id"], 1);
        body["subscriptions"][0]["inventory"][0]["certificate_type"] = json!("ov");
        let drop = tokio::spawn(async move { client.patch(&path, without_ov()).await });
        let (to, client) = (world.customer("/subscriptions"), world.admin.clone());
        let add = tokio::spawn(async move { client.post(&to, body).await });
        let (dropped, added) = (drop.await.unwrap(), add.await.unwrap());
        if dropped.status == 200 {
            let pointer = "/subscriptions/0/inventory/0/certificate_type".to_owned();
            assert_eq!(added.violations(), [(pointer, "certificate_type_not_in_product".to_owned())]);
        } else {
            dropped.problem(409, "certificate_type_in_use");
            added.created();
        }
    }
}

/// Takes locks in the database until the caller commits.
async fn hold(world: &World, sql: &str) -> tokio_postgres::Client {
    let url = world.server.database.url.replace("sslmode=disable", "");
    let (holder, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    holder.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
    holder
}

/// Waits until so many of the service's connections wait for a lock.
async fn waiting(world: &World, count: i32) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while world.server.database.text(sql).await != count.to_string() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends the second request after the first has checked its preconditions and before it has written. The second has to
/// wait. Returns both responses.
async fn slow_motion<A, B>(world: &World, sql: &str, first: A, second: B) -> (Answer, Answer)
where
    A: Future<Output = Answer> + Send + 'static,
    B: Future<Output = Answer> + Send + 'static,
{
    let holder = hold(world, sql).await;
    let first = tokio::spawn(first);
    waiting(world, 1).await;
    let mut second = tokio::spawn(second);
    tokio::select! {
        answer = &mut second => panic!("the second request did not wait: {}", answer.unwrap().body),
        () = waiting(world, 2) => {}
    }
    holder.batch_execute("COMMIT").await.unwrap();
    (first.await.unwrap(), second.await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_is_being_added_to_a_subscription_is_not_dropped_meanwhile() {
    let world = World::new().await;
    for renewal in [true, false] {
        let product = world.admin.post("/v1/products", product(&format!("held-{renewal}"))).await.created();
        let path = subscribe(&world, json!({ "product_id": product["id"] })).await;
        let (adds, drops) = (world.admin.clone(), world.admin.clone());
        let add = async move {
            if renewal { set(&adds, &path, "ov", Some(1)).await } else { raise(&adds, &path, "ov", 1).await }
        };
        let to = format!("/v1/products/{}", id(&product["id"]));
        let drop = async move { drops.patch(&to, without_ov()).await };
        // An order waits for the row of its customer.
        let (added, dropped) = slow_motion(&world, "SELECT 1 FROM customers FOR UPDATE", add, drop).await;
        assert!(added.status < 300, "{}", added.body);
        dropped.problem(409, "certificate_type_in_use");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reseller_that_is_being_given_a_customer_is_not_disabled_meanwhile() {
    let world = World::new().await;
    let mut body = company("Just in time");
    body["partner_id"] = world.other_reseller_id.clone();
    let (creates, disables) = (world.admin.clone(), world.admin.clone());
    let create = async move { creates.post("/v1/customers", body).await };
    let to = format!("/v1/resellers/{}/disable", id(&world.other_reseller_id));
    let disable = async move { disables.act(&to).await };
    let (created, disabled) = slow_motion(&world, "LOCK TABLE customers IN SHARE MODE", create, disable).await;
    created.created();
    assert_eq!(disabled.ok()["status"], "disabled");
}
