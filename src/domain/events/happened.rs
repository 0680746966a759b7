//! The events of each resource.

use super::EventType::{self, *};
use super::{Audience, Happening, Reference, Resource, ResourceType};
use crate::domain::billing::invoice::{Invoice, InvoiceLine, InvoiceStatus};
use crate::domain::billing::order::{Charge, ChargeStatus, Order};
use crate::domain::catalog::price_list::PriceList;
use crate::domain::catalog::product::Product;
use crate::domain::credentials::api_key::ApiKey;
use crate::domain::id::CustomerId;
use crate::domain::parties::customer::{Customer, CustomerStatus, Holdings};
use crate::domain::parties::reseller::{Reseller, ResellerStatus};
use crate::domain::subscription::inventory::{self, Line};
use crate::domain::subscription::{Subscription, SubscriptionStatus};

/// A single event of the resource as a whole.
fn one(kind: EventType) -> Vec<Happening> {
    vec![kind.into()]
}

impl Resource for Reseller {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::Reseller, id: self.id.0, version: Some(self.version) }
    }

    fn audience(&self) -> Audience {
        Audience::Reseller(self.id)
    }

    fn happened(&self, before: Option<&Self>) -> Vec<Happening> {
        let Some(before) = before else { return one(ResellerCreated) };
        one(match (before.status(), self.status()) {
            (ResellerStatus::Enabled, ResellerStatus::Disabled) => ResellerDisabled,
            (ResellerStatus::Disabled, ResellerStatus::Enabled) => ResellerEnabled,
            _ => ResellerUpdated,
        })
    }
}

impl Resource for (Customer, Holdings) {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::Customer, id: self.0.id.0, version: Some(self.0.version) }
    }

    fn audience(&self) -> Audience {
        self.0.partner_id.map_or(Audience::Partner, Audience::Reseller)
    }

    fn customer(&self) -> Option<CustomerId> {
        Some(self.0.id)
    }

    fn happened(&self, before: Option<&Self>) -> Vec<Happening> {
        let Some((before, _)) = before else { return one(CustomerCreated) };
        one(match (before.status, self.0.status) {
            (CustomerStatus::Active, CustomerStatus::Archived) => CustomerArchived,
            (CustomerStatus::Archived, CustomerStatus::Active) => CustomerRestored,
            _ => CustomerUpdated,
        })
    }
}

impl Resource for Product {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::Product, id: self.id.0, version: Some(self.version) }
    }

    fn audience(&self) -> Audience {
        Audience::Everyone
    }

    fn happened(&self, before: Option<&Self>) -> Vec<Happening> {
        one(if before.is_none() { ProductCreated } else { ProductUpdated })
    }
}

impl Resource for PriceList {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::PriceList, id: self.id.0, version: Some(self.version) }
    }

    fn audience(&self) -> Audience {
        Audience::Partner
    }

    /// Price changes become visible in quotes and orders, so there are no events. The audit trail records who changed a
    /// list.
    fn happened(&self, _: Option<&Self>) -> Vec<Happening> {
        Vec::new()
    }
}

impl Resource for ApiKey {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::ApiKey, id: self.id.0, version: Some(self.version) }
    }

    fn audience(&self) -> Audience {
        self.partner_id.map_or(Audience::Partner, Audience::Reseller)
    }

    /// Only administrators see keys, so there are no events. The audit trail records who changed a key.
    fn happened(&self, _: Option<&Self>) -> Vec<Happening> {
        Vec::new()
    }
}

impl Resource for Subscription {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::Subscription, id: self.id.0, version: Some(self.version) }
    }

    fn audience(&self) -> Audience {
        Audience::ResellerOf(self.customer_id)
    }

    fn happened(&self, before: Option<&Self>) -> Vec<Happening> {
        use SubscriptionStatus as S;
        let Some(before) = before else { return one(SubscriptionCreated) };
        let was_lapsed = before.suspension().is_some_and(|suspension| suspension.lapsed);
        let has_lapsed = self.suspension().is_some_and(|suspension| suspension.lapsed);
        let moved = match (before.status(), self.status()) {
            _ if before.term.number != self.term.number => Some(SubscriptionRenewed),
            (S::Pending, S::Active) => Some(SubscriptionActivated),
            (S::Suspended, S::Active) => Some(SubscriptionEnabled),
            (S::Active | S::Pending, S::Suspended) => Some(SubscriptionSuspended),
            (S::Suspended, S::Suspended) if has_lapsed && !was_lapsed => Some(SubscriptionLapsed),
            (S::Active | S::Suspended | S::Pending, S::Expired) => Some(SubscriptionExpired),
            (S::Pending, S::Cancelled) => Some(SubscriptionCancelled),
            _ => None,
        };
        // The end of a subscription also clears its automatic renewal. That is not a separate edit.
        let ends = self.has_ended() && !before.has_ended();
        let edited = (before.details() != self.details() && !ends).then_some(SubscriptionUpdated);
        moved.into_iter().chain(edited).map(Happening::from).collect()
    }
}

