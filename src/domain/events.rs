//! Domain events. They are derived by comparing the states of a resource before and after a change. Every function that
//! saves a resource records both states, so no change is missed.

pub mod audit;
mod happened;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::domain::authorization::Scope;
use crate::domain::id::{CustomerId, EventId, ResellerId, Version};
use crate::domain::label::label;
use crate::domain::text::Code;

pub use happened::Inventory;

label! {
    /// What happened. More values may be added.
    EventType {
        ResellerCreated = "reseller.created",
        ResellerUpdated = "reseller.updated",
        ResellerDisabled = "reseller.disabled",
        ResellerEnabled = "reseller.enabled",
        CustomerCreated = "customer.created",
        CustomerUpdated = "customer.updated",
        CustomerArchived = "customer.archived",
        CustomerRestored = "customer.restored",
        /// The customer no longer belongs to this reseller. `data` is the customer as it was before.
        CustomerReleased = "customer.released",
        ProductCreated = "product.created",
        ProductUpdated = "product.updated",
        SubscriptionCreated = "subscription.created",
        SubscriptionUpdated = "subscription.updated",
        SubscriptionActivated = "subscription.activated",
        SubscriptionSuspended = "subscription.suspended",
        SubscriptionEnabled = "subscription.enabled",
        SubscriptionCancelled = "subscription.cancelled",
        /// A new term started.
        SubscriptionRenewed = "subscription.renewed",
        /// The term of a suspended subscription ended. It can still be renewed.
        SubscriptionLapsed = "subscription.lapsed",
        SubscriptionExpired = "subscription.expired",
        /// The current quantity was raised.
        InventoryCurrentRaised = "inventory.current_raised",
        /// The quantity of the next term was set.
        InventoryRenewalSet = "inventory.renewal_set",
        /// A new term started with these quantities.
        InventoryRenewed = "inventory.renewed",
        InventoryAllocated = "inventory.allocated",
        InventoryReleased = "inventory.released",
        InventoryThresholdSet = "inventory.threshold_set",
        /// The available quantity of a certificate type fell to its threshold or below.
        InventoryLow = "inventory.low",
        /// The available quantity of a certificate type fell to 0.
        InventoryExhausted = "inventory.exhausted",
        OrderConfirmed = "order.confirmed",
        /// The charge is not on an invoice yet.
        ChargeCreated = "charge.created",
        ChargeInvoiced = "charge.invoiced",
        /// The invoice of the charge was voided, so the charge is pending again.
        ChargeReopened = "charge.reopened",
        /// The charge will never be billed.
        ChargeVoided = "charge.voided",
        InvoiceCreated = "invoice.created",
        InvoiceEmailed = "invoice.emailed",
        InvoicePaid = "invoice.paid",
        InvoiceVoided = "invoice.voided",
        /// The endpoint was disabled: by a user, or because deliveries failed for too long.
        WebhookEndpointDisabled = "webhook_endpoint.disabled",
        WebhookEndpointEnabled = "webhook_endpoint.enabled",
        /// A test message to a webhook endpoint. It is sent to that endpoint only, and is not in the feed.
        WebhookEndpointTest = "webhook_endpoint.test",
    }
}

label! {
    /// The type of a resource. More values may be added.
    ResourceType {
        Reseller = "reseller",
        Customer = "customer",
        Product = "product",
        PriceList = "price_list",
        Subscription = "subscription",
        /// The inventory of a subscription. Its id is the id of the subscription.
        Inventory = "inventory",
        Allocation = "allocation",
        Order = "order",
        Charge = "charge",
        Invoice = "invoice",
        ApiKey = "api_key",
        WebhookEndpoint = "webhook_endpoint",
        WebhookDelivery = "webhook_delivery",
        SandboxClock = "sandbox_clock",
    }
}

/// Identifies a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reference {
    pub kind: ResourceType,
    pub id: Uuid,
    /// `None` for resources without versions.
    pub version: Option<Version>,
}

/// Which resellers can see an event. The provider sees all events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// No reseller.
    Partner,
    Reseller(ResellerId),
    /// The reseller that manages the customer.
    ResellerOf(CustomerId),
    /// All resellers.
    Everyone,
}

/// The JSON form of a resource, as administrators of the provider see it. Implemented in `api` beside the response of
/// the resource, so that an event has the same fields as a GET.
pub trait Shown {
    /// The resource as of an instant.
    fn shown(&self, at: DateTime<Utc>) -> Value;
}

/// A resource whose changes are recorded as events and in the audit trail.
pub trait Resource: Shown {
    fn reference(&self) -> Reference;

    /// Who can see the events of the resource.
    fn audience(&self) -> Audience;

    /// The customer that the resource belongs to, if any.
    fn customer(&self) -> Option<CustomerId> {
        match self.audience() {
            Audience::ResellerOf(customer) => Some(customer),
            _ => None,
        }
    }

    /// Returns the events for a change; `before` is `None` for a new resource.
    fn happened(&self, before: Option<&Self>) -> Vec<Happening>;
}

/// A change of a resource, before it is recorded as an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    pub kind: EventType,
    /// The certificate type whose inventory is low or exhausted.
    pub certificate_type: Option<Code>,
}

impl From<EventType> for Happening {
    fn from(kind: EventType) -> Self {
        Self { kind, certificate_type: None }
    }
}

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    /// The position in the feed. Later events have greater positions. `None` until the event has one.
    pub sequence: Option<i64>,
    pub kind: EventType,
    /// The certificate type whose inventory is low or exhausted.
    pub certificate_type: Option<Code>,
    pub occurred_at: DateTime<Utc>,
    pub resource: Reference,
    /// The customer that the resource belongs to, if any.
    pub customer_id: Option<CustomerId>,
    /// The resource after the change.
    pub data: Value,
    /// `api_key:<id>`, `subject:<subject>` or `system`.
    pub actor: String,
    /// `None` for scheduled transitions.
    pub request_id: Option<String>,
}

/// The part of an event that decides who can see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headline {
    /// The position in the feed.
    pub sequence: i64,
    pub kind: EventType,
    pub audience: Audience,
}

impl Headline {
    /// Whether a scope can see the event, and its type is one of `types`. An empty list means all types.
    #[must_use]
    pub fn is_for(&self, scope: Scope, types: &[EventType]) -> bool {
        let is_told = match (scope.reseller(), self.audience) {
            (None, _) | (_, Audience::Everyone) => true,
            (Some(own), Audience::Reseller(told)) => own == told,
            (Some(_), Audience::Partner | Audience::ResellerOf(_)) => false,
        };
        is_told && (types.is_empty() || types.contains(&self.kind))
    }
}
