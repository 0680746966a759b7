//! Lists, creates and releases allocations, which are certificates in use.

use tokio::try_join;

use super::subscriptions::{find, told};
use super::work::{Work, refused};
use super::{Context, Error, Precondition, Result, found, milestones};
use crate::domain::id::{AllocationId, SubscriptionId};
use crate::domain::listing::{Page, Window};
use crate::domain::machine::Outcome;
use crate::domain::subscription::allocation::Allocation;
use crate::domain::subscription::{Command, Subscription, Whose};
use crate::domain::text::{Code, Reference};
use crate::store::{Conn, allocations, subscriptions};

/// Lists the allocations of a subscription, newest first.
///
/// # Errors
/// The allocation does not exist.
pub async fn list(cx: &Context, id: SubscriptionId, window: &Window) -> Result<Page<Allocation>> {
    milestones::current(cx, Whose::Its(id), async |conn| {
        let list = async { Ok(allocations::list(conn, id, window).await?) };
        let (_, page) = try_join!(biased; find(conn, cx, id), list)?;
        Ok(page)
    })
    .await
}

/// Returns the allocation.
///
/// # Errors
/// The allocation does not exist.
pub async fn get(cx: &Context, id: AllocationId) -> Result<Allocation> {
    // Scheduled transitions of the subscription do not change its allocations.
    cx.db.glance(async |conn: &Conn| found(allocations::find(conn, cx.actor.scope, id).await?, "allocation")).await
}

/// Allocates certificates. If an open allocation has the same reference, type and quantity, returns that one. The flag
/// tells whether the allocation is new.
///
/// # Errors
/// The subscription does not exist, a rule denies the allocation, or an open allocation uses the reference for another
/// type or quantity.
pub async fn allocate(
    cx: &Context,
    id: SubscriptionId,
    certificate_type: Code,
    quantity: i32,
    reference: Reference,
) -> Result<(Allocation, bool)> {
    cx.change(Whose::Its(id), async |work| {
        let lock = work.lock(cx, id, &Precondition::None);
        let open = async { Ok(allocations::find_open(work.conn, id, &reference).await?) };
        let (before, open): (Subscription, _) = try_join!(biased; lock, open)?;
        if let Some(open) = open {
            return if open.is_same_as(&certificate_type, quantity) {
                Ok((open, false))
            } else {
                Err(Error::DuplicateReference)
            };
        }
        let allocation = Allocation {
            id: cx.new_id_of(before.customer_id),
            subscription_id: id,
            certificate_type: certificate_type.clone(),
            quantity,
            reference: reference.clone(),
            created_at: cx.at,
            released_at: None,
        };
        work.write([allocations::insert(before.customer_id, &allocation)]);
        use_certificates(work, cx, &before, &allocation, Command::Allocate(certificate_type, quantity))?;
        Ok((allocation, true))
    })
    .await
}

/// Releases the certificates of an allocation. Releasing it again changes nothing.
///
/// # Errors
/// The allocation does not exist.
pub async fn release(cx: &Context, id: AllocationId) -> Result<Allocation> {
    let subscription_id = get(cx, id).await?.subscription_id;
    cx.change(Whose::Its(subscription_id), async |work| {
        let lock = work.lock(cx, subscription_id, &Precondition::None);
        // Read after the lock is granted: another request may have released the allocation in the meantime.
        let find = async { found(allocations::find(work.conn, cx.actor.scope, id).await?, "allocation") };
        let (before, allocation): (Subscription, _) = try_join!(biased; lock, find)?;
        if allocation.released_at.is_some() {
            return Ok(allocation);
        }
        let command = Command::Release(allocation.certificate_type.clone(), allocation.quantity);
        let released = Allocation { released_at: Some(cx.at), ..allocation };
        work.write([allocations::save(&released)]);
        use_certificates(work, cx, &before, &released, command)?;
        Ok(released)
    })
    .await
}

/// Saves and records how an allocation or a release changes the subscription.
fn use_certificates(
    work: &mut Work<'_>,
    cx: &Context,
    before: &Subscription,
    allocation: &Allocation,
    command: Command,
) -> Result<()> {
    if let Outcome::Changed(after) = before.apply(command, cx.at).map_err(|why| refused(cx, before, why))? {
        work.write(subscriptions::save(before, &after, &cx.cause(None, Some(allocation.id))));
        work.record(cx, told(cx, Some(before), &after));
    }
    Ok(())
}
