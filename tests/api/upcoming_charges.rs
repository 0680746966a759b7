//! Upcoming charges: the amounts as they will be charged, in order, with the totals of all.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::price_lists::create;
use crate::steps::{all, on_day, subscribe};
use crate::support::Client;
use crate::support::world::{World, basket, company, id, price_list_in};

const UNKNOWN: &str = "01990000-0000-7000-8000-000000000000";

fn at(parameter: &str, code: &str) -> (String, String) {
    (parameter.to_owned(), code.to_owned())
}

async fn list(client: &Client, path: &str) -> Vec<Value> {
    client.get(path).await.ok()["data"].as_array().unwrap().clone()
}

/// The fields that an upcoming charge and a charge have in common, in no order.
fn essence(rows: &[Value]) -> BTreeSet<String> {
    let fields = ["customer_id", "subscription_id", "certificate_type", "calculation", "amount", "due_date"];
    let essence = |row: &Value| fields.map(|field| row[field].to_string()).join(" ");
    let all: BTreeSet<_> = rows.iter().map(essence).collect();
    assert_eq!(all.len(), rows.len(), "each once");
    all
}

/// The rows of one subscription.
fn of<'a>(rows: &'a [Value], subscription: &str) -> Vec<&'a Value> {
    let id = subscription.rsplit('/').next().unwrap();
    rows.iter().filter(|row| row["subscription_id"] == *id).collect()
}

fn due_dates<'a>(rows: &[&'a Value]) -> Vec<&'a str> {
    rows.iter().map(|row| row["due_date"].as_str().unwrap()).collect()
}

