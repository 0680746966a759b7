//! Which price list applies: in offers, quotes, orders and renewals, and from when on.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::price_lists::create;
use crate::steps::{on_day, whole_orders};
use crate::support::world::{World, basket, company, id, price_list_in};
use crate::support::{Answer, Client};

/// A world with lists in the currency of its customer.
struct Market {
    world: World,
    /// The path of the customer, which has no orders.
    customer: String,
    /// The paths and ids of two lists that are not assigned.
    first: (String, Value),
    second: (String, Value),
}

fn assign(list: &Value) -> Value {
    json!({ "price_list_id": list })
}

impl Market {
    /// The first list has a price for `dv`, the second for `dv` and `ov`, both for 12 months.
    async fn open() -> Self {
        let world = World::new().await;
        let first = price_list_in("USD", "First", &world.product_id, &[("dv", 12, 4_000)]);
        let (path, list) = create(&world.admin, first).await;
        let first = (path, list["id"].clone());
        let second = price_list_in("USD", "Second", &world.product_id, &[("dv", 12, 5_000), ("ov", 12, 6_000)]);
        let (path, list) = create(&world.admin, second).await;
        let second = (path, list["id"].clone());
        let customer = format!("/v1/customers/{}", id(&world.idle_customer_id));
        Self { world, customer, first, second }
    }

    async fn assign_to_customer(&self, list: &Value) {
        self.world.admin.patch(&self.customer, assign(list)).await.ok();
    }

    async fn assign_to_reseller(&self, list: &Value) {
        let path = format!("/v1/resellers/{}", id(&self.world.reseller_id));
        self.world.admin.patch(&path, assign(list)).await.ok();
    }

    /// Sets the price of `dv` for 12 months in the first list.
    async fn reprice(&self, amount: i64) {
        let body = price_list_in("USD", "First", &self.world.product_id, &[("dv", 12, amount)]);
        self.world.admin.patch(&self.first.0, json!({ "prices": body["prices"] })).await.ok();
    }

    /// One `dv` and one `ov` for a year.
    fn basket(&self) -> Value {
        let mut body = basket(&self.world.product_id, 1);
        body["subscriptions"][0]["inventory"] =
            json!([{ "certificate_type": "dv", "quantity": 1 }, { "certificate_type": "ov", "quantity": 1 }]);
        body
    }

    fn subscriptions(&self) -> String {
        format!("{}/subscriptions", self.customer)
    }

    async fn preview(&self) -> Value {
        self.world.admin.post(&format!("{}/preview", self.subscriptions()), self.basket()).await.ok()
    }

    async fn confirm(&self, quote: &Value) -> Answer {
        let mut body = self.basket();
        body["digest"] = quote["digest"].clone();
        self.world.admin.post(&self.subscriptions(), body).await
    }

    /// Adds a subscription, and returns its path.
    async fn subscribe(&self) -> String {
        let added = self.world.admin.post(&self.subscriptions(), self.basket()).await.created();
        format!("/v1/subscriptions/{}", id(&added["subscriptions"][0]["id"]))
    }
}

/// The unit prices of the lines of a quote or order, and their price lists.
fn paid(of: &Value) -> Vec<(i64, Value)> {
    let line = |line: &Value| {
        let amount = line["calculation"]["unit_price"]["amount"].as_i64().unwrap();
        (amount, line["price_list_id"].clone())
    };
    of["lines"].as_array().unwrap().iter().map(line).collect()
}