/// The inventory of a subscription, as a separate resource.
pub struct Inventory<'a>(pub &'a Subscription);

impl Resource for Inventory<'_> {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::Inventory, ..self.0.reference() }
    }

    fn audience(&self) -> Audience {
        self.0.audience()
    }

    /// The events of the subscription cover the inventory of a new subscription, and its end by a cancellation.
    fn happened(&self, before: Option<&Self>) -> Vec<Happening> {
        let Some(Self(before)) = before else { return Vec::new() };
        let after = self.0;
        if before.cancellation().is_none() && after.cancellation().is_some() {
            return Vec::new();
        }
        let is_other = |part: fn(&Line) -> Option<i32>| {
            let part_of = |lines: &[Line], line: &Line| inventory::find(lines, &line.certificate_type).and_then(part);
            after.lines.iter().any(|line| part_of(&before.lines, line) != part(line))
        };
        let is_more = |part: fn(&Line) -> i32, from: &Subscription, to: &Subscription| {
            let of = |line: &Line| inventory::find(&from.lines, &line.certificate_type).map_or(0, part);
            to.lines.iter().any(|line| part(line) > of(line))
        };
        let renewed = before.term.number != after.term.number;
        let mut events = Vec::new();
        let mut tell = |holds, event| events.extend(Some(Happening::from(event)).filter(|_| holds));
        tell(renewed, InventoryRenewed);
        tell(!renewed && is_more(|line| line.current, before, after), InventoryCurrentRaised);
        tell(is_other(|line| line.renewal), InventoryRenewalSet);
        tell(is_more(|line| line.used, before, after), InventoryAllocated);
        tell(is_more(|line| line.used, after, before), InventoryReleased);
        tell(is_other(|line| line.low_threshold), InventoryThresholdSet);
        let mut tell_each = |state, kind| {
            events.extend(
                inventory::those_that_came_to(&before.lines, &after.lines, state)
                    .map(|line| Happening { kind, certificate_type: Some(line.certificate_type.clone()) }),
            );
        };
        tell_each(Line::is_low, InventoryLow);
        tell_each(Line::is_exhausted, InventoryExhausted);
        events
    }
}

impl Resource for Order {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::Order, id: self.id.0, version: None }
    }

    fn audience(&self) -> Audience {
        Audience::ResellerOf(self.customer_id)
    }

    fn happened(&self, _: Option<&Self>) -> Vec<Happening> {
        one(OrderConfirmed)
    }
}

impl Resource for Charge {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::Charge, id: self.id.0, version: None }
    }

    fn audience(&self) -> Audience {
        Audience::ResellerOf(self.customer_id)
    }

    fn happened(&self, before: Option<&Self>) -> Vec<Happening> {
        one(match (before, self.status) {
            (None, _) => ChargeCreated,
            (Some(_), ChargeStatus::Pending) => ChargeReopened,
            (Some(_), ChargeStatus::Invoiced) => ChargeInvoiced,
            (Some(_), ChargeStatus::Voided) => ChargeVoided,
        })
    }
}

impl Resource for (Invoice, Vec<InvoiceLine>) {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::Invoice, id: self.0.id.0, version: Some(self.0.version) }
    }

    fn audience(&self) -> Audience {
        Audience::ResellerOf(self.0.customer_id)
    }

    fn happened(&self, _: Option<&Self>) -> Vec<Happening> {
        one(match self.0.status() {
            InvoiceStatus::Created => InvoiceCreated,
            InvoiceStatus::Emailed => InvoiceEmailed,
            InvoiceStatus::Paid => InvoicePaid,
            InvoiceStatus::Void => InvoiceVoided,
        })
    }
}
