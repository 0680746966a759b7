//! Pages: with any limit, and during concurrent writes, each row comes once, in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use partner_platform::domain::text::sort_key;
use partner_platform::ops::courier;
use serde_json::{Value, json};

use crate::support::world::{World, basket, company, id, product};
use crate::support::{Client, Server};

/// All rows of a list, page by page, by following the `Link` header without changes.
async fn walk(client: &Client, first: &str) -> Vec<Value> {
    walk_with(client, first, async || {}).await
}

/// Like [`walk`], and does something before each next page.
async fn walk_with(client: &Client, first: &str, between: impl AsyncFn()) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut path = first.to_owned();
    loop {
        let answer = client.get(&path).await;
        let link = answer.headers.get("link").map(|link| link.to_str().unwrap().to_owned());
        let mut page = answer.ok();
        rows.append(page["data"].as_array_mut().unwrap());
        let Some(link) = link else {
            assert_eq!(page["next_cursor"], Value::Null, "no link, no cursor: {path}");
            return rows;
        };
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        let cursor = page["next_cursor"].as_str().expect("a page with a link has a cursor");
        assert!(path.ends_with(&format!("cursor={cursor}")), "the link contains the cursor: {path}");
        assert!(rows.len() < 1000, "the list ends: {path}");
        between().await;
    }
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["company_name"].as_str().unwrap()).collect()
}

fn cursor(page: &Value) -> &str {
    page["next_cursor"].as_str().expect("there is a next page")
}

