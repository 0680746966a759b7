//! Events: what happened to a resource, told by comparing it as it was with as it is. Whoever saves a resource
//! records both, so that no change goes untold.

mod happened;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::access::Scope;
use super::id::{CustomerId, EventId, ResellerId, Version};
use super::label::label;
use super::text::Code;

pub use happened::Inventory;

label! {
    /// What happened. Expect more values.
    EventType {
        /// A reseller was created.
        ResellerCreated = "reseller.created",
        /// A reseller's details changed.
        ResellerUpdated = "reseller.updated",
        /// A reseller was disabled.
        ResellerDisabled = "reseller.disabled",
        /// A reseller was enabled.
        ResellerEnabled = "reseller.enabled",
        /// A customer was created.
        CustomerCreated = "customer.created",
        /// A customer's details changed.
        CustomerUpdated = "customer.updated",
        /// A customer was archived.
        CustomerArchived = "customer.archived",
        /// A customer was restored.
        CustomerRestored = "customer.restored",
        /// A customer is no longer this reseller's; `data` is the customer as it was before.
        CustomerReleased = "customer.released",
        /// A product was created.
        ProductCreated = "product.created",
        /// A product changed.
        ProductUpdated = "product.updated",
        /// A subscription was added.
        SubscriptionCreated = "subscription.created",
        /// A subscription's details changed.
        SubscriptionUpdated = "subscription.updated",
        /// A subscription started.
        SubscriptionActivated = "subscription.activated",
        /// A subscription was suspended.
        SubscriptionSuspended = "subscription.suspended",
        /// A subscription was enabled.
        SubscriptionEnabled = "subscription.enabled",
        /// A subscription was cancelled.
        SubscriptionCancelled = "subscription.cancelled",
        /// A subscription began another term.
        SubscriptionRenewed = "subscription.renewed",
        /// The term of a suspended subscription ended.
        SubscriptionLapsed = "subscription.lapsed",
        /// A subscription ended.
        SubscriptionExpired = "subscription.expired",
        /// There are more certificates.
        InventoryCurrentRaised = "inventory.current_raised",
        /// The next term starts with other quantities.
        InventoryRenewalSet = "inventory.renewal_set",
        /// A term began with its quantities.
        InventoryRenewed = "inventory.renewed",
        /// Certificates were put to use.
        InventoryAllocated = "inventory.allocated",
        /// Certificates were given back.
        InventoryReleased = "inventory.released",
        /// Thresholds were set.
        InventoryThresholdSet = "inventory.threshold_set",
        /// What is available of a type fell to its threshold or below.
        InventoryLow = "inventory.low",
        /// Nothing is available of a type any more.
        InventoryExhausted = "inventory.exhausted",
        /// An order was confirmed.
        OrderConfirmed = "order.confirmed",
        /// A charge waits for an invoice.
        ChargeCreated = "charge.created",
        /// A charge is on an invoice.
        ChargeInvoiced = "charge.invoiced",
        /// A charge waits again: its invoice was voided.
        ChargeReopened = "charge.reopened",
        /// A charge will never be paid.
        ChargeVoided = "charge.voided",
        /// An invoice was issued.
        InvoiceCreated = "invoice.created",
        /// An invoice is with the customer.
        InvoiceEmailed = "invoice.emailed",
        /// An invoice is settled.
        InvoicePaid = "invoice.paid",
        /// An invoice was taken back.
        InvoiceVoided = "invoice.voided",
        /// A webhook endpoint gets nothing any more: somebody disabled it, or nothing got there for too long.
        WebhookEndpointDisabled = "webhook_endpoint.disabled",
        /// A webhook endpoint gets events again.
        WebhookEndpointEnabled = "webhook_endpoint.enabled",
        /// Somebody tries whether a webhook endpoint is there. Sent to that endpoint alone; it is not in the feed.
        WebhookEndpointTest = "webhook_endpoint.test",
    }
}

label! {
    /// What kind of resource. Expect more values.
    ResourceType {
        /// A reseller.
        Reseller = "reseller",
        /// A customer.
        Customer = "customer",
        /// A product.
        Product = "product",
        /// A price list.
        PriceList = "price_list",
        /// A subscription.
        Subscription = "subscription",
        /// The inventory of a subscription, whose id it has.
        Inventory = "inventory",
        /// An allocation.
        Allocation = "allocation",
        /// An order.
        Order = "order",
        /// A charge.
        Charge = "charge",
        /// An invoice.
        Invoice = "invoice",
        /// An API key.
        ApiKey = "api_key",
        /// A webhook endpoint.
        WebhookEndpoint = "webhook_endpoint",
        /// A delivery to a webhook endpoint.
        WebhookDelivery = "webhook_delivery",
        /// The clock of a sandbox.
        SandboxClock = "sandbox_clock",
    }
}

/// Which resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// Its kind.
    pub kind: ResourceType,
    /// Its id.
    pub id: Uuid,
    /// Its version, if it has any.
    pub version: Option<Version>,
}

/// Which reseller an event is shown to; the partner sees all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// None.
    Partner,
    /// This one.
    Reseller(ResellerId),
    /// The one that manages the customer.
    ResellerOf(CustomerId),
    /// All.
    Everyone,
}

/// How a resource looks to the partner's administrators. `api` says it, beside the answer of the resource, so
/// that events have just what a GET has.
pub trait Shown {
    /// As JSON, as of an instant.
    fn shown(&self, at: DateTime<Utc>) -> Value;
}

/// What events and the audit trail tell of.
pub trait Resource: Shown {
    /// Which one it is.
    fn reference(&self) -> Reference;

    /// Who is told.
    fn audience(&self) -> Audience;

    /// The customer that it is about, if it is about one.
    fn customer(&self) -> Option<CustomerId> {
        match self.audience() {
            Audience::ResellerOf(customer) => Some(customer),
            _ => None,
        }
    }

    /// What happened to it; `before` is `None` when it is new.
    fn happened(&self, before: Option<&Self>) -> Vec<Happening>;
}

/// What happened, and to which part of the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// What.
    pub kind: EventType,
    /// Of which certificate type the inventory is low or exhausted.
    pub certificate_type: Option<Code>,
}

impl From<EventType> for Happening {
    fn from(kind: EventType) -> Self {
        Self { kind, certificate_type: None }
    }
}

/// That something happened to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Its place in the feed: whatever has a greater one is later. `None` as long as it has none.
    pub sequence: Option<i64>,
    /// What happened.
    pub kind: EventType,
    /// Of which certificate type the inventory is low or exhausted.
    pub certificate_type: Option<Code>,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// To what.
    pub resource: Reference,
    /// To which customer's, if to any.
    pub customer_id: Option<CustomerId>,
    /// The resource as it is since.
    pub data: Value,
    /// Who did it: `api_key:<id>`, `subject:<subject>` or `system`.
    pub actor: String,
    /// In which request; `None` for what time did.
    pub request_id: Option<String>,
}

/// What there is to know of an event to tell whom it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headline {
    /// Its place in the feed.
    pub sequence: i64,
    /// What happened.
    pub kind: EventType,
    /// Who is told.
    pub audience: Audience,
}

impl Headline {
    /// Whether it is among what somebody asks for: the events of some types, or of all when there are none.
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
