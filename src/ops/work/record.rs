//! Telling what was saved: as events, and in the audit entry of the request.

use serde_json::Value;

use super::{Context, Result};
use crate::domain::audit::Change;
use crate::domain::event::{Audience, Event, EventType, Happening, Reference, Resource};
use crate::domain::id::InvoiceId;
use crate::domain::order::{Charge, ChargeStatus};
use crate::store::{Conn, events, in_order};

/// That a resource was saved: as it was, and as it is.
pub(super) struct Saved {
    reference: Reference,
    audience: Audience,
    events: Vec<Happening>,
    before: Option<Value>,
    after: Option<Value>,
}

impl Saved {
    /// A resource that is new, or has changed.
    pub(super) fn new<R: Resource>(cx: &Context, before: Option<&R>, after: &R) -> Self {
        Self {
            reference: after.reference(),
            audience: after.audience(),
            events: after.happened(before),
            // Only the audit entry of a request wants to know.
            before: before.filter(|_| cx.request.is_some()).map(|before| before.shown(cx.at)),
            after: Some(after.shown(cx.at)),
        }
    }

    /// A charge that was in another state, on an invoice or on none.
    pub(super) fn charge(cx: &Context, status: ChargeStatus, invoice_id: Option<InvoiceId>, after: &Charge) -> Self {
        Self::new(cx, Some(&Charge { status, invoice_id, ..after.clone() }), after)
    }

    /// A resource that is gone. There are no events of that kind; the audit trail tells it.
    pub(super) fn deleted<R: Resource>(cx: &Context, before: &R) -> Self {
        let (reference, audience) = (before.reference(), before.audience());
        Self { reference, audience, events: Vec::new(), before: Some(before.shown(cx.at)), after: None }
    }

    /// A resource as those see it for the last time who will not see it any more.
    pub(super) fn farewell<R: Resource>(cx: &Context, before: &R, after: &R, event: EventType) -> Self {
        let shown = Some(before.shown(cx.at));
        let events = vec![event.into()];
        Self { reference: after.reference(), audience: before.audience(), events, before: shown.clone(), after: shown }
    }
}

impl Context {
    /// Tells what was saved in a transaction.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn record(&self, tx: &Conn, saved: impl IntoIterator<Item = Saved>) -> Result<()> {
        let mut new = Vec::new();
        for Saved { reference, audience, events, before, after } in saved {
            for Happening { kind, certificate_type } in events {
                let event = Event {
                    id: self.new_id(),
                    sequence: None,
                    kind,
                    certificate_type,
                    occurred_at: self.at,
                    resource: reference,
                    data: after.clone().unwrap_or_default(),
                    actor: self.actor.label(),
                    request_id: self.request.as_ref().map(|request| request.id.clone()),
                };
                new.push((event, audience));
            }
            if let Some(request) = &self.request {
                request.tell(Change::between(reference, before, after));
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let new = events::address(tx, new).await?;
        match &self.request {
            Some(request) => request.emit(new),
            None => in_order(events::insert(tx, new)).await?,
        }
        Ok(())
    }
}
