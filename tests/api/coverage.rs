//! Checks that apply to every operation. The OpenAPI document is the checklist: an operation without a recipe here
//! fails, so it cannot be forgotten.

use partner_platform::api::contract::document::{DOCUMENT, Operation};
use partner_platform::api::routes;
use partner_platform::domain::authorization::{Right, Role};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::world::{IDEMPOTENCY_KEY, World, basket, company, id, price_list, product};
use crate::support::{Answer, Client};

const UNKNOWN: &str = "01990000-0000-7000-8000-000000000000";

/// A successful request for an operation in the world: the ids of its path, a body, and the required right.
pub(crate) struct Recipe {
    pub id: Value,
    pub body: Option<Value>,
    pub right: Right,
}

pub(crate) fn recipe(operation: &str, world: &World) -> Recipe {
    use Right::*;
    let World { reseller_id, customer_id, product_id, active_id, pending_id, suspended_id, lapsed_id, .. } = world;
    let add = json!({ "lines": [{ "certificate_type": "dv", "add": 1 }] });
    let set = json!({ "lines": [{ "certificate_type": "dv", "quantity": 25 }] });
    let thresholds = json!({ "lines": [{ "certificate_type": "dv", "low_threshold": 5 }] });
    let allocation = json!({ "certificate_type": "dv", "reference": "recipe" });
    let reason = json!({ "reason": "Because" });
    let (id, body, right) = match operation {
        "listResellers"
        | "listCustomers"
        | "listProducts"
        | "listSubscriptions"
        | "listOrders"
        | "listCharges"
        | "listRenewalFailures"
        | "listUpcomingCharges"
        | "listInvoices"
        | "listEvents"
        | "getSandboxClock" => (Value::Null, None, Read),
        "listAuditEntries" => (Value::Null, None, ReadAudit),
        "getIdempotencyKey" => (json!(IDEMPOTENCY_KEY), None, Read),
        "moveSandboxClock" => (Value::Null, Some(json!({ "advance_days": 1 })), MoveClock),
        "reportSubscriptions" | "reportTransactions" | "reportUsage" => (Value::Null, None, Read),
        "createReseller" => (Value::Null, Some(company("New Resale")), WriteResellers),
        "getReseller" => (reseller_id.clone(), None, Read),
        "updateReseller" => (reseller_id.clone(), Some(json!({ "company_name": "Renamed" })), WriteResellers),
        "disableReseller" => (world.other_reseller_id.clone(), Some(reason), WriteResellers),
        "enableReseller" => (reseller_id.clone(), None, WriteResellers),
        "createCustomer" => (Value::Null, Some(company("New Customer")), WriteCustomers),
        "getCustomer" | "listAvailableProducts" | "listCustomerSubscriptions" | "listCustomerUpcomingCharges" => {
            (customer_id.clone(), None, Read)
        }
        "updateCustomer" => (customer_id.clone(), Some(json!({ "company_name": "Renamed" })), WriteCustomers),
        "archiveCustomer" => (world.idle_customer_id.clone(), None, WriteCustomers),
        "restoreCustomer" => (customer_id.clone(), None, WriteCustomers),
        "createProduct" => (Value::Null, Some(product(&format!("new-{}", &id(product_id)[24..]))), WriteProducts),
        "getProduct" => (product_id.clone(), None, Read),
        "updateProduct" => (product_id.clone(), Some(json!({ "name": "Renamed" })), WriteProducts),
        "listPriceLists" => (Value::Null, None, Read),
        "createPriceList" => (Value::Null, Some(price_list("New", product_id, 8800)), WriteProducts),
        "getPriceList" => (world.price_list_id.clone(), None, Read),
        "updatePriceList" => (world.price_list_id.clone(), Some(json!({ "name": "Renamed" })), WriteProducts),
        "deletePriceList" => (world.idle_price_list_id.clone(), None, WriteProducts),
        "previewAddSubscriptions" => (customer_id.clone(), Some(basket(product_id, 3)), Read),
        "addSubscriptions" => (customer_id.clone(), Some(basket(product_id, 3)), WriteSubscriptions),
        "getSubscription" | "listSubscriptionTerms" | "getInventory" | "listInventoryLedger" | "listAllocations" => {
            (active_id.clone(), None, Read)
        }
        "updateSubscription" => (active_id.clone(), Some(json!({ "auto_renew": false })), WriteSubscriptions),
        "suspendSubscription" => (active_id.clone(), Some(reason), SuspendSubscriptions),
        "enableSubscription" => (suspended_id.clone(), None, SuspendSubscriptions),
        "cancelSubscription" => (pending_id.clone(), Some(reason), WriteSubscriptions),
        "previewRenewSubscription" => (lapsed_id.clone(), None, Read),
        "renewSubscription" => (lapsed_id.clone(), None, WriteSubscriptions),
        "previewCurrentInventory" => (active_id.clone(), Some(add), Read),
        "addCurrentInventory" => (active_id.clone(), Some(add), WriteSubscriptions),
        "previewRenewalInventory" => (active_id.clone(), Some(set), Read),
        "setRenewalInventory" => (active_id.clone(), Some(set), WriteSubscriptions),
        "setInventoryThresholds" => (active_id.clone(), Some(thresholds), WriteSubscriptions),
        "allocate" => (active_id.clone(), Some(allocation), Allocate),
        "getAllocation" => (world.allocation_id.clone(), None, Read),
        "releaseAllocation" => (world.allocation_id.clone(), None, Allocate),
        "getOrder" | "listOrderLines" => (world.order_id.clone(), None, Read),
        "getInvoice" | "getInvoiceDocument" => (world.invoice_id.clone(), None, Read),
        "runInvoices" => (Value::Null, Some(json!({ "through": "2026-12-31" })), WriteInvoices),
        "markInvoiceEmailed" | "markInvoicePaid" => (world.invoice_id.clone(), None, WriteInvoices),
        "voidInvoice" => (world.void_invoice_id.clone(), Some(reason), WriteInvoices),
        "listApiKeys" => (Value::Null, None, ManageApiKeys),
        "createApiKey" => (Value::Null, Some(json!({ "name": "New", "role": "sales" })), ManageApiKeys),
        "getApiKey" => (world.api_key_id.clone(), None, ManageApiKeys),
        "updateApiKey" => (world.api_key_id.clone(), Some(json!({ "name": "Renamed" })), ManageApiKeys),
        "rotateApiKey" => (world.api_key_id.clone(), Some(json!({ "overlap_seconds": 60 })), ManageApiKeys),
        "revokeApiKey" => (world.idle_api_key_id.clone(), Some(reason), ManageApiKeys),
        "listWebhookEndpoints" => (Value::Null, None, ManageWebhooks),
        "createWebhookEndpoint" => (Value::Null, Some(json!({ "url": "https://receiver.example/" })), ManageWebhooks),
        "getWebhookEndpoint" | "listWebhookDeliveries" => (world.endpoint_id.clone(), None, ManageWebhooks),
        "updateWebhookEndpoint" => {
            (world.endpoint_id.clone(), Some(json!({ "description": "Renamed" })), ManageWebhooks)
        }
        "enableWebhookEndpoint" | "testWebhookEndpoint" | "rotateWebhookEndpointSecret" => {
            (world.endpoint_id.clone(), None, ManageWebhooks)
        }
        "disableWebhookEndpoint" => (world.endpoint_id.clone(), Some(reason), ManageWebhooks),
        "deleteWebhookEndpoint" => (world.idle_endpoint_id.clone(), None, ManageWebhooks),
        "redeliverWebhookDelivery" => (world.delivery_id.clone(), None, ManageWebhooks),
        unknown => panic!("{unknown} has no recipe: add a successful request and the required right"),
    };
    Recipe { id, body, right }
}

