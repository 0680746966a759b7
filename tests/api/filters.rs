//! Filters: each returns exactly the matching rows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::world::{World, basket, bill, company, id, price_list, price_list_in, product};
use crate::support::{Client, Server};

async fn list(client: &Client, path: &str) -> Vec<Value> {
    client.get(path).await.ok()["data"].as_array().unwrap().clone()
}

/// The values of a field in a list, in no order.
async fn shown(client: &Client, path: &str, field: &str) -> BTreeSet<String> {
    let rows = list(client, path).await;
    let all: BTreeSet<_> = rows.iter().map(|row| row[field].as_str().unwrap().to_owned()).collect();
    assert_eq!(all.len(), rows.len(), "each once: {path}");
    all
}

fn set<T: AsRef<str>>(all: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    all.into_iter().map(|one| one.as_ref().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_of_a_name_finds_it_in_any_letter_case_with_or_without_accents_and_nothing_is_a_wildcard() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let names = [
        "50% off",
        "500 off",
        "a_b",
        "acb",
        r"back\slash",
        "Ärger",
        "ÄRGERLICH",
        "Straße",
        "ΟΔΟΣΑ",
        "Ivan",
        "москва",
        "日本",
    ];
    for name in names {
        admin.post("/v1/customers", company(name)).await.created();
        admin.post("/v1/resellers", company(name)).await.created();
        let mut of_product = product(&format!("p{}", names.iter().position(|other| *other == name).unwrap()));
        of_product["name"] = json!(name);
        let product_id = admin.post("/v1/products", of_product).await.created()["id"].clone();
        admin.post("/v1/price-lists", price_list(name, &product_id, 1)).await.created();
    }
    for (q, expected) in [
        ("%25", vec!["50% off"]),
        ("50_", vec![]),
        ("_", vec!["a_b"]),
        ("A_B", vec!["a_b"]),
        ("%5C", vec![r"back\slash"]),
        ("%5C%25", vec![]),
        ("0%20OFF", vec!["500 off"]),
        ("%C3%84rGer", vec!["Ärger", "ÄRGERLICH"]),
        ("%C3%A4rger", vec!["Ärger", "ÄRGERLICH"]),
        ("STRASSE", vec!["Straße"]),
        ("stra%C3%9Fe", vec!["Straße"]),
        // The sigma at the end of the search text is in the middle of the name.
        ("%CE%9F%CE%94%CE%9F%CE%A3", vec!["ΟΔΟΣΑ"]),
        ("%CE%BF%CE%B4%CE%BF%CF%82", vec!["ΟΔΟΣΑ"]),
        ("iVA", vec!["Ivan"]),
        ("%D0%9C%D0%9E%D0%A1%D0%9A", vec!["москва"]),
        ("%E6%9C%AC", vec!["日本"]),
        ("arger", vec!["Ärger", "ÄRGERLICH"]),
        ("argers", vec![]),
    ] {
        for (resource, field) in [
            ("customers", "company_name"),
            ("resellers", "company_name"),
            ("products", "name"),
            ("price-lists", "name"),
        ] {
            let found = shown(&admin, &format!("/v1/{resource}?q={q}"), field).await;
            assert_eq!(found, set(&expected), "{resource}?q={q}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_filtered() {
    let world = World::new().await;
    let (admin, at) = (&world.admin, |instant: &str| world.server.clock.set(instant.parse().unwrap()));
    at("2027-02-01T00:00:00Z");
    let mut dutch = company("Dutch");
    dutch["address"]["country"] = json!("NL");
    dutch["external_id"] = json!("crm 1/ü");
    admin.post("/v1/customers", dutch).await.created();
    at("2027-03-01T00:00:00Z");
    let mut theirs = company("Theirs");
    theirs["external_id"] = json!("CRM 1/ü");
    let theirs = world.other.post("/v1/customers", theirs).await.created()["id"].clone();
    admin.act(&format!("/v1/customers/{}/archive", id(&theirs))).await.ok();
    let (own, other) = (id(&world.reseller_id), id(&world.other_reseller_id));
    for (filter, expected) in [
        (format!("partner_id={own}"), vec!["Northwind", "Idle"]),
        (format!("partner_id={other}"), vec!["Theirs"]),
        ("status=archived".to_owned(), vec!["Theirs"]),
        ("status=active".to_owned(), vec!["Northwind", "Idle", "Dutch"]),
        ("status=active&status=archived".to_owned(), vec!["Northwind", "Idle", "Dutch", "Theirs"]),
        ("country=NL".to_owned(), vec!["Dutch"]),
        ("country=FR".to_owned(), vec![]),
        ("external_id=crm%201/%C3%BC".to_owned(), vec!["Dutch"]),
        ("external_id=crm".to_owned(), vec![]),
        ("created_after=2027-02-01T00:00:00Z".to_owned(), vec!["Dutch", "Theirs"]),
        ("created_after=2027-02-01T00:00:00.000001Z".to_owned(), vec!["Theirs"]),
        ("created_before=2027-02-01T00:00:00Z".to_owned(), vec!["Northwind", "Idle"]),
        ("created_after=2027-02-01T00:00:00Z&created_before=2027-03-01T00:00:00Z".to_owned(), vec!["Dutch"]),
        (format!("q=I&partner_id={own}&status=active"), vec!["Northwind", "Idle"]),
        (format!("q=i&partner_id={other}&status=active"), vec![]),
    ] {
        let found = shown(admin, &format!("/v1/customers?{filter}"), "company_name").await;
        assert_eq!(found, set(expected), "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resellers_and_products_are_filtered() {
    let world = World::new().await;
    let mut third = company("Third Resale");
    third["external_id"] = json!("r-3");
    let third = world.admin.post("/v1/resellers", third).await.created();
    world.admin.act(&format!("/v1/resellers/{}/disable", id(&third["id"]))).await.ok();
    let retired = world.admin.post("/v1/products", product("old")).await.created();
    let path = format!("/v1/products/{}", id(&retired["id"]));
    world.admin.patch(&path, json!({ "status": "retired" })).await.ok();
    for (path, field, expected) in [
        ("resellers?status=enabled", "company_name", vec!["Harbour Resale", "Other Resale"]),
        ("resellers?status=disabled", "company_name", vec!["Third Resale"]),
        ("resellers?external_id=r-3", "company_name", vec!["Third Resale"]),
        ("resellers?external_id=r-3&status=enabled", "company_name", vec![]),
        ("products?status=retired", "code", vec!["old"]),
        ("products?status=active", "code", vec!["tls"]),
        ("products?status=active,retired", "code", vec!["old", "tls"]),
        ("products?status=active&q=OLD", "code", vec![]),
    ] {
        assert_eq!(shown(&world.admin, &format!("/v1/{path}"), field).await, set(expected), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn price_lists_are_filtered() {
    let world = World::new().await;
    let dollars = price_list_in("USD", "Golden dollars", &world.product_id, &[]);
    world.admin.post("/v1/price-lists", dollars).await.created();
    for (filter, expected) in [
        ("", vec!["Gold", "Golden dollars", "Idle"]),
        ("currency=EUR", vec!["Gold", "Idle"]),
        ("currency=USD", vec!["Golden dollars"]),
        ("currency=JPY", vec![]),
        ("q=GOLD", vec!["Gold", "Golden dollars"]),
        ("q=gold&currency=USD", vec!["Golden dollars"]),
        ("q=idle&currency=USD", vec![]),
    ] {
        let found = list(&world.admin, &format!("/v1/price-lists?{filter}")).await;
        let names: Vec<_> = found.iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "ordered by name: {filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_filtered() {
    let world = World::new().await;
    world.admin.patch(&world.active(""), json!({ "auto_renew": false })).await.ok();
    let other_product = world.admin.post("/v1/products", product("other")).await.created()["id"].clone();
    let free = world.admin.post("/v1/customers", company("Free")).await.created()["id"].clone();
    let free_list = format!("/v1/customers/{}/subscriptions", id(&free));
    let added = world.admin.post(&free_list, basket(&other_product, 1)).await.created();
    let of_free = id(&added["subscriptions"][0]["id"]);
    let (active, pending) = (id(&world.active_id), id(&world.pending_id));
    let (suspended, lapsed) = (id(&world.suspended_id), id(&world.lapsed_id));
    let (own, other) = (id(&world.reseller_id), id(&world.other_reseller_id));
    // It lapsed and ended on 20 December; the pending one ends on 1 February 2028, the others on 1 January.
    for (filter, expected) in [
        (String::new(), vec![active, pending, suspended, lapsed, of_free]),
        (format!("partner_id={own}"), vec![active, pending, suspended, lapsed]),
        (format!("partner_id={other}"), vec![]),
        (format!("product_id={}", id(&other_product)), vec![of_free]),
        (format!("product_id={}", id(&world.product_id)), vec![active, pending, suspended, lapsed]),
        ("status=active".to_owned(), vec![active, of_free]),
        ("status=pending&status=suspended".to_owned(), vec![pending, suspended, lapsed]),
        ("status=expired,cancelled".to_owned(), vec![]),
        ("auto_renew=false".to_owned(), vec![active]),
        ("auto_renew=true&status=active".to_owned(), vec![of_free]),
        ("ends_before=2028-01-01".to_owned(), vec![lapsed]),
        ("ends_before=2028-01-02".to_owned(), vec![lapsed, active, suspended, of_free]),
        ("ends_after=2028-01-01".to_owned(), vec![active, pending, suspended, of_free]),
        ("ends_after=2028-01-02".to_owned(), vec![pending]),
        ("ends_after=2028-01-01&ends_before=2028-02-01&status=suspended".to_owned(), vec![suspended]),
    ] {
        let found = shown(&world.admin, &format!("/v1/subscriptions?{filter}"), "id").await;
        assert_eq!(found, set(&expected), "{filter}");
        let of_customer = shown(&world.admin, &world.customer(&format!("/subscriptions?{filter}")), "id").await;
        assert_eq!(of_customer, set(expected.iter().filter(|id| **id != of_free)), "of the customer: {filter}");
    }
    let others = format!("customer_id={}", id(&free));
    assert_eq!(shown(&world.admin, &format!("/v1/subscriptions?{others}"), "id").await, set([of_free]));
    let found = world.admin.get(&world.customer(&format!("/subscriptions?{others}"))).await.violations();
    assert_eq!(found, [("customer_id".to_owned(), "unknown_field".to_owned())], "the customer is in the path");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_filtered() {
    let world = World::new().await;
    let admin = &world.admin;
    let clock = |instant: &str| world.server.clock.set(instant.parse().unwrap());
    clock("2027-01-02T00:00:00Z");
    let add = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    let raised = admin.post(&world.active("/inventory/current"), add).await.created()["id"].clone();
    clock("2027-01-03T00:00:00Z");
    let set_to = json!({ "lines": [{ "certificate_type": "dv", "quantity": 7 }] });
    let renewal = admin.put(&world.active("/inventory/renewal"), set_to).await.ok()["id"].clone();
    clock("2027-01-04T00:00:00Z");
    admin.act(&format!("/v1/subscriptions/{}/cancel", id(&world.pending_id))).await.ok();
    admin.act(&format!("/v1/subscriptions/{}/renew", id(&world.lapsed_id))).await.ok();

    let kinds = async |filter: &str| {
        let rows = list(admin, &format!("/v1/orders?{filter}")).await;
        rows.iter().map(|order| order["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["renewal", "cancellation", "renewal_inventory", "current_inventory"];
    assert_eq!(kinds("").await[..4], all, "newest first");
    assert_eq!(kinds("").await[4..], ["add_subscriptions"; 4]);
    for kind in all {
        assert_eq!(kinds(&format!("kind={kind}")).await, [kind]);
    }
    assert_eq!(kinds("kind=renewal&kind=cancellation").await, ["renewal", "cancellation"]);
    assert_eq!(kinds("confirmed_after=2027-01-02T00:00:00Z").await, all);
    assert_eq!(kinds("confirmed_after=2027-01-02T00:00:00.000001Z").await, all[..3]);
    let between = "confirmed_after=2027-01-02T00:00:00Z&confirmed_before=2027-01-04T00:00:00Z";
    assert_eq!(kinds(between).await, all[2..]);
    let about = shown(admin, &format!("/v1/orders?subscription_id={}", id(&world.active_id)), "id").await;
    assert_eq!(about, set([&renewal, &raised, &world.order_id].map(id)));
    assert_eq!(kinds(&format!("subscription_id={}&kind=renewal", id(&world.active_id))).await, [""; 0]);
    assert_eq!(kinds(&format!("customer_id={}", id(&world.customer_id))).await.len(), 8);
    assert_eq!(kinds(&format!("customer_id={}", id(&world.idle_customer_id))).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn charges_are_filtered() {
    let world = World::new().await;
    let of = |rows: Vec<Value>| rows.iter().map(|charge| charge["subscription_id"].clone()).collect::<Vec<_>>();
    world.admin.act(&format!("/v1/subscriptions/{}/cancel", id(&world.pending_id))).await.ok();
    let (active, pending, suspended, lapsed) =
        (&world.active_id, &world.pending_id, &world.suspended_id, &world.lapsed_id);
    let idle = id(&world.idle_customer_id);
    for (filter, expected) in [
        (String::new(), vec![suspended, pending, active, active, lapsed]),
        ("status=voided".to_owned(), vec![pending]),
        ("status=pending".to_owned(), vec![suspended, active, active]),
        ("status=pending,voided&due_after=2027-01-02".to_owned(), vec![pending]),
        ("status=invoiced".to_owned(), vec![lapsed]),
        ("due_after=2027-01-01".to_owned(), vec![suspended, pending, active, active]),
        ("due_before=2027-01-01".to_owned(), vec![lapsed]),
        ("due_before=2027-02-01&due_after=2026-11-21".to_owned(), vec![suspended, active, active]),
        (format!("customer_id={idle}"), vec![]),
        (format!("customer_id={}&due_before=2027-01-01", id(&world.customer_id)), vec![lapsed]),
    ] {
        let found = of(list(&world.admin, &format!("/v1/charges?{filter}")).await);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "newest first: {filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invoices_are_filtered() {
    let world = World::new().await;
    let admin = &world.admin;
    world.server.clock.set("2027-01-02T00:00:00Z".parse().unwrap());
    let newest = bill(admin).await;
    admin.act(&format!("/v1/invoices/{}/mark-emailed", id(&newest))).await.ok();
    let (created, voided) = (&world.invoice_id, &world.void_invoice_id);
    let idle = id(&world.idle_customer_id);
    for (filter, expected) in [
        (String::new(), vec![&newest, created, voided]),
        ("status=created".to_owned(), vec![created]),
        ("status=emailed,void".to_owned(), vec![&newest, voided]),
        ("status=paid".to_owned(), vec![]),
        ("number=INV-2026-000002".to_owned(), vec![created]),
        ("number=INV-2027-000001&status=emailed".to_owned(), vec![&newest]),
        ("number=INV-2027-000002".to_owned(), vec![]),
        ("number=INV-2027-000000".to_owned(), vec![]),
        ("created_after=2027-01-02T00:00:00Z".to_owned(), vec![&newest]),
        ("created_before=2027-01-02T00:00:00Z".to_owned(), vec![created, voided]),
        (format!("customer_id={}&status=void", id(&world.customer_id)), vec![voided]),
        (format!("customer_id={idle}"), vec![]),
    ] {
        let found = list(admin, &format!("/v1/invoices?{filter}")).await;
        assert_eq!(found.iter().map(|invoice| &invoice["id"]).collect::<Vec<_>>(), expected, "newest first: {filter}");
    }
    for number in ["INV-2027-1", "inv-2027-000001", "INV-2027-0000001", "INV-2027-9999999999", "1"] {
        let found = admin.get(&format!("/v1/invoices?number={number}")).await.violations();
        assert!(found.iter().all(|(parameter, _)| parameter == "number") && !found.is_empty(), "{number}: {found:?}");
    }
}
