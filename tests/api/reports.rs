//! Reports: their rows match the resources. CSV is tested in `reports_csv.rs`.

use std::collections::BTreeSet;

use partner_platform::domain::authorization::Role;
use serde_json::{Value, json};

use crate::steps::{all, allocate, on_day, whole_orders};
use crate::support::Client;
use crate::support::world::{World, basket, company, id, product};

async fn rows(client: &Client, report: &str) -> Vec<Value> {
    all(client, &format!("/v1/reports/{report}")).await
}

/// A world with every kind of order, and a customer of the provider.
async fn busy() -> World {
    let world = World::new().await;
    let admin = &world.admin;
    let direct = admin.post("/v1/customers", company("Direct")).await.created()["id"].clone();
    let other = admin.post("/v1/products", product("other")).await.created()["id"].clone();
    admin.post(&format!("/v1/customers/{}/subscriptions", id(&direct)), basket(&other, 3)).await.created();
    on_day(&world.server, "2027-01-05");
    allocate(admin, &world.active(""), 7, "some").await;
    let add = json!({ "lines": [{ "certificate_type": "dv", "add": 3 }, { "certificate_type": "ov", "add": 1 }] });
    admin.post(&world.active("/inventory/current"), add).await.created();
    for quantity in [json!(20), json!(null)] {
        let set = json!({ "lines": [{ "certificate_type": "dv", "quantity": quantity }] });
        admin.put(&world.active("/inventory/renewal"), set).await.ok();
    }
    let set = json!({ "lines": [{ "certificate_type": "ov", "quantity": 4 }] });
    admin.put(&world.active("/inventory/renewal"), set).await.ok();
    admin.act(&format!("/v1/subscriptions/{}/cancel", id(&world.pending_id))).await.ok();
    on_day(&world.server, "2027-01-06");
    admin.act(&format!("/v1/subscriptions/{}/renew", id(&world.lapsed_id))).await.ok();
    // The effect of a renewal at the end of a term.
    let dv = format!("subscription_id = '{}' AND certificate_type = 'dv'", id(&world.suspended_id));
    world.server.database.execute(&format!("UPDATE inventory_lines SET used = 9 WHERE {dv}")).await;
    world
}

