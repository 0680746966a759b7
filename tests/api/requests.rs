//! Invalid numbers, invalid query parameters, and requests with many problems: each problem is reported with its place.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::world::{World, basket, company, id, product};
use crate::support::{Raw, Server};

const UNKNOWN: &str = "01990000-0000-7000-8000-000000000000";

fn sorted(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut expected: Vec<_> = expected.iter().map(|(at, code)| ((*at).to_owned(), (*code).to_owned())).collect();
    expected.sort();
    expected
}

/// Operations with the number under test as `"N"` in the body, its places, and its bounds.
fn numbers(world: &World) -> Vec<(Method, String, Value, Vec<&'static str>, i64)> {
    let mut term = basket(&world.product_id, 1);
    term["subscriptions"][0]["term_months"] = json!("N");
    let mut quantity = basket(&world.product_id, 1);
    quantity["subscriptions"][0]["inventory"][0]["quantity"] = json!("N");
    let mut renewal = basket(&world.product_id, 1);
    renewal["subscriptions"][0]["inventory"][0]["renewal_quantity"] = json!("N");
    let mut most = product("n");
    most["certificate_types"][0]["max_quantity"] = json!("N");
    let mut months = product("n");
    months["terms"] = json!(["N"]);
    months["certificate_types"].as_array_mut().unwrap().truncate(1);
    months["prices"].as_array_mut().unwrap().truncate(1);
    months["prices"][0]["term_months"] = json!("N");
    let mut amount = product("n");
    amount["prices"][0]["unit_price"]["amount"] = json!("N");
    let line = |field: &str| json!({ "lines": [{ "certificate_type": "dv", (field): "N" }] });
    let preview = world.customer("/subscriptions/preview");
    let products = format!("/v1/products/{}", id(&world.product_id));
    let allocation = json!({ "certificate_type": "dv", "reference": "n", "quantity": "N" });
    let patched = |body: &Value, field: &str| json!({ (field): body[field], "name": "n" });
    vec![
        (Method::POST, preview.clone(), term, vec!["/subscriptions/0/term_months"], 1),
        (Method::POST, preview.clone(), quantity, vec!["/subscriptions/0/inventory/0/quantity"], 0),
        (Method::POST, preview, renewal, vec!["/subscriptions/0/inventory/0/renewal_quantity"], 0),
        (Method::POST, world.active("/inventory/current/preview"), line("add"), vec!["/lines/0/add"], 1),
        (Method::POST, world.active("/inventory/current"), line("add"), vec!["/lines/0/add"], 1),
        (Method::PUT, world.active("/inventory/renewal"), line("quantity"), vec!["/lines/0/quantity"], 0),
        (Method::POST, world.active("/allocations"), allocation, vec!["/quantity"], 1),
        (
            Method::PATCH,
            products.clone(),
            patched(&most, "certificate_types"),
            vec!["/certificate_types/0/max_quantity"],
            1,
        ),
        (Method::PATCH, products, patched(&amount, "prices"), vec!["/prices/0/unit_price/amount"], 0),
        (Method::POST, "/v1/products".to_owned(), most, vec!["/certificate_types/0/max_quantity"], 1),
        (Method::POST, "/v1/products".to_owned(), amount, vec!["/prices/0/unit_price/amount"], 0),
        (Method::POST, "/v1/products".to_owned(), months, vec!["/prices/0/term_months", "/terms/0"], 1),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_none_or_out_of_bounds_are_refused() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for (method, path, body, at, least) in numbers(&world) {
        let send = |number: &str| {
            let body = body.to_string().replace("\"N\"", number).into_bytes();
            world.admin.send(method.clone(), &path, Some(body))
        };
        let too_low = if least == 1 { "0" } else { "-1" };
        for (number, code) in [
            (too_low, "out_of_range"),
            ("-2147483649", "out_of_range"),
            ("1000000000000", "out_of_range"),
            ("9007199254740993", "out_of_range"),
            ("9223372036854775808", "out_of_range"),
            ("18446744073709551616", "out_of_range"),
            ("1e300", "out_of_range"),
            ("1.5", "invalid_type"),
            ("\"1\"", "invalid_type"),
            ("true", "invalid_type"),
            ("[1]", "invalid_type"),
        ] {
            let expected: Vec<_> = at.iter().map(|at| (*at, code)).collect();
            assert_eq!(send(number).await.violations(), sorted(&expected), "{method} {path} {at:?} {number}");
        }
        if at != ["/prices/0/unit_price/amount"] {
            let expected: Vec<_> = at.iter().map(|at| (*at, "out_of_range")).collect();
            assert_eq!(send("2147483648").await.violations(), sorted(&expected), "{method} {path}");
        }
        if at != ["/lines/0/quantity"] {
            let expected: Vec<_> = at.iter().map(|at| (*at, "required")).collect();
            assert_eq!(send("null").await.violations(), sorted(&expected), "{method} {path}");
        }
        for malformed in ["1e400", "-1e400", "01", "+1", "0x1", ".5", "1.", "NaN", "Infinity", "1 2"] {
            send(malformed).await.problem(400, "malformed_request");
        }
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_number_may_be_written_with_a_fraction_of_zero() {
    let world = World::new().await;
    for (number, (method, path, mut body, ..)) in numbers(&world).into_iter().enumerate() {
        for written in ["1.0", "10e-1", "1E0"] {
            if body.get("code").is_some() {
                body["code"] = json!(format!("whole-{number}-{written}"));
            }
            let body = body.to_string().replace("\"N\"", written);
            let answer = world.admin.send(method.clone(), &path, Some(body.into_bytes())).await;
            assert!((200..300).contains(&answer.status), "{method} {path} {written}: {}", answer.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_problems_of_a_request_are_told_at_once() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    let mut customer = company(" ");
    customer["address"] = json!({ "line1": null, "line2": 7, "country": "be", "planet": "Earth" });
    customer["contact"] = json!([]);
    customer["external_id"] = json!("x".repeat(65));
    customer["partner_id"] = json!("me");
    customer["administration"] = json!("nobody");
    customer["a/b~c"] = json!(1);
    let expected = sorted(&[
        ("/company_name", "invalid_format"),
        ("/address/line1", "required"),
        ("/address/line2", "invalid_type"),
        ("/address/city", "required"),
        ("/address/country", "not_allowed"),
        ("/address/planet", "unknown_field"),
        ("/contact", "invalid_type"),
        ("/external_id", "too_long"),
        ("/partner_id", "invalid_format"),
        ("/administration", "not_allowed"),
        ("/a~1b~0c", "unknown_field"),
    ]);
    assert_eq!(world.admin.post("/v1/customers", customer).await.violations(), expected);

    let patch = json!({
        "company_name": null, "status": "archived", "contact": { "email": "x", "fax": "1" }, "address": { "city": "" }
    });
    let expected = sorted(&[
        ("/company_name", "required"),
        ("/status", "immutable_field"),
        ("/contact/email", "invalid_format"),
        ("/contact/email", "too_short"),
        ("/contact/fax", "unknown_field"),
        ("/address/city", "too_short"),
    ]);
    assert_eq!(world.admin.patch(&world.customer(""), patch).await.violations(), expected);
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_does_not_fit_the_catalogue_is_told_at_once() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    let mut unknown = basket(&json!(UNKNOWN), 1);
    let good = basket(&world.product_id, 1)["subscriptions"][0].take();
    let mut bad = good.clone();
    bad["term_months"] = json!(7);
    bad["start_date"] = json!("2028-01-02");
    bad["inventory"] = json!([
        { "certificate_type": "dv", "quantity": 1001 },
        { "certificate_type": "ev", "quantity": 1 },
        { "certificate_type": "dv", "quantity": 1, "renewal_quantity": 1001 },
    ]);
    let mut late = good.clone();
    late["start_date"] = json!("2026-01-01");
    late["inventory"][0]["quantity"] = json!(0);
    unknown["subscriptions"].as_array_mut().unwrap().extend([good, bad, late]);
    let expected = sorted(&[
        ("/subscriptions/0/product_id", "unknown_reference"),
        ("/subscriptions/2/term_months", "term_not_offered"),
        ("/subscriptions/2/start_date", "start_date_too_late"),
        ("/subscriptions/2/inventory/0/quantity", "out_of_range"),
        ("/subscriptions/2/inventory/1/certificate_type", "certificate_type_not_in_product"),
        ("/subscriptions/2/inventory/2/certificate_type", "duplicate"),
        ("/subscriptions/2/inventory/2/renewal_quantity", "out_of_range"),
        ("/subscriptions/3/start_date", "start_date_too_early"),
        ("/subscriptions/3/inventory", "out_of_range"),
    ]);
    for rest in ["/subscriptions/preview", "/subscriptions"] {
        assert_eq!(world.admin.post(&world.customer(rest), unknown.clone()).await.violations(), expected);
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn query_parameters_are_refused_by_name() {
    let world = World::new().await;
    let eleven = "active,".repeat(11).trim_end_matches(',').to_owned();
    let long = "x".repeat(201);
    for (query, expected) in [
        ("limit=0".to_owned(), vec![("limit", "out_of_range")]),
        ("limit=201".to_owned(), vec![("limit", "out_of_range")]),
        ("limit=-1".to_owned(), vec![("limit", "out_of_range")]),
        ("limit=99999999999999999999".to_owned(), vec![("limit", "invalid_type")]),
        ("limit=abc".to_owned(), vec![("limit", "invalid_type")]),
        ("limit=1.5".to_owned(), vec![("limit", "invalid_type")]),
        ("limit=".to_owned(), vec![("limit", "invalid_type")]),
        ("limit".to_owned(), vec![("limit", "invalid_type")]),
        ("limit=1&limit=1".to_owned(), vec![("limit", "duplicate")]),
        ("q=a&q=b&sort=name".to_owned(), vec![("q", "duplicate"), ("sort", "not_allowed")]),
        ("sort=".to_owned(), vec![("sort", "not_allowed")]),
        ("sort=COMPANY_NAME".to_owned(), vec![("sort", "not_allowed")]),
        ("status=open".to_owned(), vec![("status", "not_allowed")]),
        ("status=active,open".to_owned(), vec![("status", "not_allowed")]),
        ("status=active,".to_owned(), vec![("status", "not_allowed")]),
        ("status=".to_owned(), vec![("status", "not_allowed")]),
        (format!("status={eleven}"), vec![("status", "too_long")]),
        ("q=".to_owned(), vec![("q", "too_short")]),
        ("q=%20".to_owned(), vec![("q", "invalid_format")]),
        ("q=a%00".to_owned(), vec![("q", "invalid_format")]),
        (format!("q={long}"), vec![("q", "too_long")]),
        ("external_id=%00".to_owned(), vec![("external_id", "invalid_format")]),
        ("country=be".to_owned(), vec![("country", "not_allowed")]),
        ("partner_id=me".to_owned(), vec![("partner_id", "invalid_format")]),
        ("created_after=yesterday".to_owned(), vec![("created_after", "invalid_format")]),
        ("created_after=2027-01-01".to_owned(), vec![("created_after", "invalid_format")]),
        ("created_after=2027-02-30T00:00:00Z".to_owned(), vec![("created_after", "invalid_format")]),
        ("created_before=2027-01-01T00:00:00".to_owned(), vec![("created_before", "invalid_format")]),
        ("created_before=".to_owned(), vec![("created_before", "invalid_format")]),
        // In a query, a plus means a space.
        ("created_before=2027-01-01T00:00:00+01:00".to_owned(), vec![("created_before", "invalid_format")]),
        ("Q=a".to_owned(), vec![("Q", "unknown_field")]),
        ("%zz=1&limit=0".to_owned(), vec![("%zz", "unknown_field"), ("limit", "out_of_range")]),
    ] {
        let found = world.admin.get(&format!("/v1/customers?{query}")).await.violations();
        assert_eq!(found, sorted(&expected), "{query}");
    }
    for (query, parameter, code) in [
        ("auto_renew=yes", "auto_renew", "invalid_type"),
        ("auto_renew=", "auto_renew", "invalid_type"),
        ("auto_renew=true&auto_renew=true", "auto_renew", "duplicate"),
        ("ends_before=2027-02-30", "ends_before", "invalid_format"),
        ("ends_after=2027-02-1T", "ends_after", "invalid_format"),
        ("ends_after=1", "ends_after", "invalid_format"),
        ("status=pending&status=archived", "status", "not_allowed"),
        ("product_id=1", "product_id", "invalid_format"),
        ("q=a", "q", "unknown_field"),
    ] {
        for list in ["/v1/subscriptions".to_owned(), world.customer("/subscriptions")] {
            let found = world.admin.get(&format!("{list}?{query}")).await.violations();
            assert_eq!(found, sorted(&[(parameter, code)]), "{list}?{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn query_parameters_at_their_limits_are_taken() {
    let world = World::new().await;
    let all = world.admin.get("/v1/customers").await.ok();
    assert_eq!(all["data"].as_array().unwrap().len(), 2);
    let long = format!("q={}", "%F0%9F%98%80".repeat(200));
    for (query, rows) in [
        ("limit=200", 2),
        ("limit=1", 1),
        ("status=active&status=archived", 2),
        ("status=archived,active", 2),
        ("status=archived%2Cactive&status=active", 2),
        ("created_after=2026-11-20T12:00:00Z", 2),
        ("created_after=2026-11-20T13:00:00%2B01:00&created_before=2026-11-20T12:00:00.000001Z", 2),
        ("created_before=2026-11-20t12:00:00z", 0),
        ("created_after=0000-01-01T00:00:00Z", 2),
        ("created_after=9999-12-31T23:59:59-23:59", 0),
        ("created_after=2016-12-31T23:59:60Z", 2),
        ("created_after=2016-12-31T23:59:59.123456789123Z", 2),
        ("q=%20north%20", 1),
        // An invalid escape stands for itself.
        ("q=%zz", 0),
        ("q=%D7%A9%D7%9C%D7%95%D7%9D", 0),
        (long.as_str(), 0),
        ("&limit=200&", 2),
    ] {
        let found = world.admin.get(&format!("/v1/customers?{query}")).await.ok();
        assert_eq!(found["data"].as_array().unwrap().len(), rows, "{query}");
    }
}

/// The detail of the single problem of a body.
async fn told(world: &World, path: &str, body: Value) -> String {
    let problem = world.admin.post(path, body).await.problem(422, "validation_failed");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem}");
    problem["errors"][0]["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_body_is_told_with_what_would_be_right() {
    let world = World::new().await;
    let line = "Write one line with at least one visible character, without line breaks, control characters or \
                characters that change the direction of the text.";
    for (field, value, detail) in [
        ("company_name", json!(" "), line),
        ("company_name", json!(""), "At least 1 character(s) are required."),
        ("company_name", json!(7), "This must be a string."),
        ("company_name", Value::Null, "This must be a string, not null."),
        ("address", Value::Null, "This must be an object, not null."),
        ("contact", Value::Null, "This must be an object, not null (or omit the field)."),
        ("external_id", Value::Null, "This must be a string, not null (or omit the field)."),
        ("partner_id", json!("me"), "Use a UUID as in responses, for example 01990000-0000-7000-8000-000000000000."),
        ("currency", json!("euro"), "Use an ISO 4217 currency code in upper case, for example EUR."),
        ("administration", json!("nobody"), "Only [\"partner\",\"customer\"] are allowed."),
    ] {
        let mut body = company("Northwind");
        body[field] = value;
        assert_eq!(told(&world, "/v1/customers", body).await, detail, "{field}");
    }
    let mut abroad = company("Northwind");
    abroad["address"]["country"] = json!("");
    let country = "Use an ISO 3166-1 alpha-2 country code in upper case, for example BE.";
    assert_eq!(told(&world, "/v1/customers", abroad).await, country);
    let mut empty = basket(&world.product_id, 1);
    empty["subscriptions"][0]["inventory"][0]["quantity"] = Value::Null;
    let preview = world.customer("/subscriptions/preview");
    assert_eq!(told(&world, &preview, empty.clone()).await, "This must be an integer, not null.");
    empty["subscriptions"][0]["inventory"] = json!([null]);
    assert_eq!(told(&world, &preview, empty).await, "This must be an object, not null.");
    let renewal = json!({ "lines": [{ "certificate_type": "dv", "quantity": "1" }] });
    let renewal = world.admin.put(&world.active("/inventory/renewal"), renewal).await;
    let problem = renewal.problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["detail"], "This must be null or an integer.");
    let patch = world.admin.patch(&world.customer(""), json!({ "company_name": null })).await;
    let problem = patch.problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["detail"], "This must be a string, not null (or omit the field).");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_query_is_told_with_what_would_be_right() {
    let world = World::new().await;
    for (query, detail) in [
        ("customers?limit=abc", "This must be an integer."),
        ("subscriptions?auto_renew=yes", "This must be true or false."),
        ("subscriptions?ends_before=2027-02-30", "Use a valid calendar date, for example 2027-01-31."),
        (
            "customers?created_after=2027-01-01",
            "Use an RFC 3339 date and time with an offset, for example 2027-01-31T09:30:00Z.",
        ),
        (
            "customers?created_after=2026-11-20+13:00",
            "Use an RFC 3339 date and time with an offset, for example 2027-01-31T09:30:00Z.",
        ),
        ("customers?limit=1+1", "This must be an integer."),
    ] {
        let problem = world.admin.get(&format!("/v1/{query}")).await.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["detail"], detail, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_plus_of_an_offset_became_a_space_the_detail_names_its_escape() {
    let world = World::new().await;
    let detail = "Use an RFC 3339 date and time with an offset, for example 2027-01-31T09:30:00Z. In a query, `+` means a \
                  space. Send it as `%2B`.";
    for parameter in ["customers?created_after", "customers?created_before", "audit-entries?occurred_after"] {
        for written in ["+01:00", "%2001:00"] {
            let path = format!("/v1/{parameter}=2026-11-20T13:00:00{written}");
            let problem = world.admin.get(&path).await.problem(422, "validation_failed");
            assert_eq!(problem["errors"][0]["detail"], detail, "{path}");
        }
    }
    let path = world.active("/inventory?as_of=2027-01-01T13:00:00+01:00");
    let problem = world.admin.get(&path).await.problem(422, "validation_failed");
    assert_eq!(problem["errors"][0]["detail"], detail);
    world.admin.get(&path.replace('+', "%2B")).await.ok();
    let both = world.admin.get("/v1/customers?created_after=2026-11-20T13:00:00+01:00&sort=a+b").await;
    let problem = both.problem(422, "validation_failed");
    let named: Vec<_> =
        problem["errors"].as_array().unwrap().iter().filter(|error| error["detail"] == detail).collect();
    assert_eq!(named.len(), 1, "there is no hint about a plus if that would not help: {problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_begins_with_a_byte_order_mark_is_read() {
    let world = World::new().await;
    let send = async |path: &str, body: String| world.admin.send(Method::POST, path, Some(body.into_bytes())).await;
    let created = send("/v1/customers", format!("\u{feff}{}", company("Marked"))).await.created();
    assert_eq!(created["company_name"], "Marked");
    send(&world.active("/enable"), "\u{feff}{}".to_owned()).await.ok();
    for malformed in ["\u{feff}", "\u{feff}\u{feff}{}", "{}\u{feff}", "{\u{feff}}", "\u{fffe}{}"] {
        send("/v1/customers", malformed.to_owned()).await.problem(400, "malformed_request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instant_is_told_as_it_is_to_be_sent() {
    let world = World::new().await;
    let key = json!({ "name": "Late", "role": "sales", "expires_at": "2020-01-01T00:00:00Z" });
    let detail = "A key must expire after 2027-01-01T12:00:00Z (now) and not later than 2037-01-01T12:00:00Z. Change \
                  `expires_at`.";
    assert_eq!(told(&world, "/v1/api-keys", key).await, detail);
    let back = json!({ "now": "2020-01-01T00:00:00Z" });
    let detail =
        "The clock can only move forward. Choose an instant from 2027-01-01T12:00:00Z to 2037-01-01T12:00:00Z.";
    assert_eq!(told(&world, "/v1/sandbox/clock", back).await, detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_refused_without_a_body() {
    let server = Server::start().await;
    let many = "X-Some: thing\r\n".repeat(200);
    for (path, headers, status) in
        [("/healthz?q=caf\u{e9}", "", 400), ("/healthz?q=a b", "", 400), ("/healthz", many.as_str(), 431)]
    {
        let answer = Raw::connect(&server.url).await.get(path, headers.as_bytes()).await;
        assert_eq!((answer.status(), answer.body.as_str()), (status, ""), "{path}");
    }
}