/// The operations that require a key.
pub(crate) fn operations() -> impl Iterator<Item = &'static Operation> {
    DOCUMENT.operations.iter().filter(|operation| operation.path.starts_with("/v1/"))
}

fn documented(operation: &Operation) -> &'static Value {
    &DOCUMENT.value["paths"][&operation.path][operation.method.to_lowercase()]
}

fn has_parameter(operation: &Operation, name: &str) -> bool {
    documented(operation)["parameters"].as_array().into_iter().flatten().any(|parameter| parameter["name"] == name)
}

fn path(operation: &Operation, id: &str) -> String {
    let parts = operation.path.split('/').map(|part| if part.starts_with('{') { id } else { part });
    parts.collect::<Vec<_>>().join("/")
}

pub(crate) async fn call(client: &Client, operation: &Operation, id: &str, body: Option<&Value>) -> Answer {
    let method: Method = operation.method.parse().unwrap();
    client.send(method, &path(operation, id), body.map(|body| body.to_string().into_bytes())).await
}

fn own_path(recipe: &Recipe) -> &str {
    recipe.id.as_str().unwrap_or_default()
}

/// The response without the values that differ for each request.
fn essence(answer: Answer) -> (u16, Value) {
    let mut body = answer.body;
    for field in ["request_id", "instance"] {
        body[field] = Value::Null;
    }
    (answer.status, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_succeeds_as_documented() {
    let world = World::new().await;
    // Requests without changes come first, because the others change the states of the subscriptions.
    let (previews, others): (Vec<_>, Vec<_>) = operations().partition(|operation| operation.id.starts_with("preview"));
    for operation in previews.into_iter().chain(others) {
        let recipe = recipe(&operation.id, &world);
        let answer = call(&world.admin, operation, own_path(&recipe), recipe.body.as_ref()).await;
        assert!((200..300).contains(&answer.status), "{}: {} {}", operation.id, answer.status, answer.body);
        if answer.body.get("version").is_some() {
            assert_eq!(answer.header("etag"), format!("\"{}\"", answer.body["version"]), "{}", operation.id);
        }
        if answer.status == 201 {
            assert!(answer.header("location").starts_with("/v1/"), "{}", operation.id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_needs_a_valid_key() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    let forged = Client::new(&world.server.url, Some("ppk_forged"));
    for operation in operations() {
        let recipe = recipe(&operation.id, &world);
        for client in [&world.server.stranger(), &forged, &world.server.stranger().with("authorization", "Basic eDp5")]
        {
            let answer = call(client, operation, own_path(&recipe), recipe.body.as_ref()).await;
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{}", operation.id);
            answer.problem(401, "unauthenticated");
        }
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_can_do_what_the_rights_table_says_and_no_more() {
    let world = World::new().await;
    for role in Role::ALL {
        for (reseller, client) in [
            (false, world.server.client(*role, None).await),
            (true, world.server.client(*role, Some(&world.reseller_id)).await),
        ] {
            for operation in operations().filter(|operation| operation.id != "disableReseller") {
                let recipe = recipe(&operation.id, &world);
                let answer = call(&client, operation, own_path(&recipe), recipe.body.as_ref()).await;
                let may = recipe.right.roles().contains(role) && !(reseller && recipe.right.is_partner_only());
                let context = format!("{} as {role}, of a reseller: {reseller}: {}", operation.id, answer.body);
                if may {
                    assert_ne!(answer.status, 403, "{context}");
                } else {
                    let detail = answer.problem(403, "forbidden")["detail"].clone();
                    assert!(detail.as_str().unwrap().contains(recipe.right.as_str()), "{context}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_tenants_is_as_if_it_were_not_there() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for operation in operations().filter(|operation| operation.path.contains('{')) {
        let recipe = recipe(&operation.id, &world);
        if operation.path.contains("{product_id}") || recipe.right.is_partner_only() {
            continue; // Products are visible to everyone. A caller without the right learns nothing.
        }
        let theirs = if operation.id == "getReseller" { &world.reseller_id } else { &recipe.id };
        let not_yours = call(&world.other, operation, id(theirs), recipe.body.as_ref()).await;
        let not_there = call(&world.other, operation, UNKNOWN, recipe.body.as_ref()).await;
        assert_eq!(essence(not_yours.clone()), essence(not_there), "{}", operation.id);
        not_yours.problem(404, "not_found");
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_nothing_of_another_tenant() {
    let world = World::new().await;
    for (path, rows) in [
        ("customers", 0),
        ("subscriptions", 0),
        ("orders", 0),
        ("charges", 0),
        ("upcoming-charges", 0),
        ("invoices", 0),
        ("price-lists", 0),
        ("renewal-failures", 0),
        ("resellers", 1),
        ("webhook-endpoints", 0),
        ("api-keys", 1),
        ("reports/subscriptions", 0),
        ("reports/transactions", 0),
        ("reports/usage", 0),
    ] {
        let list = world.other.get(&format!("/v1/{path}")).await.ok();
        assert_eq!(list["data"].as_array().unwrap().len(), rows, "{path}");
    }
    for query in [
        "customers?partner_id",
        "subscriptions?partner_id",
        "upcoming-charges?partner_id",
        "webhook-endpoints?partner_id",
        "api-keys?partner_id",
    ] {
        let found = world.other.get(&format!("/v1/{query}={}", id(&world.reseller_id))).await.violations();
        assert_eq!(found, [("partner_id".to_owned(), "unknown_reference".to_owned())]);
    }
    for query in ["subscriptions?customer_id", "orders?customer_id", "charges?customer_id", "invoices?customer_id"] {
        let found = world.other.get(&format!("/v1/{query}={}", id(&world.customer_id))).await.violations();
        assert_eq!(found, [("customer_id".to_owned(), "unknown_reference".to_owned())]);
    }
    let orders = format!("/v1/orders?subscription_id={}", id(&world.active_id));
    world.other.get(&orders).await.problem(422, "validation_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_refuses_bad_input_and_changes_nothing() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for operation in operations() {
        let recipe = recipe(&operation.id, &world);
        let (own, method) = (own_path(&recipe), operation.method.parse::<Method>().unwrap());
        let own_path = path(operation, own);
        let body = recipe.body.as_ref().map(|body| body.to_string().into_bytes());
        let client = &world.admin;

        let answer = client.send(method.clone(), &format!("{own_path}?surprise=1"), body.clone()).await;
        assert_eq!(answer.violations(), [("surprise".to_owned(), "unknown_field".to_owned())], "{}", operation.id);
        let image = client.with("accept", "image/png").send(method.clone(), &own_path, body.clone()).await;
        image.problem(406, "not_acceptable");
        if operation.path.contains("_id}") {
            let odd = client.send(method.clone(), &path(operation, "not-a-uuid"), body.clone()).await;
            odd.problem(400, "malformed_request");
        }
        if operation.path.contains('{') {
            call(client, operation, UNKNOWN, recipe.body.as_ref()).await.problem(404, "not_found");
        }
        if operation.method == "GET" {
            continue;
        }
        let send = |body: &str| client.send(method.clone(), &own_path, Some(body.as_bytes().to_vec()));
        for broken in ["{", "{\"a\":1,\"a\":2}", "nul", &"[".repeat(10_000)] {
            send(broken).await.problem(400, "malformed_request");
        }
        send(&"x".repeat(2 << 20)).await.problem(413, "payload_too_large");
        let text = client.with("content-type", "text/plain");
        text.send(method.clone(), &own_path, Some(b"{}".to_vec())).await.problem(415, "unsupported_media_type");
        send("[]").await.problem(422, "validation_failed");
        let found = send("{\"surprise\":1}").await.violations();
        assert!(found.contains(&("/surprise".to_owned(), "unknown_field".to_owned())), "{}: {found:?}", operation.id);
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_if_match_changes_nothing() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for operation in operations().filter(|operation| has_parameter(operation, "If-Match")) {
        let recipe = recipe(&operation.id, &world);
        for tag in ["\"999\"", "W/\"999\"", "\"997\", \"998\"", "\"999-gzip\",W/\"998;br\""] {
            let client = world.admin.with("if-match", tag);
            let answer = call(&client, operation, own_path(&recipe), recipe.body.as_ref()).await;
            let problem = answer.problem(412, "version_mismatch");
            assert!(problem["detail"].as_str().unwrap().contains("version"), "{}", operation.id);
        }
        let long = world.admin.with("if-match", &"\"1\",".repeat(300));
        let found = call(&long, operation, own_path(&recipe), recipe.body.as_ref()).await.violations();
        assert_eq!(found, [("If-Match".to_owned(), "too_long".to_owned())]);
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_if_match_that_is_no_tag_is_refused_with_the_way_to_write_one() {
    let world = World::new().await;
    let before = world.server.database.fingerprint().await;
    for operation in operations().filter(|operation| has_parameter(operation, "If-Match")) {
        let recipe = recipe(&operation.id, &world);
        for no_tag in [
            "\"01\"",
            "\"+1\"",
            "\"-1\"",
            "\"1-\"",
            "\"1-zip\"",
            "\"1-gzip-br\"",
            "\"x\", \"1\"",
            "\"\"",
            "1",
            "",
            "'1'",
            "W/1",
            "w/\"1\"",
            "\"1",
            "\"1\" \"2\"",
            "\"1\",",
            "*, \"1\"",
            "\"a b\"",
            "\"é\"",
        ] {
            let client = world.admin.with("if-match", no_tag);
            let answer = call(&client, operation, own_path(&recipe), recipe.body.as_ref()).await;
            let error = answer.problem(422, "validation_failed")["errors"][0].clone();
            assert_eq!(
                (&error["parameter"], &error["code"]),
                (&json!("If-Match"), &json!("invalid_format")),
                "{no_tag}"
            );
            assert!(error["detail"].as_str().unwrap().contains("with its quotes"), "{error}");
        }
    }
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_the_client_has_is_not_sent_again() {
    let world = World::new().await;
    for operation in operations().filter(|operation| has_parameter(operation, "If-None-Match")) {
        let recipe = recipe(&operation.id, &world);
        let tag = call(&world.admin, operation, own_path(&recipe), None).await.header("etag").to_owned();
        let compressed = |suffix: &str| format!("{}{suffix}\"", tag.trim_end_matches('"'));
        for have in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"999\", {tag}"),
            "*".to_owned(),
            compressed("-gzip"),
            compressed("--gzip"),
            compressed(";br"),
            format!("W/{}", compressed("-zstd")),
        ] {
            let answer = call(&world.admin.with("if-none-match", &have), operation, own_path(&recipe), None).await;
            assert_eq!((answer.status, answer.header("etag")), (304, tag.as_str()), "{}", operation.id);
        }
        let answer = call(&world.admin.with("if-none-match", "\"999\""), operation, own_path(&recipe), None).await;
        assert_eq!(answer.status, 200, "{}", operation.id);
        for no_tag in ["\"01\"", "\"+1\"", "1", "\"x\""] {
            let answer = call(&world.admin.with("if-none-match", no_tag), operation, own_path(&recipe), None).await;
            assert_eq!(answer.violations(), [("If-None-Match".to_owned(), "invalid_format".to_owned())], "{no_tag}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_a_path_does_not_have_is_405_with_allow() {
    let world = World::new().await;
    for operation in operations() {
        let allowed = routes::find(&path(operation, UNKNOWN)).unwrap().route.allow();
        let not_there = [Method::PUT, Method::DELETE].into_iter().find(|method| !allowed.contains(method.as_str()));
        let answer = world.admin.send(not_there.unwrap(), &path(operation, UNKNOWN), None).await;
        assert!(answer.header("allow").split(", ").any(|method| method == operation.method), "{}", operation.id);
        answer.problem(405, "method_not_allowed");
    }
    let named = world.admin.get("/v1/invoices/run").await;
    assert_eq!(named.header("allow"), "POST", "a name is not an id");
    named.problem(405, "method_not_allowed");
    world.admin.get("/v1/nothing").await.problem(404, "not_found");
    for path in ["/v1/customers/", "/v1/customers//archive", "/v1/orders/", "/v1/invoices/run/"] {
        let nowhere = world.admin.get(path).await;
        assert!(!nowhere.headers.contains_key("allow"), "{path}: no id is empty");
        nowhere.problem(404, "not_found");
    }
    world.server.stranger().get("/nothing").await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_resellers_keys_are_refused_until_it_is_enabled() {
    let world = World::new().await;
    let reseller = format!("/v1/resellers/{}", id(&world.other_reseller_id));
    world.admin.act(&format!("{reseller}/disable")).await.ok();
    for operation in operations() {
        let recipe = recipe(&operation.id, &world);
        call(&world.other, operation, own_path(&recipe), recipe.body.as_ref()).await.problem(403, "reseller_disabled");
    }
    world.admin.act(&format!("{reseller}/enable")).await.ok();
    world.other.get("/v1/customers").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_examples_of_the_document_work() {
    let world = World::new().await;
    for operation in operations() {
        let Some(schema) =
            documented(operation)["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
        else {
            continue;
        };
        let name = schema.rsplit('/').next().unwrap();
        let example = &DOCUMENT.value["components"]["schemas"][name]["example"];
        assert!(!example.is_null(), "{name} has an example");
        // The product and the certificate type of the example do not exist in this world.
        let text = example.to_string().replace(UNKNOWN, id(&world.product_id)).replace("ov-single", "dv");
        let recipe = recipe(&operation.id, &world);
        let example: Value = serde_json::from_str(&text).unwrap();
        let answer = call(&world.admin, operation, own_path(&recipe), Some(&example)).await;
        assert!((200..300).contains(&answer.status), "{}: {} {}", operation.id, answer.status, answer.body);
        assert_eq!(keys(&answer.body), keys(answer_example(operation, answer.status)), "{}", operation.id);
    }
}

fn answer_example(operation: &Operation, status: u16) -> &'static Value {
    &documented(operation)["responses"][status.to_string()]["content"]["application/json"]["example"]
}

fn keys(value: &Value) -> Vec<&String> {
    value.as_object().unwrap().keys().collect()
}

/// An id of another tenant for a name in a query or a body.
fn theirs<'a>(name: &str, world: &'a World) -> Option<&'a Value> {
    match name {
        "partner_id" => Some(&world.reseller_id),
        "customer_id" => Some(&world.customer_id),
        "subscription_id" => Some(&world.active_id),
        "price_list_id" => Some(&world.price_list_id),
        // Products are visible to everyone. `resource_id` finds actions of the caller on any resource.
        "product_id" | "resource_id" => None,
        unknown => panic!("{unknown} could name a resource of another tenant: add one here"),
    }
}

fn is_id(schema: &Value) -> bool {
    schema["format"] == "uuid"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_names_what_is_another_tenants_is_as_if_it_were_not_there() {
    let world = World::new().await;
    let mut checked = 0;
    for operation in operations() {
        let parameters = documented(operation)["parameters"].as_array().into_iter().flatten();
        let ids = parameters.filter(|parameter| parameter["in"] == "query" && is_id(&parameter["schema"]));
        for name in ids.map(|parameter| parameter["name"].as_str().unwrap()) {
            let Some(theirs) = theirs(name, &world) else { continue };
            // The ids in the path belong to the caller.
            if operation.path.contains('{') {
                continue;
            }
            let ask = |named: String| {
                let path = format!("{}?{name}={named}", operation.path);
                let client = &world.other;
                async move { essence(client.get(&path).await) }
            };
            let not_yours = ask(id(theirs).to_owned()).await;
            assert_eq!(not_yours, ask(UNKNOWN.to_owned()).await, "{} {name}", operation.id);
            assert_eq!(not_yours.0, 422, "{} {name}: {}", operation.id, not_yours.1);
            checked += 1;
        }
    }
    assert!(checked >= 15, "{checked} were checked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_names_what_is_another_tenants_is_as_if_it_were_not_there() {
    let world = World::new().await;
    let own_customer = world.other.post("/v1/customers", company("Their own")).await.created()["id"].clone();
    let before = world.server.database.fingerprint().await;
    let mut checked = 0;
    for operation in operations().filter(|operation| operation.method != "GET") {
        let recipe = recipe(&operation.id, &world);
        let (Some(body), false) = (recipe.body, recipe.right.is_partner_only()) else { continue };
        let schema = &documented(operation)["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let schema = DOCUMENT.value.pointer(schema.as_str().unwrap().trim_start_matches('#')).unwrap();
        for name in
            schema["properties"].as_object().unwrap().iter().filter(|(_, field)| is_id(field)).map(|(name, _)| name)
        {
            let Some(theirs) = theirs(name, &world) else { continue };
            let own = if operation.path.contains("{customer_id}") { &own_customer } else { &recipe.id };
            let send = |named: Value| {
                let mut body = body.clone();
                body[name] = named;
                let client = &world.other;
                async move { call(client, operation, own.as_str().unwrap_or_default(), Some(&body)).await }
            };
            let not_yours = send(theirs.clone()).await;
            // This detail contains the id that was sent.
            let without_id = |answer: Answer, named: &str| {
                let (status, body) = essence(answer);
                (status, body.to_string().replace(named, "<id>"))
            };
            let expected = without_id(send(json!(UNKNOWN)).await, UNKNOWN);
            assert_eq!(without_id(not_yours.clone(), id(theirs)), expected, "{} {name}", operation.id);
            assert!([403, 422].contains(&not_yours.status), "{} {name}: {}", operation.id, not_yours.body);
            checked += 1;
        }
    }
    assert!(checked >= 4, "{checked} were checked");
    assert_eq!(before, world.server.database.fingerprint().await, "nothing changed");
}