/// The unit prices of the newest term of a subscription, by type, and their price lists.
async fn term_prices(client: &Client, subscription: &str) -> Vec<(i64, Value)> {
    let terms = client.get(&format!("{subscription}/terms")).await.ok();
    let price = |price: &Value| (price["unit_price"]["amount"].as_i64().unwrap(), price["price_list_id"].clone());
    terms["data"][0]["prices"].as_array().unwrap().iter().map(price).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_s_own_list_goes_before_its_reseller_s_and_that_before_the_product() {
    let market = Market::open().await;
    let (first, second, none) = (&market.first.1, &market.second.1, &Value::Null);
    for (own, resellers, expected) in [
        (none, none, [(9_900, none), (25_000, none)]),
        (first, none, [(4_000, first), (25_000, none)]),
        (none, second, [(5_000, second), (6_000, second)]),
        (first, second, [(4_000, first), (6_000, second)]),
        (second, first, [(5_000, second), (6_000, second)]),
        (first, first, [(4_000, first), (25_000, none)]),
        // The reseller's list in this world is in euros.
        (none, &market.world.price_list_id, [(9_900, none), (25_000, none)]),
    ] {
        market.assign_to_customer(own).await;
        market.assign_to_reseller(resellers).await;
        let expected = expected.map(|(amount, list)| (amount, list.clone()));
        let quote = market.preview().await;
        assert_eq!(paid(&quote), expected);
        assert_eq!(quote["next_renewal_total"]["amount"], expected[0].0 + expected[1].0);
        let added = market.confirm(&quote).await.created();
        assert_eq!(paid(&added["order"]), expected);
        let order = format!("/v1/orders/{}", id(&added["order"]["id"]));
        assert_eq!(paid(&market.world.own.get(&order).await.ok()), expected, "as it was confirmed");
        let subscription = format!("/v1/subscriptions/{}", id(&added["subscriptions"][0]["id"]));
        assert_eq!(term_prices(&market.world.own, &subscription).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_available_shows_the_prices_that_the_customer_pays() {
    let market = Market::open().await;
    market.assign_to_customer(&market.first.1).await;
    market.assign_to_reseller(&market.second.1).await;
    let available = market.world.own.get(&format!("{}/available-products", market.customer)).await.ok();
    let price = |certificate_type: &str, term_months: i32, amount: i64, list: &Value| {
        json!({
            "certificate_type": certificate_type, "term_months": term_months,
            "unit_price": { "amount": amount, "currency": "USD" }, "price_list_id": list,
        })
    };
    let expected = json!([
        price("dv", 12, 4_000, &market.first.1),
        price("dv", 1, 990, &Value::Null),
        price("ov", 12, 6_000, &market.second.1),
        price("ov", 1, 2_500, &Value::Null),
    ]);
    assert_eq!(available["data"][0]["prices"], expected);
    let product = market.world.own.get(&format!("/v1/products/{}", id(&market.world.product_id))).await.ok();
    assert_eq!(product["prices"][0]["unit_price"]["amount"], 9_900, "the product has its own price");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_a_price_makes_a_quote_stale() {
    let market = Market::open().await;
    market.assign_to_customer(&market.first.1).await;
    for change in ["the list's price", "the reseller's list", "the customer's reseller", "the customer's list"] {
        let quote = market.preview().await;
        match change {
            "the list's price" => market.reprice(4_100).await,
            "the reseller's list" => market.assign_to_reseller(&market.second.1).await,
            "the customer's reseller" => {
                let moved = json!({ "partner_id": market.world.other_reseller_id });
                market.world.admin.patch(&market.customer, moved).await.ok();
            }
            _ => market.assign_to_customer(&market.second.1).await,
        }
        let before = market.world.server.database.fingerprint().await;
        let fresh = market.confirm(&quote).await.problem(409, "quote_stale")["quote"].clone();
        assert_eq!(before, market.world.server.database.fingerprint().await, "{change}: nothing is written");
        assert_ne!(paid(&fresh), paid(&quote), "{change}");
        assert_eq!(fresh, market.preview().await, "{change}");
        let order = market.confirm(&fresh).await.created()["order"].clone();
        assert_eq!(paid(&order), paid(&fresh), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_no_price_of_it_leaves_a_quote_good() {
    let market = Market::open().await;
    let admin = &market.world.admin;
    market.assign_to_customer(&market.first.1).await;
    for change in ["another term's price", "the list's name", "a list that is not the customer's", "a list below"] {
        let quote = market.preview().await;
        match change {
            "another term's price" => {
                let prices = &[("dv", 12, 4_000), ("dv", 1, 1)];
                let body = price_list_in("USD", "", &market.world.product_id, prices);
                admin.patch(&market.first.0, json!({ "prices": body["prices"] })).await.ok();
            }
            "the list's name" => drop(admin.patch(&market.first.0, json!({ "name": "Renamed" })).await.ok()),
            "a list that is not the customer's" => {
                let path = format!("/v1/price-lists/{}", id(&market.world.idle_price_list_id));
                admin.patch(&path, json!({ "prices": [] })).await.ok();
            }
            _ => {
                let below = price_list_in("USD", "Below", &market.world.product_id, &[("dv", 12, 1)]);
                market.assign_to_reseller(&create(admin, below).await.1["id"]).await;
            }
        }
        let order = market.confirm(&quote).await.created()["order"].clone();
        assert_eq!(paid(&order), paid(&quote), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_for_inventory_is_stale_when_the_next_term_gets_another_price() {
    let market = Market::open().await;
    market.assign_to_customer(&market.first.1).await;
    let path = format!("{}/inventory/current", market.subscribe().await);
    let mut body = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    let quote = market.world.admin.post(&format!("{path}/preview"), body.clone()).await.ok();
    assert_eq!(quote["next_renewal_total"]["amount"], 2 * 4_000 + 25_000);
    market.reprice(4_100).await;
    body["digest"] = quote["digest"].clone();
    let fresh = market.world.admin.post(&path, body.clone()).await.problem(409, "quote_stale")["quote"].clone();
    assert_eq!(fresh["next_renewal_total"]["amount"], 2 * 4_100 + 25_000);
    assert_eq!(paid(&fresh), paid(&quote), "the running term keeps its price");
    body["digest"] = fresh["digest"].clone();
    market.world.admin.post(&path, body).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_term_keeps_its_price_and_the_next_one_has_the_list_s_of_that_day() {
    let market = Market::open().await;
    let admin = &market.world.admin;
    market.assign_to_customer(&market.first.1).await;
    let subscription = market.subscribe().await;
    let first = &market.first.1;
    market.reprice(4_500).await;
    assert_eq!(term_prices(admin, &subscription).await, [(4_000, first.clone()), (25_000, Value::Null)]);
    let add = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    let order = admin.post(&format!("{subscription}/inventory/current"), add).await.created();
    assert_eq!(paid(&order), [(4_000, first.clone())]);

    on_day(&market.world.server, "2028-01-01");
    let renewed = admin.get(&subscription).await.ok();
    assert_eq!(renewed["term"]["number"], 2);
    let expected = [(4_500, first.clone()), (25_000, Value::Null)];
    assert_eq!(term_prices(admin, &subscription).await, expected);
    let path = format!("/v1/orders?kind=renewal&subscription_id={}", id(&renewed["id"]));
    let orders = whole_orders(admin, &path).await;
    assert_eq!(orders.len(), 1);
    assert_eq!(paid(&orders[0]), expected);
    assert_eq!(orders[0]["total"]["amount"], 2 * 4_500 + 25_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_a_price_on_the_day_of_a_renewal_comes_too_late_for_it() {
    let market = Market::open().await;
    market.assign_to_customer(&market.first.1).await;
    let subscription = market.subscribe().await;
    let first = &market.first.1;
    let expected = [(4_000, first.clone()), (25_000, Value::Null)];
    let days = ["2028-01-01", "2029-01-01", "2030-01-01", "2031-01-01"];
    for (day, change) in days.into_iter().zip(["the list's price", "the list", "the reseller", "the reseller's list"]) {
        // The renewals of the day are still due, because there was no request since.
        on_day(&market.world.server, day);
        match change {
            "the list's price" => market.reprice(1).await,
            "the list" => market.assign_to_customer(&Value::Null).await,
            "the reseller" => {
                let moved = json!({ "partner_id": market.world.other_reseller_id });
                market.world.admin.patch(&market.customer, moved).await.ok();
            }
            _ => market.assign_to_reseller(&Value::Null).await,
        }
        assert_eq!(term_prices(&market.world.admin, &subscription).await, expected, "{change}");
        // For the next year, the price is as before.
        market.reprice(4_000).await;
        match change {
            "the list" => market.assign_to_reseller(first).await,
            _ => {
                let back = json!({ "partner_id": market.world.reseller_id });
                market.world.admin.patch(&market.customer, back).await.ok();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_moves_pays_by_its_new_reseller_s_list() {
    let market = Market::open().await;
    let admin = &market.world.admin;
    market.assign_to_reseller(&market.first.1).await;
    let subscription = market.subscribe().await;
    let other = format!("/v1/resellers/{}", id(&market.world.other_reseller_id));
    admin.patch(&other, assign(&market.second.1)).await.ok();
    let (first, second) = (market.first.1.clone(), market.second.1.clone());
    for (partner_id, expected) in [
        (&market.world.other_reseller_id, [(5_000, second.clone()), (6_000, second.clone())]),
        (&Value::Null, [(9_900, Value::Null), (25_000, Value::Null)]),
        (&market.world.reseller_id, [(4_000, first.clone()), (25_000, Value::Null)]),
    ] {
        admin.patch(&market.customer, json!({ "partner_id": partner_id })).await.ok();
        assert_eq!(paid(&market.preview().await), expected, "{partner_id}");
        assert_eq!(
            term_prices(admin, &subscription).await[0],
            (4_000, first.clone()),
            "the running term is not affected"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_subscription_is_renewed_by_the_list() {
    let world = World::new().await;
    let monthly = price_list_in("USD", "Monthly", &world.product_id, &[("dv", 1, 500)]);
    let (_, list) = create(&world.admin, monthly).await;
    let path = format!("/v1/subscriptions/{}/renew", id(&world.lapsed_id));
    let before = world.admin.act(&format!("{path}/preview")).await.ok();
    assert_eq!(paid(&before), [(990, Value::Null)]);
    world.admin.patch(&world.customer(""), assign(&list["id"])).await.ok();
    let digest = json!({ "digest": before["digest"] });
    let fresh = world.admin.post(&path, digest).await.problem(409, "quote_stale")["quote"].clone();
    assert_eq!(paid(&fresh), [(500, list["id"].clone())]);
    world.admin.post(&path, json!({ "digest": fresh["digest"] })).await.ok();
    let subscription = format!("/v1/subscriptions/{}", id(&world.lapsed_id));
    assert_eq!(term_prices(&world.admin, &subscription).await[0], (500, list["id"].clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn confirmations_that_race_a_change_of_prices_charge_the_old_or_the_new_but_no_mixture() {
    let market = Market::open().await;
    let world = &market.world;
    market.assign_to_reseller(&market.second.1).await;
    let list = &market.second.1;
    let of = |dv: i64, ov: i64| vec![(dv, list.clone()), (ov, list.clone())];
    let mut old = (5_000, 6_000);
    for round in 0..4 {
        let new = (5_000 + 100 * (round + 1), 6_000 - 100 * (round + 1));
        let mut confirmations = Vec::new();
        for number in 0..8 {
            let customer = world.own.post("/v1/customers", company(&format!("Racer {round} {number}"))).await.created();
            let path = format!("/v1/customers/{}/subscriptions", id(&customer["id"]));
            let mut body = market.basket();
            // Half of them confirm the old prices; the others accept the present ones.
            if number % 2 == 0 {
                let quote = world.own.post(&format!("{path}/preview"), body.clone()).await.ok();
                assert_eq!(paid(&quote), of(old.0, old.1));
                body["digest"] = quote["digest"].clone();
            }
            confirmations.push((world.own.clone(), path, body));
        }
        let prices = price_list_in("USD", "", &world.product_id, &[("dv", 12, new.0), ("ov", 12, new.1)]);
        let (admin, path, patch) =
            (world.admin.clone(), market.second.0.clone(), json!({ "prices": prices["prices"] }));
        let change = tokio::spawn(async move { admin.patch(&path, patch).await });
        let confirmations = confirmations.into_iter().map(|(client, path, body)| {
            let reviewed = body.get("digest").is_some();
            tokio::spawn(async move { (reviewed, client.post(&path, body).await) })
        });
        let answers = join_all(confirmations).await;
        change.await.unwrap().ok();
        for (reviewed, answer) in answers.into_iter().map(Result::unwrap) {
            if reviewed && answer.status == 409 {
                assert_eq!(paid(&answer.problem(409, "quote_stale")["quote"]), of(new.0, new.1));
                continue;
            }
            let order = answer.created()["order"].clone();
            let paid = paid(&order);
            let as_reviewed = paid == of(old.0, old.1);
            assert!(as_reviewed || (!reviewed && paid == of(new.0, new.1)), "{paid:?}");
            assert_eq!(order["total"]["amount"], paid.iter().map(|(amount, _)| amount).sum::<i64>());
        }
        old = new;
    }
}
