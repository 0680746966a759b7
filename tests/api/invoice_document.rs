//! The invoice as an HTML page: it is complete, and its content cannot execute scripts.

use serde_json::{Value, json};

use crate::support::world::{World, basket, bill, company, id, product};

/// Bills a new customer for 3 `dv` from `start`, and returns the page.
async fn page(world: &World, customer: Value, start: &str) -> String {
    let customer = world.admin.post("/v1/customers", customer).await.created();
    let mut body = basket(&world.product_id, 3);
    body["subscriptions"][0]["start_date"] = json!(start);
    world.admin.post(&format!("/v1/customers/{}/subscriptions", id(&customer["id"])), body).await.created();
    world.admin.act("/v1/invoices/run").await.ok();
    let invoices = world.admin.get(&format!("/v1/invoices?customer_id={}", id(&customer["id"]))).await.ok();
    text(world, &invoices["data"][0]["id"]).await
}

async fn text(world: &World, invoice_id: &Value) -> String {
    let answer = world.admin.get(&format!("/v1/invoices/{}/document", id(invoice_id))).await;
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    answer.ok().as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_who_bills_whom_for_what() {
    let world = World::new().await;
    let mut customer = company("Zoë & Söhne");
    customer["contact"] = json!({ "name": "Ada Peeters", "email": "ada@zoe.example" });
    let page = page(&world, customer, "2026-10-01").await;
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">") && page.ends_with("</html>"), "{page}");
    for text in [
        "Certificates &amp; Co",
        "Invoice INV-2027-00000",
        "Zoë &amp; Söhne",
        "Ada Peeters",
        "ada@zoe.example",
        "1 Quay",
        "Antwerp",
        "1 January 2027",
        "Product tls",
        "3 certificates at USD 99.00 each, for 273 of 365 days",
        "USD 222.14",
        "@media print",
        "@page",
    ] {
        assert!(page.contains(text), "{text} is on {page}");
    }
    for text in ["PAID", "VOID", "<script", "http:", "https:", "url(", "@import"] {
        assert!(!page.contains(text), "{text} is not on {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_wrote_is_text_and_never_markup() {
    let world = World::new().await;
    let rude = "<script>alert('1')</script>\"&";
    let mut customer = company(rude);
    for field in ["line1", "line2", "line3", "city", "state"] {
        customer["address"][field] = json!(rude);
    }
    customer["contact"] = json!({ "name": rude });
    let named = json!({ "name": rude });
    world.admin.patch(&format!("/v1/products/{}", id(&world.product_id)), named).await.ok();
    let page = page(&world, customer, "2027-01-01").await;
    assert!(!page.contains("<script"), "{page}");
    assert_eq!(page.matches("&lt;script&gt;").count(), 8, "it is escaped: {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_may_run_and_load_nothing() {
    let world = World::new().await;
    let answer = world.admin.get(&format!("/v1/invoices/{}/document", id(&world.invoice_id))).await;
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline';"), "{policy}");
    assert!(!policy.contains("script"), "{policy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_or_void_says_so_in_large_letters() {
    let world = World::new().await;
    assert!(text(&world, &world.void_invoice_id).await.contains("VOID<span>20 November 2026"));
    for action in ["mark-emailed", "mark-paid"] {
        world.admin.act(&format!("/v1/invoices/{}/{action}", id(&world.invoice_id))).await.ok();
    }
    assert!(text(&world, &world.invoice_id).await.contains("PAID<span>1 January 2027"));
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_have_the_digits_of_their_currency() {
    let world = World::new().await;
    let text_in_yen = product("yen").to_string().replace("EUR", "JPY");
    let yen: Value = serde_json::from_str(&text_in_yen).unwrap();
    let yen = world.admin.post("/v1/products", yen).await.created();
    let mut customer = company("Yamada");
    customer["currency"] = json!("JPY");
    let customer = world.admin.post("/v1/customers", customer).await.created();
    let subscriptions = format!("/v1/customers/{}/subscriptions", id(&customer["id"]));
    world.admin.post(&subscriptions, basket(&yen["id"], 3)).await.created();
    world.admin.act("/v1/invoices/run").await.ok();
    let invoices = world.admin.get(&format!("/v1/invoices?customer_id={}", id(&customer["id"]))).await.ok();
    let page = text(&world, &invoices["data"][0]["id"]).await;
    assert!(page.contains("3 certificates at JPY 9,900 each, for the whole term of 365 days"), "{page}");
    assert!(page.contains("JPY 29,700<"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_html_and_its_errors_are_problems() {
    let world = World::new().await;
    let path = format!("/v1/invoices/{}/document", id(&bill(&world.admin).await));
    for accept in ["text/html", "text/*", "*/*", "text/html,application/xhtml+xml;q=0.9"] {
        assert_eq!(world.admin.with("accept", accept).get(&path).await.status, 200, "{accept}");
    }
    let problem = world.admin.with("accept", "application/json").get(&path).await.problem(406, "not_acceptable");
    assert!(problem["detail"].as_str().unwrap().contains("text/html"), "{problem}");
    let unknown = "/v1/invoices/01990000-0000-7000-8000-000000000000/document";
    world.admin.with("accept", "text/html").get(unknown).await.problem(404, "not_found");
}
