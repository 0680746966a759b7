//! A small world: two resellers, a customer of the first with subscriptions, and keys for all of them.

use partner_platform::domain::authorization::Role;
use partner_platform::ops::courier;
use serde_json::{Value, json};

use super::server::noon;
use super::{Client, Server};

/// The idempotency key of a request by the administrator.
pub const IDEMPOTENCY_KEY: &str = "world";

pub struct World {
    pub server: Server,
    /// The administrator of the provider.
    pub admin: Client,
    /// The administrator of the reseller that manages the customer.
    pub own: Client,
    /// The administrator of another reseller.
    pub other: Client,
    pub reseller_id: Value,
    pub other_reseller_id: Value,
    pub customer_id: Value,
    /// A customer without any data.
    pub idle_customer_id: Value,
    pub product_id: Value,
    /// Assigned to the reseller that manages the customer, with a price in EUR; the customer pays in USD.
    pub price_list_id: Value,
    /// Not assigned.
    pub idle_price_list_id: Value,
    /// Within its term, with 50 certificates of `dv` and 10 of `ov`.
    pub active_id: Value,
    /// Starts in a month.
    pub pending_id: Value,
    /// Suspended within its term.
    pub suspended_id: Value,
    /// Suspended, and its term has ended.
    pub lapsed_id: Value,
    pub order_id: Value,
    pub allocation_id: Value,
    /// Bills the first month of the lapsed subscription.
    pub invoice_id: Value,
    /// An invoice for the same, which was voided.
    pub void_invoice_id: Value,
    /// An unused key of the reseller that manages the customer.
    pub api_key_id: Value,
    /// Another unused key.
    pub idle_api_key_id: Value,
    /// An endpoint of the reseller that manages the customer, at an address without a receiver.
    pub endpoint_id: Value,
    /// Another one, which is subscribed to no event that occurs.
    pub idle_endpoint_id: Value,
    /// Waits for the endpoint.
    pub delivery_id: Value,
}

pub fn company(name: &str) -> Value {
    json!({ "company_name": name, "address": { "line1": "1 Quay", "city": "Antwerp", "country": "BE" } })
}

/// Two types, terms of 1 and 12 months, in USD and EUR.
pub fn product(code: &str) -> Value {
    let mut prices = Vec::new();
    for (certificate_type, yearly) in [("dv", 9900), ("ov", 25_000)] {
        for currency in ["USD", "EUR"] {
            for (term_months, amount) in [(12, yearly), (1, yearly / 10)] {
                let unit_price = json!({ "amount": amount, "currency": currency });
                prices.push(json!({
                    "certificate_type": certificate_type, "term_months": term_months, "unit_price": unit_price
                }));
            }
        }
    }
    json!({
        "code": code,
        "name": format!("Product {code}"),
        "certificate_types": [
            { "code": "dv", "name": "Domain validated", "max_quantity": 1000 },
            { "code": "ov", "name": "Organisation validated", "max_quantity": 100 },
        ],
        "terms": [12, 1],
        "prices": prices,
    })
}

/// A list in EUR with a price for `dv` for 12 months.
pub fn price_list(name: &str, product_id: &Value, amount: i64) -> Value {
    price_list_in("EUR", name, product_id, &[("dv", 12, amount)])
}

/// A list in a currency, with the price of a type for a term.
pub fn price_list_in(currency: &str, name: &str, product_id: &Value, prices: &[(&str, i32, i64)]) -> Value {
    let price = |(certificate_type, term_months, amount): &(&str, i32, i64)| {
        let unit_price = json!({ "amount": amount, "currency": currency });
        json!({
            "product_id": product_id, "certificate_type": certificate_type, "term_months": term_months,
            "unit_price": unit_price,
        })
    };
    json!({ "name": name, "currency": currency, "prices": prices.iter().map(price).collect::<Vec<_>>() })
}

/// A request for one subscription with `quantity` `dv`.
pub fn basket(product_id: &Value, quantity: i32) -> Value {
    json!({
        "auto_renew": true,
        "subscriptions": [{
            "product_id": product_id,
            "term_months": 12,
            "inventory": [{ "certificate_type": "dv", "quantity": quantity }],
        }],
    })
}

/// The id in a JSON value, for a path.
pub fn id(value: &Value) -> &str {
    value.as_str().expect("an id")
}

/// Bills all due charges, and returns the newest invoice.
pub async fn bill(client: &Client) -> Value {
    client.act("/v1/invoices/run").await.ok();
    client.get("/v1/invoices?limit=1").await.ok()["data"][0]["id"].clone()
}

/// The id of an endpoint that was created.
pub fn endpoint_of(created: &Value) -> Value {
    created["webhook_endpoint"]["id"].clone()
}

impl World {
    pub async fn new() -> Self {
        Self::on(Server::start().await).await
    }

    pub async fn on(server: Server) -> Self {
        Self::on_with(server, "tls").await
    }

