//! The current and the renewal inventory, and their ledger.

use serde_json::{Value, json};

use crate::steps::{all, allocate, assert_ledger_adds_up, on_day, subscribe, whole_orders};
use crate::support::Answer;
use crate::support::world::{World, id, product};

async fn raise(world: &World, path: &str, lines: Value) -> Answer {
    world.admin.post(&format!("{path}/inventory/current"), json!({ "lines": lines })).await
}

async fn set(world: &World, path: &str, lines: Value) -> Answer {
    world.admin.put(&format!("{path}/inventory/renewal"), json!({ "lines": lines })).await
}

/// The amount of a line, recalculated from the details of the line.
fn recomputed(line: &Value) -> i128 {
    let input = |field: &str| i128::from(line["calculation"][field].as_i64().unwrap());
    let unit_price = i128::from(line["calculation"]["unit_price"]["amount"].as_i64().unwrap());
    assert_eq!(line["calculation"]["rounding"], "half_away_from_zero");
    let (numerator, term_days) = (unit_price * input("quantity") * input("remaining_days"), input("term_days"));
    (2 * numerator + term_days) / (2 * term_days)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_on_inventory_is_about_the_subscription_whose_tag_the_inventory_has() {
    let world = World::new().await;
    let tag = async || {
        let inventory = world.admin.get(&world.active("/inventory")).await.header("etag").to_owned();
        assert_eq!(world.admin.get(&world.active("")).await.header("etag"), inventory);
        inventory
    };
    let seen = tag().await;
    allocate(&world.admin, &world.active(""), 1, "host").await;
    assert_eq!(tag().await, seen, "allocations do not change it");
    let fresh = world.admin.with("if-match", &seen);
    let path = world.active("/inventory/thresholds");
    fresh.put(&path, json!({ "lines": [{ "certificate_type": "dv", "low_threshold": 3 }] })).await.ok();
    let late = json!({ "lines": [{ "certificate_type": "dv", "low_threshold": 4 }] });
    fresh.put(&path, late).await.problem(412, "version_mismatch");
    assert_ne!(tag().await, seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rise_is_charged_for_the_rest_of_the_term() {
    let world = World::new().await;
    // (day, addition, days left, amount): 9900 for a year of 365 days.
    let cases = [
        ("2027-01-01", 3, 365, 29_700),
        ("2027-04-01", 10, 275, 74_589),
        ("2027-07-02", 7, 183, 34_745),
        ("2027-12-31", 3, 1, 81),
    ];
    for (day, add, days, amount) in cases {
        on_day(&world.server, day);
        let before = world.admin.get(&world.active("")).await.ok()["inventory"][0]["current"]["quantity"].clone();
        let order = raise(&world, &world.active(""), json!([{ "certificate_type": "dv", "add": add }])).await.created();
        let line = &order["lines"][0];
        let of = |field: &str| line["calculation"][field].as_i64().unwrap();
        assert_eq!((of("quantity"), of("remaining_days"), of("term_days")), (add, days, 365), "{day}");
        assert_eq!(line["amount"], json!({ "amount": amount, "currency": "USD" }), "{day}");
        assert_eq!(recomputed(line), i128::from(amount), "{day}");
        assert_eq!(line["quantity_before"], before);
        assert_eq!(line["quantity_after"].as_i64(), before.as_i64().map(|before| before + add));
        let charge = &all(&world.admin, "/v1/charges").await[0];
        assert_eq!((&charge["order_id"], &charge["due_date"]), (&order["id"], &json!(day)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rise_costs_what_the_term_started_with_and_a_new_type_what_it_costs_today() {
    let world = World::new().await;
    let path = format!("/v1/products/{}", id(&world.product_id));
    let mut dearer = product("tls");
    let types = dearer["certificate_types"].as_array_mut().unwrap();
    types.push(json!({ "code": "ev", "name": "Extended validation", "max_quantity": 10 }));
    let prices = dearer["prices"].as_array_mut().unwrap();
    let mut new = prices.clone();
    new.retain(|price| price["certificate_type"] == "ov");
    new.iter_mut().for_each(|price| price["certificate_type"] = json!("ev"));
    prices.extend(new);
    prices.iter_mut().for_each(|price| price["unit_price"]["amount"] = json!(70_000));
    let change = json!({ "certificate_types": dearer["certificate_types"], "prices": dearer["prices"] });
    world.admin.patch(&path, change).await.ok();

    let lines = json!([{ "certificate_type": "dv", "add": 1 }, { "certificate_type": "ev", "add": 2 }]);
    let order = raise(&world, &world.active(""), lines).await.created();
    let amounts: Vec<_> = order["lines"].as_array().unwrap().iter().map(|line| &line["amount"]["amount"]).collect();
    assert_eq!(amounts, [9900, 140_000]);
    let terms = all(&world.admin, &world.active("/terms")).await;
    let prices = terms[0]["prices"].as_array().unwrap().iter();
    let prices: Vec<_> = prices.map(|it| json!([it["certificate_type"], it["unit_price"]["amount"]])).collect();
    assert_eq!(prices, [json!(["dv", 9900]), json!(["ev", 70_000]), json!(["ov", 25_000])]);
    assert_ledger_adds_up(&world.admin, &world.active("")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_is_not_held_yet_can_be_added_up_to_its_maximum() {
    let world = World::new().await;
    let path = subscribe(&world, json!({})).await;
    let ov = |add: i32| json!([{ "certificate_type": "ov", "add": add }]);
    let order = raise(&world, &path, ov(99)).await.created();
    assert_eq!(order["lines"][0]["quantity_before"], 0);
    let too_many = raise(&world, &path, ov(2)).await;
    assert_eq!(too_many.violations(), [("/lines/0/add".to_owned(), "out_of_range".to_owned())]);
    raise(&world, &path, ov(1)).await.created();
    let inventory = world.admin.get(&format!("{path}/inventory")).await.ok();
    assert_eq!(inventory["data"][1]["current"]["quantity"], 100);
    let codes: Vec<_> = inventory["data"].as_array().unwrap().iter().map(|line| &line["certificate_type"]).collect();
    assert_eq!(codes, ["dv", "ov"]);
    assert_ledger_adds_up(&world.admin, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_line_and_no_line_is_changed() {
    let world = World::new().await;
    let path = world.active("");
    let before = world.server.database.fingerprint().await;
    let lines = |field: &str, quantities: [i32; 4]| {
        let line = |(code, quantity)| json!({ "certificate_type": code, field: quantity });
        Value::Array(["dv", "ov", "dv", "ev"].into_iter().zip(quantities).map(line).collect())
    };
    let expected = |field: &str| {
        [
            (format!("/lines/1/{field}"), "out_of_range".to_owned()),
            ("/lines/2/certificate_type".to_owned(), "duplicate".to_owned()),
            ("/lines/3/certificate_type".to_owned(), "certificate_type_not_in_product".to_owned()),
        ]
    };
    assert_eq!(raise(&world, &path, lines("add", [1, 91, 1, 1])).await.violations(), expected("add"));
    assert_eq!(set(&world, &path, lines("quantity", [1, 101, 1, 1])).await.violations(), expected("quantity"));
    for (field, bad) in [("add", [0, -1]), ("quantity", [-1, -5])] {
        let lines = json!([
            { "certificate_type": "dv", field: bad[0] },
            { "certificate_type": "ov", field: bad[1] },
        ]);
        let answer = if field == "add" { raise(&world, &path, lines).await } else { set(&world, &path, lines).await };
        let expected = [0, 1].map(|index| (format!("/lines/{index}/{field}"), "out_of_range".to_owned()));
        assert_eq!(answer.violations(), expected);
    }
    for answer in [raise(&world, &path, json!([])).await, set(&world, &path, json!([])).await] {
        assert_eq!(answer.violations(), [("/lines".to_owned(), "too_short".to_owned())]);
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_inventory_is_set_or_follows_and_what_is_not_named_stays() {
    let world = World::new().await;
    let path = world.active("");
    let renewals = async || {
        let inventory = world.admin.get(&format!("{path}/inventory")).await.ok();
        let lines = inventory["data"].as_array().unwrap().iter();
        let pair = |line: &Value| json!([line["renewal"]["quantity"], line["renewal"]["effective_quantity"]]);
        lines.map(pair).collect::<Vec<_>>()
    };
    assert_eq!(renewals().await, [json!([null, 50]), json!([null, 10])]);
    let order = set(&world, &path, json!([{ "certificate_type": "dv", "quantity": 25 }])).await.ok();
    assert_eq!((&order["kind"], &order["total"]["amount"]), (&json!("renewal_inventory"), &json!(0)));
    assert_eq!(renewals().await, [json!([25, 25]), json!([null, 10])]);
    set(&world, &path, json!([{ "certificate_type": "ov", "quantity": 0 }])).await.ok();
    assert_eq!(renewals().await, [json!([25, 25]), json!([0, 0])]);
    raise(&world, &path, json!([{ "certificate_type": "dv", "add": 1 }])).await.created();
    assert_eq!(
        renewals().await,
        [json!([25, 25]), json!([0, 0])],
        "an increase now does not change an explicit renewal quantity"
    );
    set(&world, &path, json!([{ "certificate_type": "dv", "quantity": null }])).await.ok();
    assert_eq!(renewals().await, [json!([null, 51]), json!([0, 0])]);
    assert_eq!(all(&world.admin, "/v1/charges").await.iter().filter(|it| it["amount"]["amount"] == 0).count(), 0);
    assert_ledger_adds_up(&world.admin, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn less_than_is_in_use_for_the_next_term_is_warned_of_where_it_is_asked_for() {
    let world = World::new().await;
    allocate(&world.admin, &world.active(""), 29, "in use").await;
    let lines = json!([
        { "certificate_type": "ov", "quantity": 0 },
        { "certificate_type": "dv", "quantity": 29 },
    ]);
    let preview = world.active("/inventory/renewal/preview");
    let quote = world.admin.post(&preview, json!({ "lines": lines })).await.ok();
    let warning = &quote["warnings"][0];
    assert_eq!(quote["warnings"].as_array().unwrap().len(), 1, "no ov is in use");
    assert_eq!((&warning["code"], &warning["pointer"]), (&json!("renewal_below_used"), &json!("/lines/1/quantity")));
    assert!(warning["detail"].as_str().unwrap().contains("30"), "{warning}");
    set(&world, &world.active(""), lines).await.ok();
    let enough = json!({ "lines": [{ "certificate_type": "dv", "quantity": 30 }] });
    assert_eq!(world.admin.post(&preview, enough).await.ok()["warnings"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn raising_the_current_inventory_warns_while_the_renewal_is_below_what_is_in_use() {
    let world = World::new().await;
    allocate(&world.admin, &world.active(""), 29, "in use").await;
    set(&world, &world.active(""), json!([{ "certificate_type": "dv", "quantity": 12 }])).await.ok();
    let more = json!({ "lines": [{ "certificate_type": "ov", "add": 1 }, { "certificate_type": "dv", "add": 1 }] });
    let quote = world.admin.post(&world.active("/inventory/current/preview"), more).await.ok();
    let detail = "30 certificates of dv are in use. The next term would start with 12 and an overage of 18.";
    let warning = json!({ "code": "renewal_below_used", "detail": detail, "pointer": "/lines/1/add" });
    assert_eq!(quote["warnings"], json!([warning]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_renewed_after_the_limit_was_lowered_below_it() {
    let world = World::new().await;
    let path = world.active("");
    let ov = |field: &str, quantity: i32| json!([{ "certificate_type": "ov", field: quantity }]);
    let lower = async |limit: i32| {
        let mut types = product("tls")["certificate_types"].clone();
        types[1]["max_quantity"] = json!(limit);
        let product = format!("/v1/products/{}", id(&world.product_id));
        world.admin.patch(&product, json!({ "certificate_types": types })).await.ok();
    };
    // 10 are current.
    set(&world, &path, ov("quantity", 80)).await.ok();
    lower(5).await;
    let too_many = [("/lines/0/quantity".to_owned(), "out_of_range".to_owned())];
    assert_eq!(set(&world, &path, ov("quantity", 11)).await.violations(), too_many);
    let too_many = [("/lines/0/add".to_owned(), "out_of_range".to_owned())];
    assert_eq!(raise(&world, &path, ov("add", 1)).await.violations(), too_many);
    on_day(&world.server, "2027-12-20");
    let upcoming = all(&world.admin, &world.customer("/upcoming-charges")).await;
    let upcoming = upcoming.iter().find(|it| it["certificate_type"] == "ov" && it["kind"] == "renewal").unwrap();
    assert_eq!(upcoming["calculation"]["quantity"], 10, "the renewal quantity was 80 before");
    on_day(&world.server, "2028-01-01");
    let renewed = world.admin.get(&path).await.ok();
    assert_eq!((&renewed["term"]["number"], &renewed["inventory"][1]["current"]["quantity"]), (&json!(2), &json!(10)));
    set(&world, &path, ov("quantity", 10)).await.ok();
    assert_ledger_adds_up(&world.admin, &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_tells_what_the_next_renewal_costs() {
    let world = World::new().await;
    let next = async |rest: &str, lines: Value| {
        let quote = world.admin.post(&world.active(rest), json!({ "lines": lines })).await.ok();
        quote["next_renewal_total"].clone()
    };
    let usd = |amount: i64| json!({ "amount": amount, "currency": "USD" });
    let (renewal, current) = ("/inventory/renewal/preview", "/inventory/current/preview");
    let twenty_five = json!([{ "certificate_type": "dv", "quantity": 25 }]);
    assert_eq!(next(renewal, twenty_five.clone()).await, usd(25 * 9900 + 10 * 25_000));
    assert_eq!(next(current, json!([{ "certificate_type": "dv", "add": 5 }])).await, usd(55 * 9900 + 10 * 25_000));
    world.admin.patch(&world.active(""), json!({ "auto_renew": false })).await.ok();
    assert_eq!(next(renewal, twenty_five).await, usd(0), "the subscription does not renew automatically");
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_the_renewal_inventory_again_changes_nothing() {
    let world = World::new().await;
    let lines = json!([{ "certificate_type": "dv", "quantity": 25 }, { "certificate_type": "ov", "quantity": null }]);
    set(&world, &world.active(""), lines.clone()).await.ok();
    let before = world.admin.get(&world.active("")).await.ok();
    let ledger = all(&world.admin, &world.active("/inventory/ledger")).await;
    on_day(&world.server, "2027-01-02");
    set(&world, &world.active(""), lines).await.ok();
    assert_eq!(world.admin.get(&world.active("")).await.ok(), before);
    assert_eq!(all(&world.admin, &world.active("/inventory/ledger")).await, ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn letting_a_type_follow_that_is_not_held_changes_nothing() {
    let world = World::new().await;
    let path = subscribe(&world, json!({})).await;
    let before = world.admin.get(&path).await.ok();
    set(&world, &path, json!([{ "certificate_type": "ov", "quantity": null }])).await.ok();
    assert_eq!(world.admin.get(&path).await.ok(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_moves_with_quantities_and_not_with_allocations() {
    let world = World::new().await;
    let path = world.active("");
    let version = async || world.admin.get(&path).await.ok()["version"].as_i64().unwrap();
    let first = version().await;
    let allocation = allocate(&world.admin, &path, 2, "two").await;
    world.admin.act(&format!("/v1/allocations/{}/release", id(&allocation["id"]))).await.ok();
    assert_eq!(version().await, first);
    raise(&world, &path, json!([{ "certificate_type": "dv", "add": 1 }])).await.created();
    assert_eq!(version().await, first + 1);
    set(&world, &path, json!([{ "certificate_type": "dv", "quantity": 3 }])).await.ok();
    assert_eq!(version().await, first + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_tells_every_change_newest_first() {
    let world = World::new().await;
    let path = subscribe(&world, json!({})).await;
    let added = whole_orders(&world.admin, "/v1/orders").await[0]["id"].clone();
    on_day(&world.server, "2027-01-02");
    let raised = raise(&world, &path, json!([{ "certificate_type": "dv", "add": 2 }])).await.created()["id"].clone();
    let renewal = async |quantity: Value| {
        set(&world, &path, json!([{ "certificate_type": "dv", "quantity": quantity }])).await.ok()["id"].clone()
    };
    let (first, second, third) = (renewal(json!(4)).await, renewal(json!(1)).await, renewal(Value::Null).await);
    let allocation = allocate(&world.admin, &path, 3, "three").await["id"].clone();
    on_day(&world.server, "2027-01-03");
    world.admin.act(&format!("/v1/allocations/{}/release", id(&allocation))).await.ok();

    let none = Value::Null;
    let rows = json!([
        ["used", -3, 3, 0, none, allocation, "2027-01-03T12:00:00Z"],
        ["used", 3, 0, 3, none, allocation, "2027-01-02T12:00:00Z"],
        ["renewal", none, 1, none, third, none, "2027-01-02T12:00:00Z"],
        ["renewal", -3, 4, 1, second, none, "2027-01-02T12:00:00Z"],
        ["renewal", none, none, 4, first, none, "2027-01-02T12:00:00Z"],
        ["current", 2, 5, 7, raised, none, "2027-01-02T12:00:00Z"],
        ["current", 5, 0, 5, added, none, "2027-01-01T12:00:00Z"],
    ]);
    let ledger = all(&world.admin, &format!("{path}/inventory/ledger")).await;
    let fields = ["measure", "delta", "before", "after", "order_id", "allocation_id", "occurred_at"];
    let found = ledger.iter().map(|row| json!(fields.map(|field| &row[field])));
    assert_eq!(Value::Array(found.collect()), rows);
    assert!(ledger.iter().all(|row| row["certificate_type"] == "dv"));
    assert!(ledger.iter().all(|row| row["actor"].as_str().unwrap().starts_with("api_key:")));
}
