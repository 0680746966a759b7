//! Records saved changes as events and in the audit entry of the request.

use serde_json::Value;

use super::Work;
use crate::domain::billing::order::{Charge, ChargeStatus};
use crate::domain::events::audit::Change;
use crate::domain::events::{Audience, Event, EventType, Happening, Reference, Resource};
use crate::domain::id::{CustomerId, InvoiceId};
use crate::ops::Context;
use crate::store::events;

/// A saved change of a resource: its state before and after.
pub(in crate::ops) struct Saved {
    reference: Reference,
    audience: Audience,
    customer: Option<CustomerId>,
    events: Vec<Happening>,
    before: Option<Value>,
    after: Option<Value>,
}

impl Saved {
    /// The resource is new, or has changed.
    pub(in crate::ops) fn new<R: Resource>(cx: &Context, before: Option<&R>, after: &R) -> Self {
        Self {
            reference: after.reference(),
            audience: after.audience(),
            customer: after.customer(),
            events: after.happened(before),
            // Only the audit entry of a request needs the state before.
            before: before.filter(|_| cx.request.is_some()).map(|before| before.shown(cx.at)),
            after: Some(after.shown(cx.at)),
        }
    }

    /// The status of a charge changes, and with it the invoice that the charge is on, if any.
    pub(in crate::ops) fn charge(
        cx: &Context,
        before: &Charge,
        status: ChargeStatus,
        invoice_id: Option<InvoiceId>,
    ) -> Self {
        Self::new(cx, Some(before), &Charge { status, invoice_id, ..before.clone() })
    }

    /// The resource was deleted. Only the audit trail records this; there are no events for it.
    pub(in crate::ops) fn deleted<R: Resource>(cx: &Context, before: &R) -> Self {
        let before_now = Some(before.shown(cx.at));
        let (reference, audience, customer) = (before.reference(), before.audience(), before.customer());
        Self { reference, audience, customer, events: Vec::new(), before: before_now, after: None }
    }

    /// The resource leaves a tenant. The event shows that tenant the last state that it could see.
    pub(in crate::ops) fn farewell<R: Resource>(cx: &Context, before: &R, after: &R, event: EventType) -> Self {
        let shown = Some(before.shown(cx.at));
        Self {
            reference: after.reference(),
            audience: before.audience(),
            customer: after.customer(),
            events: vec![event.into()],
            before: shown.clone(),
            after: shown,
        }
    }
}

impl Work<'_> {
    /// Records saved changes as events and in the audit entry of the request.
    pub(in crate::ops) fn record(&mut self, cx: &Context, saved: impl IntoIterator<Item = Saved>) {
        let mut new = Vec::new();
        for Saved { reference, audience, customer, events, before, after } in saved {
            for Happening { kind, certificate_type } in events {
                let event = Event {
                    id: customer.map_or_else(|| cx.new_id(), |customer| cx.new_id_of(customer)),
                    sequence: None,
                    kind,
                    certificate_type,
                    occurred_at: cx.at,
                    resource: reference,
                    customer_id: customer,
                    data: after.clone().unwrap_or_default(),
                    actor: cx.actor.label(),
                    request_id: cx.request.as_ref().map(|request| request.id.clone()),
                };
                new.push((event, audience));
            }
            if let Some(request) = &cx.request {
                request.is_about(customer);
                self.outbox.tell(Change::between(reference, before, after));
            }
        }
        self.write([events::insert(new)]);
    }
}
