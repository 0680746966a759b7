//! No response is larger than 1 MiB, for any amount of data: pages end sooner, and the next page continues there.

use partner_platform::api::contract::document::DOCUMENT;
use serde_json::{Value, json};

use crate::steps::all;
use crate::support::world::{World, company, id};
use crate::support::{Client, Server};

/// The maximum size of a response body, except streams and documents.
const MOST: usize = 1 << 20;

/// A product with 50 types and 2,000 prices: about 200 kB.
fn large(code: &str) -> Value {
    const CURRENCIES: [&str; 10] = ["USD", "EUR", "GBP", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "JPY"];
    let types: Vec<_> = (0..50).map(|number| format!("type-{number:0>59}")).collect();
    let mut prices = Vec::new();
    for certificate_type in &types {
        for term_months in [1, 12, 24, 36] {
            for currency in CURRENCIES {
                let unit_price = json!({ "amount": 100, "currency": currency });
                prices.push(json!({
                    "certificate_type": certificate_type, "term_months": term_months, "unit_price": unit_price
                }));
            }
        }
    }
    let types: Vec<_> = types.iter().map(|code| json!({ "code": code, "name": code, "max_quantity": 1000 })).collect();
    json!({ "code": code, "name": code, "certificate_types": types, "terms": [1, 12, 24, 36], "prices": prices })
}

/// All pages of a list. Each is within the size limit.
async fn pages(client: &Client, path: &str) -> Vec<Value> {
    let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let answer = client.get(&path).await;
        let link = answer.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
        next = link.map(|link| link.trim_start_matches('<').split('>').next().unwrap().to_owned());
        let page = answer.ok();
        assert!(page.to_string().len() <= MOST, "{path}");
        assert_eq!(page["next_cursor"].is_string(), next.is_some());
        pages.push(page);
    }
    pages
}

