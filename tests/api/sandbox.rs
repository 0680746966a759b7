//! The clock of a sandbox.

use chrono::{DateTime, Days, Months, NaiveDate, TimeDelta, Utc};
use partner_platform::domain::authorization::Role;
use partner_platform::ops::sandbox;
use serde_json::{Value, json};

use crate::steps::{all, on_day, subscribe};
use crate::support::world::{World, basket, company, id, product};
use crate::support::{Client, Lock, Server};
use crate::worker::until;

const CLOCK: &str = "/v1/sandbox/clock";

async fn shown(client: &Client) -> Value {
    client.get(CLOCK).await.ok()
}

fn still(now: &str) -> Value {
    json!({ "now": now, "moving_to": null })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_no_sandbox_has_no_clock_to_move() {
    let server = Server::production().await;
    let admin = server.admin().await;
    let before = server.database.fingerprint().await;
    admin.get("/v1/sandbox/clock").await.problem(404, "not_found");
    admin.post("/v1/sandbox/clock", json!({ "advance_days": 1 })).await.problem(404, "not_found");
    assert_eq!(before, server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_moved_by_days_or_to_an_instant_and_goes_on_from_there() {
    let server = Server::start().await;
    let admin = server.admin().await;
    assert_eq!(shown(&admin).await, still("2027-01-01T12:00:00Z"));
    let moved = admin.post(CLOCK, json!({ "advance_days": 30 })).await.ok();
    assert_eq!(moved, still("2027-01-31T12:00:00Z"));
    assert_eq!(shown(&admin).await, moved);
    let instant = "2027-03-04T05:06:07.890123Z";
    assert_eq!(admin.post(CLOCK, json!({ "now": instant })).await.ok(), still(instant), "to the microsecond");
    let customer = admin.post("/v1/customers", company("Of the future")).await.created();
    assert_eq!(customer["created_at"], instant);
    assert_eq!(admin.post(CLOCK, json!({ "now": instant })).await.ok(), still(instant), "it is there already");
    let zone = json!({ "now": "2027-03-04T08:00:00+02:00" });
    assert_eq!(admin.post(CLOCK, zone).await.ok(), still("2027-03-04T06:00:00Z"));
    // An hour of the machine's clock is an hour.
    server.clock.set(server.clock.machine() + TimeDelta::hours(1));
    assert_eq!(shown(&admin).await, still("2027-03-04T07:00:00Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_goes_forwards_only_and_ten_years_at_the_most() {
    let world = World::new().await;
    world.admin.post(CLOCK, json!({ "advance_days": 10 })).await.ok();
    let before = world.server.database.fingerprint().await;
    let cases = [
        (json!({ "now": "2027-01-11T11:59:59.999999Z" }), "/now", "out_of_range"),
        (json!({ "now": "2000-01-01T00:00:00Z" }), "/now", "out_of_range"),
        (json!({ "now": "2037-01-11T12:00:00.000001Z" }), "/now", "out_of_range"),
        (json!({ "now": "9999-12-31T23:59:59Z" }), "/now", "out_of_range"),
        (json!({ "now": "tomorrow" }), "/now", "invalid_format"),
        (json!({ "advance_days": 0 }), "/advance_days", "out_of_range"),
        (json!({ "advance_days": -1 }), "/advance_days", "out_of_range"),
        (json!({ "advance_days": 3654 }), "/advance_days", "out_of_range"),
        (json!({}), "/advance_days", "required"),
        (json!({ "advance_days": 1, "now": "2027-02-01T00:00:00Z" }), "/now", "not_allowed"),
    ];
    for (body, pointer, code) in cases {
        let found = world.admin.post(CLOCK, body.clone()).await.violations();
        assert_eq!(found, [(pointer.to_owned(), code.to_owned())], "{body}");
    }
    assert_eq!(world.server.database.fingerprint().await, before, "nothing changed");
    assert_eq!(shown(&world.admin).await, still("2027-01-11T12:00:00Z"));
    let latest = "2037-01-11T12:00:00Z";
    assert_eq!(world.admin.post(CLOCK, json!({ "now": latest })).await.ok(), still(latest), "3653 days");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partners_administrator_moves_the_clock_and_everyone_reads_it() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for role in Role::ALL {
        for reseller in [None, Some(&world.reseller_id)] {
            let may = *role == Role::Admin && reseller.is_none();
            let client = world.server.client(*role, reseller).await;
            assert_eq!(shown(&client).await, still("2027-01-01T12:00:00Z"));
            if !may {
                client.post(CLOCK, json!({ "advance_days": 1 })).await.problem(403, "forbidden");
            }
        }
    }
    let ahead = world.server.database.text("SELECT count(*) FROM sandbox_clock").await;
    assert_eq!(ahead, "0", "the clock was not moved");
    assert_ne!(world.server.database.fingerprint().await, before, "there are new keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_falls_due_on_the_way_happens_on_its_day_at_that_days_prices() {
    let world = World::new().await;
    let path = subscribe(&world, json!({ "term_months": 1 })).await;
    world.admin.post(CLOCK, json!({ "advance_days": 45 })).await.ok();
    let mut dearer = product("tls")["prices"].clone();
    dearer.as_array_mut().unwrap().iter_mut().for_each(|price| price["unit_price"]["amount"] = json!(1111));
    world.admin.patch(&format!("/v1/products/{}", id(&world.product_id)), json!({ "prices": dearer })).await.ok();
    world.admin.post(CLOCK, json!({ "advance_days": 45 })).await.ok();
    // Without another request, because the move has processed it.
    let sql = format!(
        "SELECT string_agg(confirmed_at::date || ' ' || total, ', ' ORDER BY confirmed_at) FROM orders \
         WHERE kind = 'renewal' AND id IN (SELECT order_id FROM order_lines WHERE subscription_id = '{}')",
        &path[18..]
    );
    assert_eq!(world.server.database.text(&sql).await, "2027-02-01 4950, 2027-03-01 5555, 2027-04-01 5555");
    let of = |field: &str| format!("SELECT {field} FROM subscriptions WHERE id = '{}'", id(&world.lapsed_id));
    assert_eq!(world.server.database.text(&of("status")).await, "expired", "after 90 days lapsed");
}

/// A subscription of the year, and its expected development.
struct Case {
    months: u32,
    start: NaiveDate,
    quantity: i64,
    renewal: Option<i64>,
    auto_renew: bool,
    suspended: bool,
}

const MONTHS: [u32; 5] = [1, 3, 6, 12, 24];

/// The price of one certificate of the product.
fn price(months: u32) -> i64 {
    i64::from(months) * 1_003
}

impl Case {
    fn of(index: usize, today: NaiveDate) -> Self {
        let start = match index % 7 {
            // Some start later, and some have already started.
            0 => today + Days::new(u64::try_from(index).unwrap() % 300 + 1),
            1 => today - Days::new(20),
            _ => today,
        };
        Self {
            months: MONTHS[index % 5],
            start,
            quantity: 1 + i64::try_from(index % 4).unwrap(),
            renewal: [None, Some(0), Some(6)][index % 3],
            auto_renew: !index.is_multiple_of(11),
            suspended: index % 7 > 1 && index.is_multiple_of(13),
        }
    }

    fn item(&self, product_id: &Value) -> Value {
        let line = json!({ "certificate_type": "dv", "quantity": self.quantity });
        let mut item = json!({ "product_id": product_id, "term_months": self.months, "inventory": [line] });
        item["start_date"] = json!(self.start);
        item["auto_renew"] = json!(self.auto_renew);
        if let Some(renewal) = self.renewal {
            item["inventory"][0]["renewal_quantity"] = json!(renewal);
        }
        item
    }

    fn start_of(&self, number: u32) -> NaiveDate {
        self.start + Months::new(self.months * (number - 1))
    }

    /// The status, whether it has lapsed, the term and the quantity on a day.
    fn on(&self, today: NaiveDate) -> Value {
        let end = self.start_of(2);
        let renews = self.auto_renew && self.renewal != Some(0);
        let number = (1..).take_while(|number| self.start_of(*number) <= today).last().unwrap_or(1);
        let (status, lapsed, number) = match () {
            () if today < self.start => ("pending", false, 1),
            () if self.suspended && today >= end + Days::new(90) => ("expired", false, 1),
            () if self.suspended => ("suspended", today >= end, 1),
            () if today < end || renews => ("active", false, number),
            () => ("expired", false, 1),
        };
        let quantity = if number > 1 { self.renewal.unwrap_or(self.quantity) } else { self.quantity };
        json!([status, lapsed, number, self.start_of(number), self.start_of(number + 1), quantity])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_makes_of_200_subscriptions_what_the_rules_say() {
    let world = World::new().await;
    let today = world.server.clock.now().date_naive();
    let prices = MONTHS.map(|months| {
        json!({ "certificate_type": "dv", "term_months": months, "unit_price": { "amount": price(months), "currency": "USD" } })
    });
    let types = json!([{ "code": "dv", "name": "Domain validated", "max_quantity": 10 }]);
    let year = json!({ "code": "year", "name": "Year", "certificate_types": types, "terms": MONTHS, "prices": prices });
    let product = world.admin.post("/v1/products", year).await.created();
    let cases: Vec<_> = (0..200).map(|index| Case::of(index, today)).collect();
    let mut paths = Vec::new();
    for part in cases.chunks(50) {
        let items: Vec<_> = part.iter().map(|case| case.item(&product["id"])).collect();
        let body = json!({ "auto_renew": true, "subscriptions": items });
        let added = world.admin.post(&world.customer("/subscriptions"), body).await.created();
        for (subscription, case) in added["subscriptions"].as_array().unwrap().iter().zip(part) {
            let path = format!("/v1/subscriptions/{}", id(&subscription["id"]));
            if case.suspended {
                world.admin.act(&format!("{path}/suspend")).await.ok();
            }
            paths.push(path);
        }
    }
    assert_eq!(world.admin.post(CLOCK, json!({ "advance_days": 365 })).await.ok(), still("2028-01-01T12:00:00Z"));

    let today = today + Days::new(365);
    let due = format!("SELECT count(*) FROM subscriptions WHERE due_date <= '{today}'");
    assert_eq!(world.server.database.text(&due).await, "0", "the move has processed everything");
    let subscriptions = all(&world.admin, "/v1/subscriptions").await;
    let charges = all(&world.admin, "/v1/charges").await;
    let mut states = std::collections::BTreeSet::new();
    for (case, path) in cases.iter().zip(&paths) {
        let subscription = subscriptions.iter().find(|it| it["id"] == path[18..]).unwrap();
        let (term, line) = (&subscription["term"], &subscription["inventory"][0]);
        let seen = json!([
            subscription["status"],
            subscription["lapsed"],
            term["number"],
            term["start_date"],
            term["end_date"],
            line["current"]["quantity"]
        ]);
        assert_eq!(seen, case.on(today), "{subscription}");
        states.insert(json!([seen[0], seen[1]]).to_string());
        let renewed = charges.iter().filter(|it| it["subscription_id"] == path[18..]).filter(|it| {
            it["calculation"]["remaining_days"] == it["calculation"]["term_days"] && it["due_date"] != json!(case.start)
        });
        let renewed: Vec<_> = renewed.map(|it| it["amount"]["amount"].as_i64().unwrap()).collect();
        let number = usize::try_from(seen[2].as_i64().unwrap()).unwrap();
        let full = price(case.months) * case.renewal.unwrap_or(case.quantity);
        assert_eq!(renewed, vec![full; number - 1], "{subscription}");
    }
    let all_states = ["[\"active\",false]", "[\"expired\",false]", "[\"suspended\",false]", "[\"suspended\",true]"];
    assert_eq!(states.iter().collect::<Vec<_>>(), all_states, "each state occurs");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_moves_at_once_add_up() {
    let world = World::new().await;
    let (first, second) = (world.admin.clone(), world.admin.clone());
    let first = tokio::spawn(async move { first.post(CLOCK, json!({ "advance_days": 20 })).await.ok() });
    let second = tokio::spawn(async move { second.post(CLOCK, json!({ "advance_days": 400 })).await.ok() });
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(shown(&world.admin).await, still("2028-02-25T12:00:00Z"));
    let terms = all(&world.admin, &world.active("/terms")).await;
    assert_eq!(terms.len(), 2, "renewed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_was_interrupted_is_finished_by_the_worker() {
    let world = World::new().await;
    let database = &world.server.database;
    let days = |days: i64| days * 86_400_000_000;
    database.execute(&format!("INSERT INTO sandbox_clock VALUES (true, {}, {})", days(10), days(400))).await;
    let target = json!({ "now": "2027-01-11T12:00:00Z", "moving_to": "2028-02-05T12:00:00Z" });
    assert_eq!(shown(&world.admin).await, target);
    assert_eq!(world.admin.get(&world.active("")).await.ok()["term"]["number"], 1);
    let worker = world.server.worker();
    until(database, "SELECT (ahead_us = target_us)::text FROM sandbox_clock", "true").await;
    until(database, "SELECT count(*) FROM subscriptions WHERE due_date <= '2028-02-05'", "0").await;
    assert_eq!(shown(&world.admin).await, still("2028-02-05T12:00:00Z"));
    let renewals = world.admin.get("/v1/orders?kind=renewal").await.ok()["data"].as_array().unwrap().len();
    assert_eq!(renewals, 2, "the active one, and the pending one");
    world.server.stop().await;
    worker.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_leaves_a_move_for_later() {
    let world = World::new().await;
    let database = &world.server.database;
    database.execute("INSERT INTO sandbox_clock VALUES (true, 0, 31536000000000)").await;
    let before = database.fingerprint().await;
    sandbox::walk(&world.server.context(), None, || true).await.unwrap();
    assert_eq!(database.fingerprint().await, before);
    sandbox::walk(&world.server.context(), None, || false).await.unwrap();
    assert_eq!(shown(&world.admin).await, still("2028-01-01T12:00:00Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_on_a_database_shows_the_same_clock_and_keeps_it() {
    let world = World::new().await;
    let other = world.server.beside().await;
    let there = other.admin().await;
    assert_eq!(shown(&there).await, still("2027-01-01T12:00:00Z"));
    world.admin.post(CLOCK, json!({ "advance_days": 31 })).await.ok();
    let pending = format!("/v1/subscriptions/{}", id(&world.pending_id));
    assert_eq!(there.get(&pending).await.ok()["status"], "active");
    let customer = there.post("/v1/customers", company("Made there")).await.created();
    assert_eq!(customer["created_at"], "2027-02-01T12:00:00Z");
    let body = basket(&world.product_id, 1);
    let added = there.post(&format!("/v1/customers/{}/subscriptions", id(&customer["id"])), body).await.created();
    assert_eq!(added["subscriptions"][0]["term"]["start_date"], "2027-02-01");

    // After a restart, only the database is left.
    let again = world.server.beside().await;
    let client = again.admin().await;
    assert_eq!(shown(&client).await, still("2027-02-01T12:00:00Z"));
    client.post(CLOCK, json!({ "advance_days": 1 })).await.ok();
    assert_eq!(shown(&world.admin).await, still("2027-02-02T12:00:00Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_request_has_read_does_not_put_the_clock_back() {
    let server = Server::start().await;
    let later: DateTime<Utc> = "2027-02-01T12:00:00Z".parse().unwrap();
    server.clock.set_ahead(TimeDelta::days(31));
    server.clock.set_ahead(TimeDelta::days(30));
    assert_eq!(server.clock.now(), later);
    on_day(&server, "2027-01-02");
    assert_eq!(server.clock.now(), later + TimeDelta::days(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_whose_answer_was_lost_is_made_once_and_answered_where_it_goes() {
    let world = World::new().await;
    let client = world.admin.with("idempotency-key", "a-year");
    let move_it = || {
        let client = client.clone();
        async move { client.post(CLOCK, json!({ "advance_days": 365 })).await }
    };
    // The move of the clock waits for this lock.
    let lock = Lock::hold(&world.server.database, "subscriptions").await;
    let lost = tokio::spawn(move_it());
    lock.wait_for(1).await;
    lost.abort();
    let known = world.admin.get("/v1/idempotency-keys/a-year").await.ok();
    assert_eq!((&known["state"], &known["status"]), (&json!("completed"), &json!(200)));
    let again = move_it().await;
    let target = json!({ "now": "2027-01-01T12:00:00Z", "moving_to": "2028-01-01T12:00:00Z" });
    assert_eq!((again.header("idempotency-replayed"), &again.body), ("true", &target));
    assert_eq!(shown(&world.admin).await, target, "once");
    lock.release().await;
    sandbox::walk(&world.server.context(), None, || false).await.unwrap();
    assert_eq!(shown(&world.admin).await, still("2028-01-01T12:00:00Z"));
    let told = world.admin.get("/v1/audit-entries?operation=moveSandboxClock").await.ok();
    assert_eq!(told["data"].as_array().unwrap().len(), 1);
}