/// A world with several rows in every list, and the lists.
async fn lists() -> (World, Vec<String>) {
    let world = World::new().await;
    let admin = &world.admin;
    for name in ["a", "b"] {
        admin.post("/v1/products", product(name)).await.created();
        admin.post("/v1/customers", company(name)).await.created();
        admin.post("/v1/resellers", company(name)).await.created();
        let allocation = json!({ "certificate_type": "dv", "reference": name });
        admin.post(&world.active("/allocations"), allocation).await.created();
        let add = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }, { "certificate_type": "ov", "add": 1 }] });
        admin.post(&world.active("/inventory/current"), add).await.created();
    }
    admin.act(&format!("/v1/subscriptions/{}/renew", id(&world.lapsed_id))).await.ok();
    let mut lists = Vec::from(
        [
            "resellers",
            "customers",
            "products",
            "price-lists",
            "subscriptions",
            "orders",
            "charges",
            "upcoming-charges",
            "invoices",
            "api-keys",
            "webhook-endpoints",
        ]
        .map(|list| format!("/v1/{list}")),
    );
    lists.extend(["subscriptions", "transactions", "usage"].map(|report| format!("/v1/reports/{report}")));
    lists.extend(["/subscriptions", "/available-products", "/upcoming-charges"].map(|rest| world.customer(rest)));
    lists.extend(["/inventory/ledger", "/allocations"].map(|rest| world.active(rest)));
    lists.push(format!("/v1/subscriptions/{}/terms", id(&world.lapsed_id)));
    // The last use of keys is written a little later.
    world.server.write_uses().await;
    lists.push(format!("/v1/webhook-endpoints/{}/deliveries", id(&world.endpoint_id)));
    courier::fan_out(&world.server.context(), || false).await.unwrap();
    (world, lists)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_is_the_same_at_any_limit() {
    let (world, lists) = lists().await;
    for list in lists {
        let whole = world.admin.get(&list).await.ok();
        assert_eq!(whole["next_cursor"], Value::Null, "{list}");
        let whole = whole["data"].as_array().unwrap();
        assert!(whole.len() > 1, "there are several rows: {list}");
        for limit in 1..=whole.len() {
            assert_eq!(walk(&world.admin, &format!("{list}?limit={limit}")).await, *whole, "{list} by {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_for_its_own_list_and_filters_only() {
    let (world, lists) = lists().await;
    let admin = &world.admin;
    for list in &lists {
        let page = admin.get(&format!("{list}?limit=1")).await.ok();
        let good = cursor(&page);
        for other in lists.iter().filter(|other| *other != list) {
            admin.get(&format!("{other}?cursor={good}")).await.problem(422, "cursor_mismatch");
        }
        let longer = admin.get(&format!("{list}?limit=2&cursor={good}")).await.ok();
        assert_ne!(longer["data"][0], page["data"][0], "the limit may change between pages: {list}");
        let half = &good[..good.len() / 2];
        for bad in ["x", "bm90IGpzb24", "e30", "%00", "%FF", half, &format!("{good}x"), &good.replace('e', "!")] {
            admin.get(&format!("{list}?limit=1&cursor={bad}")).await.problem(400, "cursor_invalid");
        }
        let empty = admin.get(&format!("{list}?cursor=")).await.violations();
        assert_eq!(empty, [("cursor".to_owned(), "too_short".to_owned())]);
        let long = admin.get(&format!("{list}?cursor={}", "x".repeat(4097))).await.violations();
        assert_eq!(long, [("cursor".to_owned(), "too_long".to_owned())]);
    }
    let first = admin.get("/v1/customers?limit=1&status=active,archived&sort=-created_at").await.ok();
    for other in [
        "status=active&sort=-created_at",
        "status=archived,active&sort=-created_at&q=a",
        "status=active,archived&sort=created_at",
        "status=active,archived",
    ] {
        let path = format!("/v1/customers?limit=1&{other}&cursor={}", cursor(&first));
        admin.get(&path).await.problem(422, "cursor_mismatch");
    }
    let same = "status=active&sort=-created_at&status=archived";
    admin.get(&format!("/v1/customers?{same}&limit=9&cursor={}", cursor(&first))).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_was_tampered_with_is_refused_before_the_database_sees_it() {
    let world = World::new().await;
    for (sort, value, other) in [
        ("company_name", "\"idle\"", r#""a\u0000""#),
        ("created_at", "2026-11-20T12:00:00Z", "-262143-01-01T00:00:00Z"),
        ("created_at", "2026-11-20T12:00:00Z", "+262142-01-01T00:00:00Z"),
    ] {
        let path = format!("/v1/customers?limit=1&sort={sort}&cursor=");
        let page = world.admin.get(&path.replace("&cursor=", "")).await.ok();
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor(&page)).unwrap()).unwrap();
        assert!(text.contains(value), "the contents of a cursor are known here: {text}");
        let forged = URL_SAFE_NO_PAD.encode(text.replace(value, other));
        world.admin.get(&format!("{path}{forged}")).await.problem(400, "cursor_invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_keeps_the_filters_whatever_is_in_them() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for number in 0..5 {
        admin.post("/v1/customers", company(&format!("100% & +Ünï=ç#?/ {number}"))).await.created();
        admin.post("/v1/customers", company(&format!("Other {number}"))).await.created();
    }
    let q = "100%25%20%26%20%2B%C3%BCn%C3%AF%3D%C3%A7%23%3F%2F";
    for filters in [
        format!("q={q}"),
        format!("q={q}&status=active&status=archived&country=BE&sort=-company_name"),
        format!("q={q}&created_after=2027-01-01T13:00:00%2B01:00&status=active,archived"),
    ] {
        let found = walk(&admin, &format!("/v1/customers?limit=2&{filters}")).await;
        assert_eq!(found.len(), 5, "{filters}");
        assert!(found.iter().all(|row| row["company_name"].as_str().unwrap().starts_with("100%")), "{filters}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn companies_are_sorted_by_name_without_case_and_accents_or_by_creation_ties_by_id() {
    let server = Server::start().await;
    let admin = server.admin().await;
    for list in ["/v1/customers", "/v1/resellers"] {
        let names_given = ["b", "B", "a", "Ä", "ä", "z", "Z9", "9", "Ω", "ω", "a", "é", "E", "日本", "_", "%"];
        for (day, name) in (1..).zip(names_given) {
            // Two per day, so that some rows have the same instant of creation.
            server.clock.set(format!("2027-02-{:02}T12:00:00Z", (day + 1) / 2).parse().unwrap());
            admin.post(list, company(name)).await.created();
        }
        let mut rows = walk(&admin, &format!("{list}?limit=3")).await;
        assert_eq!(rows.len(), names_given.len());
        for field in ["company_name", "created_at"] {
            rows.sort_by_key(|row| {
                (sort_key::of(row[field].as_str().unwrap()), row["id"].as_str().unwrap().to_owned())
            });
            assert_eq!(walk(&admin, &format!("{list}?sort={field}&limit=3")).await, rows, "{list} {field}");
            let down = walk(&admin, &format!("{list}?sort=-{field}&limit=3")).await;
            assert_eq!(down.into_iter().rev().collect::<Vec<_>>(), rows, "{list} -{field}");
        }
        let by_name = walk(&admin, &format!("{list}?limit=200")).await;
        let expected = ["%", "9", "_", "a", "Ä", "ä", "a", "b", "B", "é", "E", "z", "Z9", "Ω", "ω", "日本"];
        assert_eq!(names(&by_name), expected, "the default order is by name: {list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_sorted_by_end_or_by_creation_ties_by_id() {
    let world = World::new().await;
    for list in ["/v1/subscriptions".to_owned(), world.customer("/subscriptions")] {
        let mut rows = walk(&world.admin, &format!("{list}?limit=1")).await;
        for (sort, pointer) in [("created_at", "/created_at"), ("end_date", "/term/end_date")] {
            rows.sort_by_key(|row| (row.pointer(pointer).unwrap().to_string(), row["id"].as_str().unwrap().to_owned()));
            assert_eq!(walk(&world.admin, &format!("{list}?sort={sort}&limit=1")).await, rows, "{list} {sort}");
            let down = walk(&world.admin, &format!("{list}?sort=-{sort}&limit=1")).await;
            assert_eq!(down.into_iter().rev().collect::<Vec<_>>(), rows, "{list} -{sort}");
        }
        assert_eq!(walk(&world.admin, &list).await, rows, "the default order is by end");
    }
}

/// A list that grows faster than it is read would never end.
const MOST_WRITES: usize = 60;

/// A write while a list is read: the path, and the body by the number of the write.
type Write = (String, fn(&World, usize) -> Value);

async fn page_while_writing(world: &Arc<World>, list: &str, (path, body): Write) {
    let before = walk(&world.admin, list).await;
    let (done, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = tokio::spawn({
        let (world, done, written) = (Arc::clone(world), Arc::clone(&done), Arc::clone(&written));
        async move {
            while !done.load(Ordering::Relaxed) && written.load(Ordering::Relaxed) < MOST_WRITES {
                world.admin.post(&path, body(&world, written.load(Ordering::Relaxed))).await.created();
                written.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let another = async || {
        let before = written.load(Ordering::Relaxed);
        while written.load(Ordering::Relaxed) == before && !writer.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // Several before the first page and one before each other page, so that there are enough even with few pages.
    for _ in 0..3 {
        another().await;
    }
    let rows = walk_with(&world.admin, list, another).await;
    done.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert!(written.load(Ordering::Relaxed) > 3, "there were writes meanwhile: {list}");

    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *times.entry(id(&row["id"])).or_default() += 1;
    }
    assert!(times.values().all(|times| *times == 1), "no row comes twice: {list}");
    let there_all_along: Vec<_> = before.iter().map(|row| id(&row["id"])).collect();
    let mut of_these: Vec<_> = rows.iter().map(|row| id(&row["id"])).collect();
    of_these.retain(|id| there_all_along.contains(id));
    assert_eq!(of_these, there_all_along, "each comes, in order: {list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_comes_twice_or_is_missed_while_companies_are_added_before_and_behind() {
    let world = Arc::new(World::new().await);
    for name in 0..20 {
        world.admin.post("/v1/customers", company(&format!("m{name}"))).await.created();
        world.admin.post("/v1/resellers", company(&format!("m{name}"))).await.created();
    }
    for list in ["/v1/customers", "/v1/resellers"] {
        for sort in ["company_name", "-company_name", "created_at", "-created_at"] {
            let write: Write = (list.to_owned(), |_, number| company(["a", "m1", "m5", "z"][number % 4]));
            page_while_writing(&world, &format!("{list}?limit=5&sort={sort}"), write).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_comes_twice_or_is_missed_while_subscriptions_are_added() {
    let world = Arc::new(World::new().await);
    // Enough pages for enough writes between them.
    for _ in 0..12 {
        world.admin.post(&world.customer("/subscriptions"), basket(&world.product_id, 1)).await.created();
    }
    let lists = ["subscriptions?sort=end_date&", "subscriptions?sort=-end_date&", "subscriptions?sort=-created_at&"];
    for list in lists.into_iter().chain(["orders?", "charges?"]) {
        let write: Write = (world.customer("/subscriptions"), |world, number| {
            let mut body = basket(&world.product_id, 1);
            body["subscriptions"][0]["start_date"] = json!(["2027-01-01", "2027-03-01", "2026-12-15"][number % 3]);
            body
        });
        page_while_writing(&world, &format!("/v1/{list}limit=3"), write).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_comes_twice_or_is_missed_while_certificates_are_allocated() {
    let world = Arc::new(World::new().await);
    let add = json!({ "lines": [{ "certificate_type": "dv", "add": 900 }] });
    world.admin.post(&world.active("/inventory/current"), add).await.created();
    for number in 0..6 {
        let body = json!({ "certificate_type": "dv", "reference": format!("before {number}") });
        world.admin.post(&world.active("/allocations"), body).await.created();
    }
    let ledger: Write = (
        world.active("/allocations"),
        |_, number| json!({ "certificate_type": "dv", "reference": format!("ledger {number}") }),
    );
    page_while_writing(&world, &world.active("/inventory/ledger?limit=2"), ledger).await;
    let allocations: Write = (
        world.active("/allocations"),
        |_, number| json!({ "certificate_type": "dv", "reference": format!("allocations {number}") }),
    );
    page_while_writing(&world, &world.active("/allocations?limit=2"), allocations).await;
}