/// Checks that the customer, its reseller and the product of a row match the resources.
async fn assert_belongs(client: &Client, row: &Value, customer_id: &Value, product_id: &Value) {
    let customer = client.get(&format!("/v1/customers/{}", id(customer_id))).await.ok();
    let reseller_name = match customer["partner_id"].as_str() {
        Some(reseller) => client.get(&format!("/v1/resellers/{reseller}")).await.ok()["company_name"].clone(),
        None => Value::Null,
    };
    let product = client.get(&format!("/v1/products/{}", id(product_id))).await.ok();
    for (field, expected) in [
        ("customer_id", customer_id),
        ("customer_name", &customer["company_name"]),
        ("reseller_id", &customer["partner_id"]),
        ("reseller_name", &reseller_name),
        ("product_id", product_id),
        ("product_code", &product["code"]),
        ("product_name", &product["name"]),
    ] {
        assert_eq!(&row[field], expected, "{field} of {row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriptions_row_is_what_the_subscription_its_inventory_and_its_charges_say() {
    let world = busy().await;
    let charges = all(&world.admin, "/v1/charges").await;
    let rows = rows(&world.admin, "subscriptions").await;
    assert_eq!(rows.len(), 5);
    assert!(rows.is_sorted_by_key(|row| id(&row["subscription_id"]).to_owned()), "ordered by id");
    for row in &rows {
        let of = |field: &str| row[field].clone();
        let path = format!("/v1/subscriptions/{}", id(&row["subscription_id"]));
        let subscription = world.admin.get(&path).await.ok();
        assert_belongs(&world.admin, row, &subscription["customer_id"], &subscription["product_id"]).await;
        let term = &subscription["term"];
        assert_eq!(of("status"), subscription["status"]);
        assert_eq!(
            [of("term_months"), of("start_date"), of("end_date")],
            ["months", "start_date", "end_date"].map(|field| term[field].clone())
        );
        assert_eq!(of("ordered_on"), subscription["created_at"].as_str().unwrap()[..10]);
        assert_eq!(of("last_modified_at"), subscription["updated_at"]);

        let sum = |pointer: &str| {
            let lines = subscription["inventory"].as_array().unwrap().iter();
            json!(lines.map(|line| line.pointer(pointer).unwrap().as_i64().unwrap()).sum::<i64>())
        };
        assert_eq!(of("current_quantity"), sum("/current/quantity"));
        assert_eq!(of("renewal_quantity"), sum("/renewal/effective_quantity"));
        assert_eq!(of("used_quantity"), sum("/current/used"));

        let in_term = |charge: &&Value| {
            let due = charge["due_date"].as_str().unwrap();
            charge["subscription_id"] == row["subscription_id"]
                && charge["status"] != "voided"
                && (term["start_date"].as_str().unwrap()..term["end_date"].as_str().unwrap()).contains(&due)
        };
        let cost: i64 = charges.iter().filter(in_term).map(|charge| charge["amount"]["amount"].as_i64().unwrap()).sum();
        assert_eq!(of("cost"), json!({ "amount": cost, "currency": "USD" }), "{row}");
    }
    let cost = |subscription: &Value| {
        let row = rows.iter().find(|row| row["subscription_id"] == *subscription).unwrap();
        row["cost"]["amount"].as_i64().unwrap()
    };
    assert_eq!(cost(&world.pending_id), 0, "it was cancelled, and its charge voided");
    assert_eq!(cost(&world.lapsed_id), 5 * 990, "the new term, not the previous one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_modifier_is_the_key_that_moved_the_version() {
    let world = World::new().await;
    let technician = world.server.client(Role::Technician, None).await;
    let key = async |role: &str| {
        let query = format!("SELECT 'api_key:' || max(id::text) FROM api_keys WHERE role = '{role}'");
        world.server.database.text(&query).await
    };
    let last = async || {
        let rows = rows(&world.admin, "subscriptions").await;
        let row = rows.into_iter().find(|row| row["subscription_id"] == world.active_id).unwrap();
        (row["last_modified_by"].as_str().unwrap().to_owned(), row["last_modified_at"].clone())
    };
    let added = last().await;
    assert!(added.0.starts_with("api_key:"), "the caller that confirmed it: {added:?}");
    on_day(&world.server, "2027-01-02");
    allocate(&technician, &world.active(""), 1, "second").await;
    technician.act(&world.active("/enable")).await.ok();
    assert_eq!(last().await, added, "neither changes the version");
    technician.act(&world.active("/suspend")).await.ok();
    assert_eq!(last().await, (key("technician").await, json!("2027-01-02T12:00:00Z")));
    on_day(&world.server, "2027-01-03");
    let sales = world.server.client(Role::Sales, None).await;
    sales.patch(&world.active(""), json!({ "auto_renew": false })).await.ok();
    assert_eq!(last().await, (key("sales").await, json!("2027-01-03T12:00:00Z")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_last_changed_what_is_older_than_the_record_is_the_system() {
    let world = World::new().await;
    let database = &world.server.database;
    database.execute(include_str!("../../migrations/2026-11-22-000010_add_last_modifier/down.sql")).await;
    database.execute(include_str!("../../migrations/2026-11-22-000010_add_last_modifier/up.sql")).await;
    world.admin.act(&world.active("/suspend")).await.ok();
    for row in rows(&world.admin, "subscriptions").await {
        let is_known = row["last_modified_by"] != "system";
        assert_eq!(is_known, row["subscription_id"] == world.active_id, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transactions_are_the_lines_of_the_orders() {
    let world = busy().await;
    let mut rows = rows(&world.admin, "transactions").await.into_iter();
    let orders = whole_orders(&world.admin, "/v1/orders").await;
    let kinds: BTreeSet<_> = orders.iter().map(|order| order["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 5, "every kind is there: {kinds:?}");
    for order in &orders {
        for (position, line) in order["lines"].as_array().unwrap().iter().enumerate() {
            let row = rows.next().unwrap();
            assert_belongs(&world.admin, &row, &order["customer_id"], &line["product_id"]).await;
            let change = line["quantity_after"].as_i64().zip(line["quantity_before"].as_i64()).map(|(a, b)| a - b);
            let paid = line["calculation"]["quantity"].as_i64();
            for (field, expected) in [
                ("order_id", &order["id"]),
                ("line", &json!(position)),
                ("subscription_id", &line["subscription_id"]),
                ("action", &order["kind"]),
                ("bucket", &line["bucket"]),
                ("certificate_type", &line["certificate_type"]),
                ("date", &order["confirmed_at"]),
                ("quantity_before", &line["quantity_before"]),
                ("quantity_after", &line["quantity_after"]),
                ("certificates", &json!(paid.or(change))),
                ("cost", &line["amount"]),
                ("user", &order["confirmed_by"]),
            ] {
                assert_eq!(&row[field], expected, "{field} of {row}");
            }
        }
    }
    assert_eq!(rows.next(), None, "there is nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usage_is_the_inventory() {
    let world = busy().await;
    let rows = rows(&world.admin, "usage").await;
    let mut expected = Vec::new();
    for subscription in all(&world.admin, "/v1/subscriptions").await {
        for line in subscription["inventory"].as_array().unwrap() {
            let current = &line["current"];
            let numbers = ["quantity", "used", "available", "overage"].map(|field| current[field].clone());
            let facts = ["id", "status"].map(|field| subscription[field].clone());
            let end = subscription["term"]["end_date"].clone();
            expected.push(json!([facts, line["certificate_type"], numbers, end, subscription["customer_id"]]));
        }
    }
    expected.sort_by_key(ToString::to_string);
    let found = rows.iter().map(|row| {
        let numbers = ["inventory", "used", "available", "overage"].map(|field| &row[field]);
        let facts = ["subscription_id", "status"].map(|field| &row[field]);
        json!([facts, row["certificate_type"], numbers, row["end_date"], row["customer_id"]])
    });
    assert_eq!(found.collect::<Vec<_>>(), expected, "ordered by subscription and type");
    assert!(rows.iter().any(|row| row["overage"] == 4), "an overage is shown");
    for row in &rows {
        assert_belongs(&world.admin, row, &row["customer_id"], &row["product_id"]).await;
    }
}

/// The rows of a report with a filter: the subscription and, if there is one, the action.
async fn shown(client: &Client, report: &str, filter: &str) -> BTreeSet<(String, String)> {
    let page = client.get(&format!("/v1/reports/{report}?limit=200&{filter}")).await.ok();
    let key =
        |row: &Value| ["subscription_id", "action"].map(|field| row[field].as_str().unwrap_or_default().to_owned());
    page["data"].as_array().unwrap().iter().map(|row| key(row).into()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_shows_exactly_what_it_says() {
    let world = busy().await;
    let admin = &world.admin;
    let rows = rows(admin, "subscriptions").await;
    let direct = rows.iter().find(|row| row["reseller_id"].is_null()).unwrap().clone();
    let (active, pending) = (id(&world.active_id), id(&world.pending_id));
    let (suspended, lapsed, direct_id) =
        (id(&world.suspended_id), id(&world.lapsed_id), id(&direct["subscription_id"]));
    let own = vec![active, pending, suspended, lapsed];
    let of_terms = [
        (String::new(), vec![active, pending, suspended, lapsed, direct_id]),
        (format!("partner_id={}", id(&world.reseller_id)), own.clone()),
        (format!("partner_id={}", id(&world.other_reseller_id)), vec![]),
        (format!("customer_id={}", id(&world.customer_id)), own.clone()),
        (format!("customer_id={}", id(&world.idle_customer_id)), vec![]),
        (format!("customer_id={}&partner_id={}", id(&direct["customer_id"]), id(&world.reseller_id)), vec![]),
        (format!("product_id={}", id(&world.product_id)), own),
        (format!("product_id={}", id(&direct["product_id"])), vec![direct_id]),
        ("status=cancelled".to_owned(), vec![pending]),
        ("status=suspended&status=cancelled".to_owned(), vec![suspended, pending]),
        ("status=active,suspended".to_owned(), vec![active, suspended, lapsed, direct_id]),
        // The lapsed one was renewed on 6 January for a month, the pending one was to end on 1 February 2028.
        ("ends_before=2028-01-01".to_owned(), vec![lapsed]),
        ("ends_before=2028-01-02".to_owned(), vec![lapsed, active, suspended, direct_id]),
        ("ends_after=2028-02-01".to_owned(), vec![pending]),
        ("ends_after=2028-01-01&ends_before=2028-01-02&status=active".to_owned(), vec![active, direct_id]),
    ];
    let of_orders = [
        ("ordered_before=2027-01-01T12:00:00Z".to_owned(), vec![lapsed]),
        ("ordered_after=2027-01-01T12:00:00Z".to_owned(), vec![active, pending, suspended, direct_id]),
        ("ordered_after=2027-01-01T12:00:00.000001Z".to_owned(), vec![]),
    ];
    let with_report =
        |reports: &'static [&str]| move |case| reports.iter().map(move |report| (*report, Clone::clone(case)));
    let both = of_terms.iter().flat_map(with_report(&["subscriptions", "usage"]));
    for (report, (filter, expected)) in both.chain(of_orders.iter().flat_map(with_report(&["subscriptions"]))) {
        let expected: BTreeSet<_> = expected.iter().map(|id| ((*id).to_owned(), String::new())).collect();
        assert_eq!(shown(admin, report, &filter).await, expected, "{report}?{filter}");
    }

    let (added, raised, set) = ("add_subscriptions", "current_inventory", "renewal_inventory");
    for (filter, expected) in [
        (
            format!("partner_id={}&kind={added}", id(&world.reseller_id)),
            vec![(active, added), (pending, added), (suspended, added), (lapsed, added)],
        ),
        (format!("product_id={}", id(&direct["product_id"])), vec![(direct_id, added)]),
        (format!("customer_id={}", id(&direct["customer_id"])), vec![(direct_id, added)]),
        (format!("kind={raised}&kind={set}"), vec![(active, raised), (active, set)]),
        ("kind=cancellation,renewal".to_owned(), vec![(pending, "cancellation"), (lapsed, "renewal")]),
        ("confirmed_after=2027-01-06T12:00:00Z".to_owned(), vec![(lapsed, "renewal")]),
        ("confirmed_before=2027-01-01T12:00:00Z".to_owned(), vec![(lapsed, added)]),
        (
            "confirmed_after=2027-01-05T12:00:00Z&confirmed_before=2027-01-06T12:00:00Z".to_owned(),
            vec![(active, raised), (active, set), (pending, "cancellation")],
        ),
    ] {
        let expected: BTreeSet<_> =
            expected.iter().map(|(id, action)| ((*id).to_owned(), (*action).to_owned())).collect();
        assert_eq!(shown(admin, "transactions", &filter).await, expected, "transactions?{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resellers_key_sees_the_rows_of_its_own_customers() {
    let world = busy().await;
    for report in ["subscriptions", "transactions", "usage"] {
        let everyones = rows(&world.admin, report).await;
        let own = rows(&world.own, report).await;
        let expected: Vec<_> =
            everyones.iter().filter(|row| row["reseller_id"] == world.reseller_id).cloned().collect();
        assert!(!own.is_empty() && own.len() < everyones.len(), "{report}");
        assert_eq!(own, expected, "{report}");
    }
    let moved = json!({ "partner_id": world.other_reseller_id });
    world.admin.patch(&world.customer(""), moved).await.ok();
    for report in ["subscriptions", "transactions", "usage"] {
        assert_eq!(rows(&world.own, report).await, [Value::Null; 0], "{report}: the customer has moved");
        let theirs = rows(&world.other, report).await;
        assert!(theirs.iter().all(|row| row["reseller_name"] == "Other Resale") && !theirs.is_empty(), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_names_nothing_or_another_tenants_is_told_in_json_and_csv() {
    let world = World::new().await;
    let unknown = "01990000-0000-7000-8000-000000000000";
    let (reseller, customer) = (id(&world.reseller_id), id(&world.customer_id));
    for report in ["subscriptions", "transactions", "usage"] {
        for accept in ["application/json", "text/csv"] {
            for (partner_id, customer_id) in [(unknown, unknown), (reseller, customer)] {
                let filter = format!("partner_id={partner_id}&customer_id={customer_id}&product_id={unknown}");
                let client = world.other.with("accept", accept);
                let found = client.get(&format!("/v1/reports/{report}?{filter}")).await.violations();
                let names = ["customer_id", "partner_id", "product_id"];
                let expected = names.map(|name| (name.to_owned(), "unknown_reference".to_owned()));
                assert_eq!(found, expected, "{report}?{filter} as {accept}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_that_no_amount_can_tell_is_refused_and_can_be_filtered_out() {
    let world = World::new().await;
    let most =
        format!("UPDATE charges SET amount = 9007199254740991 WHERE subscription_id = '{}'", id(&world.active_id));
    world.server.database.execute(&most).await;
    for accept in ["application/json", "text/csv"] {
        let client = world.admin.with("accept", accept);
        client.get("/v1/reports/subscriptions").await.problem(422, "amount_out_of_range");
        client.get("/v1/reports/subscriptions?status=pending,suspended").await.ok();
    }
}