fn ids(pages: &[Value]) -> Vec<Value> {
    pages.iter().flat_map(|page| page["data"].as_array().unwrap()).map(|row| row["id"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_at_one_mebibyte_and_the_next_goes_on_where_it_ended() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let mut products = Vec::new();
    for number in 0..8 {
        products.push(admin.post("/v1/products", large(&format!("p{number}"))).await.created()["id"].clone());
    }
    let found = pages(&admin, "/v1/products?limit=200").await;
    assert!((2..=3).contains(&found.len()), "{}", found.len());
    assert_eq!(ids(&found), products, "each once, in order");
    let other = pages(&admin, "/v1/products?limit=3").await;
    assert_eq!((other.len(), ids(&other)), (3, products), "a smaller limit ends the page");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_feed_ends_at_one_mebibyte_and_nothing_is_left_out() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for number in 0..8 {
        admin.post("/v1/products", large(&format!("p{number}"))).await.created();
        admin.post("/v1/customers", company("Between")).await.created();
    }
    let (mut after, mut seen, mut parts) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let feed = admin.get(&format!("/v1/events?limit=200&after={after}")).await.ok();
        assert!(feed.to_string().len() <= MOST);
        let events = feed["data"].as_array().unwrap();
        if events.is_empty() {
            break;
        }
        seen.extend(events.iter().map(|event| event["sequence"].as_i64().unwrap()));
        after = feed["next_after"].as_str().unwrap().to_owned();
        parts += 1;
    }
    let all = server.database.text("SELECT string_agg(position::text, ',' ORDER BY position) FROM event_places").await;
    assert_eq!(seen.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), all);
    assert!((2..=4).contains(&parts), "{parts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_entry_is_cut_says_so_and_is_found_by_what_it_is_about() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let product = admin.post("/v1/products", large("p")).await.created()["id"].clone();
    admin.post("/v1/customers", company("Small")).await.created();
    let entries = all(&admin, "/v1/audit-entries").await;
    let [small, large] = &entries[..] else { panic!("{} entries", entries.len()) };
    assert_eq!((&small["changes_truncated"], &large["changes_truncated"]), (&json!(false), &json!(true)));
    assert!(large.to_string().len() < 70_000, "{}", large.to_string().len());
    let change = &large["changes"][0];
    assert_eq!((&change["resource"]["id"], &change["after"]["code"]), (&product, &json!("p")));
    assert_eq!(change["after"].get("prices"), None, "it is omitted because of its size");
    let about = all(&admin, &format!("/v1/audit-entries?resource_id={}", id(&product))).await;
    assert_eq!(about, std::slice::from_ref(large));
    partner_platform::ops::audit::seal(&server.db).await.unwrap();
    partner_platform::ops::audit::verify(&server.db, None).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_an_earlier_release_are_cut_when_they_are_read() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let large = "INSERT INTO audit_entries (id, occurred_at, actor, role, request_id, operation, outcome, status, changes) \
        SELECT gen_random_uuid(), now(), 'system', 'admin', n::text, 'updateCustomer', 'succeeded', 200, \
        jsonb_build_array(jsonb_build_object('resource_type', 'customer', 'resource_id', gen_random_uuid(), \
            'before', null, 'after', jsonb_build_object('note', repeat('x', 400000), 'status', 'active'))) \
        FROM generate_series(1, 60) AS n";
    server.database.execute(large).await;
    let found = pages(&admin, "/v1/audit-entries?limit=200").await;
    let entries = ids(&found);
    assert_eq!(entries.len(), 60);
    assert_eq!(found[0]["data"][0]["changes"][0]["after"], json!({ "status": "active" }));
    assert_eq!(found[0]["data"][0]["changes_truncated"], true);
}

/// A request for so many subscriptions with 50 lines each.
fn wide(product: &Value, subscriptions: usize) -> Value {
    let line =
        |number| json!({ "certificate_type": format!("type-{number:0>59}"), "quantity": 1, "renewal_quantity": 2 });
    let inventory: Vec<_> = (0..50).map(line).collect();
    let item = json!({ "product_id": product, "term_months": 12, "inventory": inventory });
    json!({ "auto_renew": true, "subscriptions": vec![item; subscriptions] })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_order_is_below_one_mebibyte_and_a_larger_one_is_refused() {
    let world = World::new().await;
    let product = world.admin.post("/v1/products", large("wide")).await.created()["id"].clone();
    let (add, preview) = (world.customer("/subscriptions"), world.customer("/subscriptions/preview"));
    let before = world.server.database.fingerprint().await;
    for path in [&add, &preview] {
        let refused = world.admin.post(path, wide(&product, 13)).await;
        assert_eq!(refused.violations(), [("/subscriptions".to_owned(), "too_long".to_owned())], "{path}");
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
    let quote = world.admin.post(&preview, wide(&product, 12)).await.ok();
    let added = world.admin.post(&add, wide(&product, 12)).await.created();
    let order = world.admin.get(&format!("/v1/orders/{}", id(&added["order"]["id"]))).await.ok();
    for (what, body) in [("quote", &quote), ("response", &added), ("order", &order)] {
        assert!(body.to_string().len() <= MOST, "{what}: {}", body.to_string().len());
    }
    assert_eq!(order["lines"].as_array().unwrap().len(), 1200, "one for the current and one for the renewal quantity");
    let lines = format!("/v1/orders/{}/lines?limit=110", id(&order["id"]));
    let listed: Vec<_> =
        pages(&world.admin, &lines).await.iter().flat_map(|page| page["data"].as_array().unwrap().clone()).collect();
    assert_eq!(json!(listed), order["lines"], "the list has the same lines as the order");
    for list in
        ["/v1/subscriptions?limit=200", "/v1/orders?limit=200", "/v1/charges?limit=200", "/v1/reports/usage?limit=200"]
    {
        pages(&world.admin, list).await;
    }
}

#[test]
fn every_list_of_the_document_ends_at_a_limit() {
    for operation in DOCUMENT.operations.iter().filter(|operation| operation.id.starts_with("list")) {
        let documented = &DOCUMENT.value["paths"][&operation.path]["get"]["parameters"];
        let limit = documented.as_array().unwrap().iter().find(|parameter| parameter["name"] == "limit");
        assert_eq!(limit.unwrap()["schema"]["maximum"], 200, "{}", operation.id);
    }
}
