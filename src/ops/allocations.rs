//! Allocations: certificates in use.

use tokio::try_join;

use super::subscriptions::{find, told};
use super::work::{Work, refused};
use super::{Context, Error, Precondition, Result, found, milestones};
use crate::domain::allocation::Allocation;
use crate::domain::id::{AllocationId, SubscriptionId};
use crate::domain::listing::{Page, Whose, Window};
use crate::domain::machine::Outcome;
use crate::domain::subscription::{Command, Subscription};
use crate::domain::text::{Code, Reference};
use crate::store::{Conn, allocations, subscriptions};

/// The allocations of a subscription, newest first.
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
    // What time does to its subscription, it does not do to an allocation.
    cx.db.glance(async |conn: &Conn| found(allocations::find(conn, cx.actor.scope, id).await?, "allocation")).await
}

/// Puts certificates to use. The same reference, type and quantity again answers the first allocation;
/// the flag tells whether this one is new.
///
/// # Errors
/// Not found, what the domain refuses, or the reference stands for something else.
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

/// Gives the certificates of an allocation back; again, it changes nothing.
///
/// # Errors
/// The allocation does not exist.
pub async fn release(cx: &Context, id: AllocationId) -> Result<Allocation> {
    let subscription_id = get(cx, id).await?.subscription_id;
    cx.change(Whose::Its(subscription_id), async |work| {
        let lock = work.lock(cx, subscription_id, &Precondition::None);
        // Read behind the lock: somebody may have released it while this waited.
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

/// Writes what an allocation makes of the subscription.
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
