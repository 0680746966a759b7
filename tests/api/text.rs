//! Texts for people: which are rejected and where, how names are sorted and found, and what stays readable.

use partner_platform::api::contract::document::DOCUMENT;
use partner_platform::domain::text::{Rule, sort_key};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::steps::{all, on_day};
use crate::support::database::connect;
use crate::support::world::{World, basket, company, id, price_list_in, product};
use crate::support::{Client, Server};

const INVISIBLE: &str = "\u{200b}\u{3164}\u{2800}";

/// A schema of the document with its references resolved, and without its null alternative.
fn resolved(schema: &'static Value) -> &'static Value {
    let schema = schema["oneOf"].as_array().and_then(|choices| choices.last()).unwrap_or(schema);
    match schema["$ref"].as_str() {
        Some(name) => &DOCUMENT.value["components"]["schemas"][name.trim_start_matches("#/components/schemas/")],
        None => schema,
    }
}

fn is_text(schema: &Value) -> bool {
    Rule::formats().any(|(name, _)| schema["format"] == name)
}

/// All texts in a schema: the pointer, and a body with only an invisible text there.
fn texts(schema: &'static Value) -> Vec<(String, Value)> {
    let schema = resolved(schema);
    if is_text(schema) {
        return vec![(String::new(), json!(INVISIBLE))];
    }
    let fields = schema["properties"].as_object().into_iter().flatten().flat_map(|(name, field)| {
        texts(field).into_iter().map(move |(at, body)| (format!("/{name}{at}"), json!({ (name): body })))
    });
    let items = schema.get("items").map(texts).into_iter().flatten();
    fields.chain(items.map(|(at, body)| (format!("/0{at}"), json!([body])))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_of_the_document_rejects_invisible_characters_alone() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    let (mut bodies, mut parameters) = (0, 0);
    for operation in &DOCUMENT.operations {
        let documented = &DOCUMENT.value["paths"][&operation.path][operation.method.to_lowercase()];
        let path =
            operation.path.split('/').map(|part| if part.starts_with('{') { id(&world.active_id) } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let method: Method = operation.method.parse().unwrap();
        for (at, body) in texts(&documented["requestBody"]["content"]["application/json"]["schema"]) {
            let found = world.admin.send(method.clone(), &path, Some(body.to_string().into())).await.violations();
            assert!(found.contains(&(at.clone(), "invalid_format".to_owned())), "{} {at}: {found:?}", operation.id);
            bodies += 1;
        }
        let query = documented["parameters"].as_array().into_iter().flatten();
        for parameter in query.filter(|parameter| is_text(resolved(&parameter["schema"]))) {
            let name = parameter["name"].as_str().unwrap();
            let found = world.admin.get(&format!("{path}?{name}=%E2%80%8B%E3%85%A4")).await.violations();
            assert_eq!(found, [(name.to_owned(), "invalid_format".to_owned())], "{}", operation.id);
            parameters += 1;
        }
    }
    assert!(bodies > 50 && parameters > 5, "{bodies} in bodies, {parameters} parameters");
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_wrong_texts_are_named_at_once_with_what_would_be_right() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let mut body = company("a\u{202e}b");
    body["address"]["city"] = json!(INVISIBLE);
    body["address"]["line2"] = json!("a\u{2028}b");
    body["contact"] = json!({ "email": "a\u{200b}@b.example", "name": "x".repeat(201) });
    body["external_id"] = json!("");
    let problem = admin.post("/v1/customers", body).await.problem(422, "validation_failed");
    let mut found: Vec<_> = problem["errors"].as_array().unwrap().iter().collect();
    found.sort_by_key(|error| error["pointer"].as_str());
    let told = |error: &Value| ["pointer", "code"].map(|field| error[field].as_str().unwrap().to_owned());
    let expected = [
        ["/address/city", "invalid_format"],
        ["/address/line2", "invalid_format"],
        ["/company_name", "invalid_format"],
        ["/contact/email", "invalid_format"],
        ["/contact/name", "too_long"],
        ["/external_id", "too_short"],
    ];
    assert_eq!(found.iter().map(|error| told(error)).collect::<Vec<_>>(), expected);
    assert!(found[0]["detail"].as_str().unwrap().contains("visible character"), "{}", found[0]);
    assert!(found[3]["detail"].as_str().unwrap().contains('@'), "{}", found[3]);
    assert_eq!(found[4]["detail"], "At most 200 characters are allowed.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_one_name_however_it_was_typed() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let created = admin.post("/v1/customers", company("\u{feff}Cafe\u{301} Zu\u{308}rich\u{3164}")).await.created();
    assert_eq!(created["company_name"], "Café Zürich");
    let path = format!("/v1/customers/{}", id(&created["id"]));
    assert_eq!(admin.patch(&path, json!({ "company_name": "Café Zürich" })).await.ok()["version"], 1, "no change");
    let long = admin.post("/v1/customers", company(&"e\u{301}".repeat(200))).await.created();
    assert_eq!(long["company_name"], "é".repeat(200), "the length counts after normalization");
    let found = admin.post("/v1/customers", company(&"e\u{301}".repeat(201))).await.violations();
    assert_eq!(found, [("/company_name".to_owned(), "too_long".to_owned())]);

    let mut referenced = company("Referenced");
    referenced["external_id"] = json!("caf\u{e9}");
    admin.post("/v1/customers", referenced).await.created();
    assert_eq!(names(&admin, "/v1/customers?external_id=cafe%CC%81").await, ["Referenced"]);
}

/// The names in a list, in its order.
async fn names(client: &Client, path: &str) -> Vec<String> {
    let name = |row: &Value| row.get("company_name").or(row.get("name")).and_then(Value::as_str).unwrap().to_owned();
    all(client, path).await.iter().map(name).collect()
}

const NAMES: [&str; 8] = ["zoo", "Zürich", "Émile", "apple", "ÁPPLET", "Äpfel", "ＡＣＭＥ 100%", "Straße Łódź"];
const SORTED: [&str; 8] = ["ＡＣＭＥ 100%", "Äpfel", "apple", "ÁPPLET", "Émile", "Straße Łódź", "zoo", "Zürich"];

/// Creates a resource with each of [`NAMES`] in each list of names.
async fn create_names(admin: &Client) {
    for (number, name) in NAMES.iter().enumerate() {
        let mut new = product(&format!("p{number}"));
        new["name"] = json!(name);
        let product_id = admin.post("/v1/products", new).await.created()["id"].clone();
        let list = price_list_in("EUR", name, &product_id, &[("dv", 12, 1)]);
        admin.post("/v1/price-lists", list).await.created();
        admin.post("/v1/customers", company(name)).await.created();
        admin.post("/v1/resellers", company(name)).await.created();
    }
}

/// Checks that names are sorted and found in each list of names.
async fn assert_sorted_and_found(admin: &Client) {
    for list in ["/v1/customers", "/v1/resellers", "/v1/price-lists", "/v1/products"] {
        // Products are ordered by code.
        if list != "/v1/products" {
            let sorted = names(admin, list).await;
            assert_eq!(
                sorted.iter().filter(|name| NAMES.contains(&name.as_str())).collect::<Vec<_>>(),
                SORTED,
                "{list}"
            );
        }
        for (q, found) in [
            ("zurich", "Zürich"),
            ("Z%C3%9CRICH", "Zürich"),
            ("zu%CC%88ri", "Zürich"),
            ("STRASSE", "Straße Łódź"),
            ("stra%C3%9Fe", "Straße Łódź"),
            ("lodz", "Straße Łódź"),
            ("acme", "ＡＣＭＥ 100%"),
            ("0%25", "ＡＣＭＥ 100%"),
            ("%EF%BC%AD%EF%BC%A5", "ＡＣＭＥ 100%"),
            ("emil", "Émile"),
            ("applet", "ÁPPLET"),
        ] {
            assert_eq!(names(admin, &format!("{list}?q={q}")).await, [found], "{list}?q={q}");
        }
        assert!(
            names(admin, &format!("{list}?q=_")).await.is_empty(),
            "a LIKE wildcard is an ordinary character: {list}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_sorted_and_found_without_case_accents_and_width() {
    let server = Server::start().await;
    let admin = server.admin().await;
    create_names(&admin).await;
    assert_sorted_and_found(&admin).await;
    let mut descending = names(&admin, "/v1/customers?sort=-company_name").await;
    descending.reverse();
    assert_eq!(descending, SORTED);
    let paged = admin.get("/v1/customers?limit=3").await.ok();
    let next = format!("/v1/customers?limit=3&cursor={}", paged["next_cursor"].as_str().unwrap());
    assert_eq!(admin.get(&next).await.ok()["data"][0]["company_name"], SORTED[3]);
}

const TABLES: [(&str, &str); 4] =
    [("customers", "company_name"), ("resellers", "company_name"), ("products", "name"), ("price_lists", "name")];

/// Sets the sort keys of every table to those of another release.
async fn make_keys_of_version(server: &Server, version: i16) {
    for (table, name) in TABLES {
        let old = format!("UPDATE {table} SET name_key = lower({name}) || '?', name_key_version = {version}");
        server.database.execute(&old).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_another_version_are_rebuilt_by_migrate_whoever_starts_at_once() {
    let server = Server::start().await;
    let admin = server.admin().await;
    create_names(&admin).await;
    let copies = "INSERT INTO customers (id, company_name, name_key, address, administration, currency, status, version, \
                      created_at, updated_at) \
                  SELECT gen_random_uuid(), 'Ünit ' || n, '', '{\"line1\": \"1\", \"city\": \"A\", \"country\": \"BE\"}', \
                      'partner', 'USD', 'active', 1, now(), now() FROM generate_series(1, 1300) n";
    server.database.execute(copies).await;
    for version in [0, sort_key::VERSION + 1] {
        make_keys_of_version(&server, version).await;
        let mut instances = JoinSet::new();
        for _ in 0..3 {
            let db = server.db.clone();
            instances.spawn(async move { db.migrate().await.unwrap() });
        }
        assert!(instances.join_all().await.iter().all(Vec::is_empty), "there is no migration to run");
        for (table, name) in TABLES {
            let left = format!("SELECT count(*) FROM {table} WHERE name_key_version <> {}", sort_key::VERSION);
            assert_eq!(server.database.text(&left).await, "0", "{table}");
            let old = format!("SELECT count(*) FROM {table} WHERE name_key LIKE '%?' AND {name} NOT LIKE '%?'");
            assert_eq!(server.database.text(&old).await, "0", "{table}");
        }
        assert_sorted_and_found(&admin).await;
        assert_eq!(names(&admin, "/v1/customers?q=unit").await.len(), 1300);
    }
    let before = server.database.text("SELECT max(xmin::text::bigint) FROM customers").await;
    server.db.migrate().await.unwrap();
    assert_eq!(
        server.database.text("SELECT max(xmin::text::bigint) FROM customers").await,
        before,
        "nothing is written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_holds_is_rebuilt_when_it_is_free() {
    let server = Server::start().await;
    let admin = server.admin().await;
    create_names(&admin).await;
    make_keys_of_version(&server, 0).await;
    let holder = connect(&server.database).await;
    holder.batch_execute("BEGIN; SELECT FROM customers WHERE company_name = 'zoo' FOR UPDATE").await.unwrap();
    let db = server.db.clone();
    let migrating = tokio::spawn(async move { db.migrate().await.unwrap() });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let left = "SELECT count(*) FROM customers WHERE name_key_version = 0";
    assert_eq!(server.database.text(left).await, "1", "the others need not wait");
    assert!(!migrating.is_finished());
    let rename = "UPDATE customers SET company_name = 'Ånew' WHERE company_name = 'zoo'; COMMIT";
    holder.batch_execute(rename).await.unwrap();
    migrating.await.unwrap();
    assert_eq!(names(&admin, "/v1/customers?q=anew").await, ["Ånew"], "it is the key of the new name");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_an_older_release_accepted_stay_readable() {
    let world = World::new().await;
    let odd = "a\u{2028}\u{202e}";
    let address = format!(
        "jsonb_build_object('line1', '{odd}', 'line2', '{odd}', 'line3', '{odd}', 'city', '{odd}', \
         'postal_code', '{odd}', 'state', '{odd}', 'country', 'BE')"
    );
    let contact =
        format!("jsonb_build_object('name', '{odd}', 'email', 'a @{odd}', 'phone', '{odd}', 'extension', '{odd}')");
    let columns = format!("company_name = '{odd}', address = {address}, contact = {contact}, external_id = '{odd}'");
    let statements = [
        format!("UPDATE customers SET {columns} WHERE id = '{}'", id(&world.customer_id)),
        format!("UPDATE resellers SET {columns} WHERE id = '{}'", id(&world.reseller_id)),
        format!(
            "UPDATE products SET name = '{odd}', description = '{odd}', certificate_types = \
                 jsonb_set(certificate_types, '{{0,name}}', '\"{odd}\"')"
        ),
        format!(
            "UPDATE invoices SET bill_to = jsonb_build_object('company_name', '{odd}', 'address', {address}, \
                 'contact', {contact})"
        ),
        format!(
            "UPDATE price_lists SET name = '{odd}'; UPDATE api_keys SET name = '{odd}'; \
                 UPDATE allocations SET reference = '{odd}'"
        ),
    ];
    for statement in statements {
        world.server.database.execute(&statement).await;
    }
    world.server.db.migrate().await.unwrap();
    let product = format!("/v1/products/{}", id(&world.product_id));
    let reseller = format!("/v1/resellers/{}", id(&world.reseller_id));
    let invoice = format!("/v1/invoices/{}", id(&world.invoice_id));
    for path in [&world.customer(""), &reseller] {
        let company = world.admin.get(path).await.ok();
        assert_eq!((&company["company_name"], &company["contact"]["phone"]), (&json!(odd), &json!(odd)), "{path}");
        let patched = world.admin.patch(path, json!({ "address": { "line2": null } })).await.ok();
        assert_eq!((&patched["address"]["line1"], &patched["address"]["line2"]), (&json!(odd), &Value::Null), "{path}");
    }
    assert_eq!(world.admin.get(&product).await.ok()["certificate_types"][0]["name"], odd);
    assert_eq!(world.admin.get(&invoice).await.ok()["bill_to"]["address"]["city"], odd);
    for list in ["customers", "resellers", "products", "invoices", "price-lists", "api-keys", "subscriptions"] {
        world.admin.get(&format!("/v1/{list}")).await.ok();
    }
    world.admin.get(&world.active("/allocations")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawn_currencies_and_fund_codes_are_rejected_in_what_is_new() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for code in ["HRK", "BGN", "SLL", "ZWL", "CUC", "CHE", "CLF", "UYW"] {
        let refused = |at: &str| vec![(at.to_owned(), "not_allowed".to_owned())];
        let mut customer = company("New");
        customer["currency"] = json!(code);
        assert_eq!(world.admin.post("/v1/customers", customer).await.violations(), refused("/currency"), "{code}");
        let idle = format!("/v1/customers/{}", id(&world.idle_customer_id));
        let found = world.admin.patch(&idle, json!({ "currency": code })).await.violations();
        assert_eq!(found, refused("/currency"), "{code}");
        let mut new = product("new");
        new["certificate_types"].as_array_mut().unwrap().truncate(1);
        new["prices"].as_array_mut().unwrap().truncate(1);
        new["terms"] = json!([12]);
        new["prices"][0]["unit_price"]["currency"] = json!(code);
        let found = world.admin.post("/v1/products", new).await.violations();
        assert_eq!(found, refused("/prices/0/unit_price/currency"), "{code}");
        let list = json!({ "name": "New", "currency": code, "prices": [] });
        assert_eq!(world.admin.post("/v1/price-lists", list).await.violations(), refused("/currency"), "{code}");
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
    let mut customer = company("Bolívar");
    customer["currency"] = json!("VES");
    world.admin.post("/v1/customers", customer).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_in_a_withdrawn_currency_is_read_and_renewed() {
    let world = World::new().await;
    world
        .server
        .database
        .execute(
            "UPDATE customers SET currency = 'BGN'; UPDATE subscriptions SET currency = 'BGN'; \
             UPDATE products SET prices = replace(prices::text, 'USD', 'BGN')::jsonb",
        )
        .await;
    assert_eq!(world.admin.get(&world.customer("")).await.ok()["currency"], "BGN");
    assert_eq!(world.admin.get("/v1/price-lists?currency=BGN").await.ok()["data"], json!([]), "a filter can name it");
    let renamed = json!({ "company_name": "Renamed", "currency": "BGN" });
    assert_eq!(world.admin.patch(&world.customer(""), renamed).await.ok()["currency"], "BGN");
    let path = format!("/v1/products/{}", id(&world.product_id));
    let prices = world.admin.get(&path).await.ok()["prices"].clone();
    world.admin.patch(&path, json!({ "name": "Renamed", "prices": prices })).await.ok();
    world.admin.post(&world.customer("/subscriptions"), basket(&world.product_id, 1)).await.created();
    on_day(&world.server, "2028-01-02");
    assert_eq!(world.admin.get(&world.active("")).await.ok()["term"]["start_date"], "2028-01-01", "it is renewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_neutralizes_formulas_and_begins_with_a_byte_order_mark_on_request() {
    let world = World::new().await;
    let names = ["Acme;=1+1", "Acme; \u{200b}@SUM(A1)", "\u{3164}=1+1"];
    for name in names {
        let customer = world.admin.post("/v1/customers", company(name)).await.created();
        let subscriptions = format!("/v1/customers/{}/subscriptions", id(&customer["id"]));
        world.admin.post(&subscriptions, basket(&world.product_id, 1)).await.created();
    }
    for report in ["subscriptions", "transactions", "usage"] {
        let path = |query: &str| format!("/v1/reports/{report}?{query}");
        let csv = world.admin.with("accept", "text/csv");
        let bytes = async |query: &str| {
            let response = csv.open(Method::GET, &path(query), None).await;
            assert_eq!(response.status(), 200, "{report}");
            response.bytes().await.unwrap().to_vec()
        };
        let (plain, marked) = (bytes("").await, bytes("bom=true").await);
        assert_eq!(marked, [&b"\xef\xbb\xbf"[..], &plain].concat(), "{report}");
        assert_eq!(bytes("bom=false").await, plain, "{report}");
        let text = String::from_utf8(plain).unwrap();
        for cell in [",Acme;'=1+1,", ",Acme;' \u{200b}@SUM(A1),", ",'=1+1,"] {
            assert!(text.contains(cell), "{cell} in {text}");
        }
        for bom in ["bom=true", "bom=false"] {
            let found = world.admin.get(&path(bom)).await.violations();
            assert_eq!(found, [("bom".to_owned(), "not_allowed".to_owned())], "{report}");
        }
        let found = csv.get(&path("bom=1")).await.violations();
        assert_eq!(found, [("bom".to_owned(), "invalid_type".to_owned())], "{report}");
    }
}