    /// A world in a database that may have another one already. Its product has the given code.
    pub async fn on_with(server: Server, product_code: &str) -> Self {
        // The lapsed subscription has to start more than a month ago.
        server.clock.set(noon(2026, 11, 20));
        let admin = server.admin().await;
        let reseller_id = admin.post("/v1/resellers", company("Harbour Resale")).await.created()["id"].clone();
        let other_reseller_id = admin.post("/v1/resellers", company("Other Resale")).await.created()["id"].clone();
        let own = server.client(Role::Admin, Some(&reseller_id)).await;
        let other = server.client(Role::Admin, Some(&other_reseller_id)).await;
        let product_id = admin.post("/v1/products", product(product_code)).await.created()["id"].clone();
        let customer_id = own.post("/v1/customers", company("Northwind")).await.created()["id"].clone();
        let idle_customer_id = own.post("/v1/customers", company("Idle")).await.created()["id"].clone();
        let subscriptions = format!("/v1/customers/{}/subscriptions", id(&customer_id));

        let mut short = basket(&product_id, 5);
        short["subscriptions"][0]["term_months"] = json!(1);
        let lapsed_id = admin.post(&subscriptions, short).await.created()["subscriptions"][0]["id"].clone();
        admin.act(&format!("/v1/subscriptions/{}/suspend", id(&lapsed_id))).await.ok();

        let void_invoice_id = bill(&admin).await;
        admin.act(&format!("/v1/invoices/{}/void", id(&void_invoice_id))).await.ok();
        let invoice_id = bill(&admin).await;

        server.clock.set(noon(2027, 1, 1));
        let mut both = basket(&product_id, 50);
        both["subscriptions"][0]["inventory"] = json!([
            { "certificate_type": "dv", "quantity": 50 }, { "certificate_type": "ov", "quantity": 10 }
        ]);
        let added = admin.post(&subscriptions, both).await.created();
        let (active_id, order_id) = (added["subscriptions"][0]["id"].clone(), added["order"]["id"].clone());
        let mut later = basket(&product_id, 5);
        later["subscriptions"][0]["start_date"] = json!("2027-02-01");
        let pending_id = admin.post(&subscriptions, later).await.created()["subscriptions"][0]["id"].clone();
        let suspended_id =
            admin.post(&subscriptions, basket(&product_id, 5)).await.created()["subscriptions"][0]["id"].clone();
        admin.act(&format!("/v1/subscriptions/{}/suspend", id(&suspended_id))).await.ok();
        let endpoint = json!({ "url": "http://127.0.0.1:9/hooks" });
        let endpoint_id = endpoint_of(&own.post("/v1/webhook-endpoints", endpoint).await.created());
        let idle = json!({ "url": "http://127.0.0.1:9/hooks", "event_types": ["webhook_endpoint.test"] });
        let idle_endpoint_id = endpoint_of(&own.post("/v1/webhook-endpoints", idle).await.created());
        let allocation = json!({ "certificate_type": "dv", "reference": "first" });
        let allocations = format!("/v1/subscriptions/{}/allocations", id(&active_id));
        let allocation_id = admin.post(&allocations, allocation).await.created()["id"].clone();

        courier::fan_out(&server.context(), || false).await.unwrap();
        let deliveries = format!("/v1/webhook-endpoints/{}/deliveries", id(&endpoint_id));
        let delivery_id = own.get(&deliveries).await.ok()["data"][0]["id"].clone();

        let list = price_list("Gold", &product_id, 7900);
        let price_list_id = admin.post("/v1/price-lists", list).await.created()["id"].clone();
        let assign = json!({ "price_list_id": price_list_id });
        admin.patch(&format!("/v1/resellers/{}", id(&reseller_id)), assign).await.ok();
        let idle = price_list("Idle", &product_id, 7900);
        let idle_price_list_id = admin.post("/v1/price-lists", idle).await.created()["id"].clone();

        // It is suspended already, so this changes nothing, and its response is stored.
        let keyed = admin.with("idempotency-key", IDEMPOTENCY_KEY);
        keyed.act(&format!("/v1/subscriptions/{}/suspend", id(&suspended_id))).await.ok();
        let key = json!({ "name": "Spare", "role": "billing", "partner_id": reseller_id });
        let api_key_id = admin.post("/v1/api-keys", key.clone()).await.created()["api_key"]["id"].clone();
        let idle_api_key_id = admin.post("/v1/api-keys", key).await.created()["api_key"]["id"].clone();

        // Everything that is due is processed here, and not during a test.
        admin.get("/v1/subscriptions").await.ok();

        Self {
            server,
            admin,
            own,
            other,
            reseller_id,
            other_reseller_id,
            customer_id,
            idle_customer_id,
            product_id,
            price_list_id,
            idle_price_list_id,
            active_id,
            pending_id,
            suspended_id,
            lapsed_id,
            order_id,
            allocation_id,
            invoice_id,
            void_invoice_id,
            api_key_id,
            idle_api_key_id,
            endpoint_id,
            idle_endpoint_id,
            delivery_id,
        }
    }

    /// The path of the customer, followed by `rest`.
    pub fn customer(&self, rest: &str) -> String {
        format!("/v1/customers/{}{rest}", id(&self.customer_id))
    }

    /// The path of the active subscription, followed by `rest`.
    pub fn active(&self, rest: &str) -> String {
        format!("/v1/subscriptions/{}{rest}", id(&self.active_id))
    }
}