/// Adds a monthly subscription with five `dv` and further fields.
async fn monthly(world: &World, item: Value) -> String {
    let mut body = json!({ "term_months": 1 });
    body.as_object_mut().unwrap().extend(item.as_object().unwrap().clone());
    subscribe(world, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_shows_is_what_is_charged_then() {
    let world = World::new().await;
    let admin = &world.admin;
    let prices = [("dv", 1, 333), ("ov", 12, 7_777)];
    let (_, gold) = create(admin, price_list_in("USD", "Monthly", &world.product_id, &prices)).await;
    admin.patch(&world.customer(""), json!({ "price_list_id": gold["id"] })).await.ok();
    monthly(&world, json!({ "start_date": "2026-12-31" })).await;
    let renewal = json!([{ "certificate_type": "dv", "quantity": 9, "renewal_quantity": 4 }]);
    monthly(&world, json!({ "inventory": renewal })).await;
    let later = monthly(&world, json!({ "start_date": "2027-01-20" })).await;
    let none = json!([{ "certificate_type": "dv", "quantity": 9, "renewal_quantity": 0 }]);
    monthly(&world, json!({ "inventory": none })).await;
    subscribe(&world, json!({ "start_date": "2026-03-31" })).await;
    // In the middle of a term, so that they are charged for the rest of it.
    on_day(&world.server, "2027-01-11");
    let add = json!({ "lines": [{ "certificate_type": "dv", "add": 3 }, { "certificate_type": "ov", "add": 2 }] });
    admin.post(&world.active("/inventory/current"), add).await.created();

    let upcoming = all(admin, "/v1/upcoming-charges").await;
    assert!(upcoming.iter().all(|row| row["due_date"].as_str().unwrap() < "2027-02-11"), "a month ahead");
    let path = "/v1/upcoming-charges?limit=200&to=2027-05-01";
    let answer = admin.get(path).await.ok();
    let upcoming = answer["data"].as_array().unwrap().clone();
    assert!(upcoming.is_sorted_by_key(|row| row["due_date"].as_str().unwrap().to_owned()));
    let (pending, renewals): (Vec<_>, Vec<_>) = upcoming.iter().partition(|row| row["kind"] == "pending");
    assert!(renewals.iter().all(|row| row["charge_id"].is_null() && row["kind"] == "renewal"));
    let part = |row: &&&Value| row["calculation"]["remaining_days"] != row["calculation"]["term_days"];
    assert_eq!(pending.iter().filter(part).count(), 4, "two of today, one of a start yesterday, and one of last year");
    assert_eq!(due_dates(&of(&upcoming, &later)), ["2027-01-20", "2027-02-20", "2027-03-20", "2027-04-20"]);
    let charges = essence(&all(admin, "/v1/charges?status=pending").await);
    let pending: Vec<_> = pending.into_iter().cloned().collect();
    assert_eq!(essence(&pending), charges, "nothing is due later than that");

    on_day(&world.server, "2027-04-30");
    let charged = all(admin, "/v1/charges?status=pending").await;
    assert_eq!(essence(&charged), essence(&upcoming));
    let sum: i64 = charged.iter().map(|row| row["amount"]["amount"].as_i64().unwrap()).sum();
    assert_eq!(answer["totals"], json!([{ "amount": sum, "currency": "USD" }]));
    // After they are charged, the list shows the charges.
    let now = admin.get(path).await.ok();
    assert_eq!((essence(now["data"].as_array().unwrap()), &now["totals"]), (essence(&upcoming), &answer["totals"]));
    assert!(now["data"].as_array().unwrap().iter().all(|row| row["kind"] == "pending" && row["charge_id"].is_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_has_the_renewal_quantity_and_the_list_s_price() {
    let world = World::new().await;
    let (_, gold) = create(&world.admin, price_list_in("USD", "Monthly", &world.product_id, &[("dv", 1, 333)])).await;
    let renewal = json!([
        { "certificate_type": "dv", "quantity": 9, "renewal_quantity": 4 }, { "certificate_type": "ov", "quantity": 1 }
    ]);
    let path = monthly(&world, json!({ "inventory": renewal })).await;
    world.admin.patch(&world.customer(""), json!({ "price_list_id": gold["id"] })).await.ok();
    let found = list(&world.admin, "/v1/upcoming-charges?from=2027-01-02&to=2027-02-02").await;
    let found = of(&found, &path);
    let expected = |certificate_type: &str, unit_price: i64, quantity: i64, list: &Value| {
        let money = |amount: i64| json!({ "amount": amount, "currency": "USD" });
        json!({
            "kind": "renewal", "charge_id": null, "customer_id": world.customer_id,
            "subscription_id": path.rsplit('/').next().unwrap(), "certificate_type": certificate_type,
            "calculation": {
                "unit_price": money(unit_price), "quantity": quantity, "remaining_days": 28, "term_days": 28,
                "rounding": "half_away_from_zero",
            },
            "price_list_id": list, "amount": money(unit_price * quantity), "due_date": "2027-02-01",
        })
    };
    let dv = expected("dv", 333, 4, &gold["id"]);
    let ov = expected("ov", 2_500, 1, &Value::Null);
    assert_eq!(found, [&dv, &ov]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_by_month_subscription_renews_twelve_times_a_year() {
    let world = World::new().await;
    let path = monthly(&world, json!({})).await;
    let found = list(&world.admin, "/v1/upcoming-charges?limit=200&from=2027-01-02&to=2028-01-02").await;
    let months = (2..=12).map(|month| format!("2027-{month:02}-01")).chain(["2028-01-01".to_owned()]);
    assert_eq!(due_dates(&of(&found, &path)), months.collect::<Vec<_>>());
    assert!(of(&found, &path).iter().all(|row| row["amount"]["amount"] == 5 * 990));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_renew_is_not_shown() {
    let world = World::new().await;
    let paths = [monthly(&world, json!({})).await, monthly(&world, json!({})).await, monthly(&world, json!({})).await];
    let shown = async || {
        let found = list(&world.admin, "/v1/upcoming-charges?from=2027-01-02&to=2027-02-02&limit=200").await;
        let renewals: Vec<_> = found.into_iter().filter(|row| row["kind"] == "renewal").collect();
        paths.each_ref().map(|path| of(&renewals, path).len())
    };
    assert_eq!(shown().await, [1, 1, 1]);
    world.admin.act(&format!("{}/suspend", paths[0])).await.ok();
    world.admin.patch(&paths[1], json!({ "auto_renew": false })).await.ok();
    let none = json!({ "lines": [{ "certificate_type": "dv", "quantity": 0 }] });
    world.admin.put(&format!("{}/inventory/renewal", paths[2]), none).await.ok();
    assert_eq!(shown().await, [0, 0, 0]);
    world.admin.act(&format!("{}/enable", paths[0])).await.ok();
    assert_eq!(shown().await, [1, 0, 0]);
    on_day(&world.server, "2027-02-01");
    assert_eq!(shown().await, [0, 0, 0], "the first is charged by now, and the others have expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_chosen_and_a_month_is_shown_when_they_are_not() {
    let world = World::new().await;
    monthly(&world, json!({})).await;
    let dates = async |filter: &str| {
        let rows = list(&world.admin, &format!("/v1/upcoming-charges?{filter}")).await;
        due_dates(&rows.iter().collect::<Vec<_>>()).into_iter().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let [first, today, next, after] = ["2026-11-20", "2027-01-01", "2027-02-01", "2027-03-01"];
    let void = format!("/v1/invoices/{}/void", id(&world.invoice_id));
    world.admin.act(&void).await.ok();
    for (filter, expected) in [
        ("", vec![first, today]),
        ("to=2027-02-01", vec![first, today]),
        ("to=2027-02-02", vec![first, today, next]),
        ("from=2027-01-01", vec![today]),
        ("from=2027-01-02", vec![]),
        ("to=2027-01-01", vec![first]),
        ("from=2027-02-01&to=2027-03-01", vec![next]),
        ("from=2027-02-02&to=2027-03-02", vec![after]),
        ("to=2026-11-20", vec![]),
        ("from=2026-11-20&to=2026-11-21", vec![first]),
    ] {
        let expected: BTreeSet<_> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(dates(filter).await, expected, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_make_no_sense_are_refused() {
    let world = World::new().await;
    for path in ["/v1/upcoming-charges".to_owned(), world.customer("/upcoming-charges")] {
        for (filter, expected) in [
            ("to=2028-01-03", at("to", "out_of_range")),
            ("from=2027-01-01&to=2027-01-01", at("from", "out_of_range")),
            ("from=2027-02-01", at("from", "out_of_range")),
            ("from=2027-01-32", at("from", "invalid_format")),
            ("to=tomorrow", at("to", "invalid_format")),
            ("limit=0", at("limit", "out_of_range")),
        ] {
            assert_eq!(world.admin.get(&format!("{path}?{filter}")).await.violations(), [expected], "{filter}");
        }
        world.admin.get(&format!("{path}?to=2028-01-02&from=2028-01-01")).await.ok();
    }
    let found = world.admin.get(&world.customer(&format!("/upcoming-charges?partner_id={UNKNOWN}"))).await.violations();
    assert_eq!(found, [at("partner_id", "unknown_field")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_those_of_each_currency_on_every_page() {
    let world = World::new().await;
    let mut body = company("Pays in euros");
    body["currency"] = json!("EUR");
    let customer = world.own.post("/v1/customers", body).await.created();
    let subscriptions = format!("/v1/customers/{}/subscriptions", id(&customer["id"]));
    // The reseller's list in euros has `dv` at 7900.
    world.own.post(&subscriptions, basket(&world.product_id, 3)).await.created();
    monthly(&world, json!({})).await;
    let whole = world.admin.get("/v1/upcoming-charges?to=2027-06-01").await.ok();
    let in_dollars = whole["data"].as_array().unwrap().iter().filter(|row| row["amount"]["currency"] == "USD");
    let dollars: i64 = in_dollars.map(|row| row["amount"]["amount"].as_i64().unwrap()).sum();
    let totals = json!([{ "amount": 3 * 7_900, "currency": "EUR" }, { "amount": dollars, "currency": "USD" }]);
    assert_eq!(whole["totals"], totals);

    let (mut rows, mut path) = (Vec::new(), "/v1/upcoming-charges?to=2027-06-01&limit=1".to_owned());
    loop {
        let page = world.admin.get(&path).await.ok();
        assert_eq!(page["totals"], totals);
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/upcoming-charges?to=2027-06-01&limit=1&cursor={cursor}");
    }
    assert_eq!(json!(rows), whole["data"]);
    let nothing = world.other.get("/v1/upcoming-charges").await.ok();
    assert_eq!((&nothing["data"], &nothing["totals"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sees_what_is_in_its_tenant() {
    let world = World::new().await;
    let theirs = world.other.post("/v1/customers", company("Theirs")).await.created()["id"].clone();
    let direct = world.admin.post("/v1/customers", company("Direct")).await.created()["id"].clone();
    for customer in [&theirs, &direct] {
        let subscriptions = format!("/v1/customers/{}/subscriptions", id(customer));
        world.admin.post(&subscriptions, basket(&world.product_id, 1)).await.created();
    }
    let customers = async |client: &Client, path: &str| {
        let rows = list(client, path).await;
        rows.iter().map(|row| row["customer_id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let set = |ids: &[&Value]| ids.iter().map(|one| id(one).to_owned()).collect::<BTreeSet<_>>();
    let (to, own, other) = ("to=2028-01-02", id(&world.reseller_id), id(&world.other_reseller_id));
    for (client, filter, expected) in [
        (&world.admin, String::new(), vec![&world.customer_id, &theirs, &direct]),
        (&world.admin, format!("&partner_id={own}"), vec![&world.customer_id]),
        (&world.admin, format!("&partner_id={other}"), vec![&theirs]),
        (&world.own, String::new(), vec![&world.customer_id]),
        (&world.own, format!("&partner_id={own}"), vec![&world.customer_id]),
        (&world.other, String::new(), vec![&theirs]),
    ] {
        let found = customers(client, &format!("/v1/upcoming-charges?{to}{filter}")).await;
        assert_eq!(found, set(&expected), "{filter}");
    }
    for (client, reseller) in [(&world.admin, UNKNOWN), (&world.own, UNKNOWN), (&world.own, other)] {
        let found = client.get(&format!("/v1/upcoming-charges?partner_id={reseller}")).await.violations();
        assert_eq!(found, [at("partner_id", "unknown_reference")]);
    }
    for (client, customer) in [(&world.admin, &theirs), (&world.other, &theirs), (&world.admin, &direct)] {
        let path = format!("/v1/customers/{}/upcoming-charges?{to}", id(customer));
        assert_eq!(customers(client, &path).await, set(&[customer]));
    }
    for customer in [id(&theirs), id(&direct), UNKNOWN] {
        world.own.get(&format!("/v1/customers/{customer}/upcoming-charges")).await.problem(404, "not_found");
    }
    let idle = format!("/v1/customers/{}/upcoming-charges", id(&world.idle_customer_id));
    assert_eq!(world.own.get(&idle).await.ok()["totals"], json!([]), "the customer has nothing to pay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_ahead_writes_nothing() {
    let world = World::new().await;
    monthly(&world, json!({})).await;
    let before = world.server.database.fingerprint().await;
    let first = world.admin.get("/v1/upcoming-charges?to=2028-01-02").await.ok();
    assert_eq!(world.admin.get("/v1/upcoming-charges?to=2028-01-02").await.ok(), first);
    assert_eq!(before, world.server.database.fingerprint().await);
}
