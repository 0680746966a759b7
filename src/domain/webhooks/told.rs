//! The events and audit entries of webhooks.

use super::Endpoint;
use super::delivery::Delivery;
use crate::domain::events::{Audience, EventType, Happening, Reference, Resource, ResourceType};

impl Resource for Endpoint {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::WebhookEndpoint, id: self.id.0, version: Some(self.version) }
    }

    fn audience(&self) -> Audience {
        self.partner_id.map_or(Audience::Partner, Audience::Reseller)
    }

    fn happened(&self, before: Option<&Self>) -> Vec<Happening> {
        match (before.map(Self::is_enabled), self.is_enabled()) {
            (Some(true), false) => vec![EventType::WebhookEndpointDisabled.into()],
            (Some(false), true) => vec![EventType::WebhookEndpointEnabled.into()],
            _ => Vec::new(),
        }
    }
}

/// Deliveries are recorded only in the audit trail. Events about events would never end.
impl Resource for Delivery {
    fn reference(&self) -> Reference {
        Reference { kind: ResourceType::WebhookDelivery, id: self.id.0, version: None }
    }

    fn audience(&self) -> Audience {
        Audience::Partner
    }

    fn happened(&self, _: Option<&Self>) -> Vec<Happening> {
        Vec::new()
    }
}
