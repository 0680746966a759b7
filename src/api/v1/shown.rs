//! The JSON form of resources in events and in the audit trail: the GET response for an administrator of the provider.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::api_keys::ApiKey;
use super::charges::Charge;
use super::customers::Customer;
use super::events;
use super::inventory::{Inventory, InventoryLine};
use super::invoices::Invoice;
use super::orders::Order;
use super::price_lists::PriceList;
use super::products::Product;
use super::resellers::Reseller;
use super::subscriptions::Subscription;
use super::webhook_deliveries::WebhookDelivery;
use super::webhook_endpoints::WebhookEndpoint;
use crate::domain::authorization::Actor;
use crate::domain::billing::{invoice, order};
use crate::domain::catalog::{price_list, product};
use crate::domain::credentials::api_key;
use crate::domain::events as event;
use crate::domain::events::{Event, Shown};
use crate::domain::parties::customer::Holdings;
use crate::domain::parties::{customer, reseller};
use crate::domain::subscription;
use crate::domain::webhooks as webhook;
use crate::domain::webhooks::delivery::Delivery;

fn json(answer: impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap_or_default()
}

impl Shown for reseller::Reseller {
    fn shown(&self, _: DateTime<Utc>) -> Value {
        json(Reseller::new(self, &Actor::system()))
    }
}

impl Shown for (customer::Customer, Holdings) {
    fn shown(&self, _: DateTime<Utc>) -> Value {
        json(Customer::new(self, &Actor::system()))
    }
}

impl Shown for product::Product {
    fn shown(&self, _: DateTime<Utc>) -> Value {
        json(Product::from(self))
    }
}

impl Shown for price_list::PriceList {
    fn shown(&self, _: DateTime<Utc>) -> Value {
        json(PriceList::from(self))
    }
}

impl Shown for api_key::ApiKey {
    fn shown(&self, at: DateTime<Utc>) -> Value {
        json(ApiKey::new(self, &Actor::system(), at))
    }
}

impl Shown for subscription::Subscription {
    fn shown(&self, at: DateTime<Utc>) -> Value {
        json(Subscription::new(self, &Actor::system(), at.date_naive()))
    }
}

impl Shown for event::Inventory<'_> {
    fn shown(&self, _: DateTime<Utc>) -> Value {
        let data = self.0.lines.iter().map(InventoryLine::from).collect();
        json(Inventory { subscription_id: self.0.id, as_of: None, data })
    }
}

impl Shown for order::Order {
    fn shown(&self, _: DateTime<Utc>) -> Value {
        json(Order::from(self))
    }
}

impl Shown for order::Charge {
    fn shown(&self, _: DateTime<Utc>) -> Value {
        json(Charge::from(self.clone()))
    }
}

impl Shown for (invoice::Invoice, Vec<invoice::InvoiceLine>) {
    fn shown(&self, _: DateTime<Utc>) -> Value {
        json(Invoice::new(self.clone(), &Actor::system()))
    }
}

impl Shown for webhook::Endpoint {
    fn shown(&self, at: DateTime<Utc>) -> Value {
        // If the clock of a sandbox is ahead, older secrets seem to expire earlier than they do.
        json(WebhookEndpoint::new(self, &Actor::system(), at))
    }
}

impl Shown for Delivery {
    fn shown(&self, _: DateTime<Utc>) -> Value {
        json(WebhookDelivery::from(self.clone()))
    }
}

impl Shown for Event {
    fn shown(&self, _: DateTime<Utc>) -> Value {
        json(events::Event::new(self.clone()))
    }
}
