//! Allocations: certificates in use.

use super::subscriptions::{find, lock, refused, told};
use super::{Context, Error, Precondition, Result, found, milestones};
use crate::domain::allocation::Allocation;
use crate::domain::id::{AllocationId, SubscriptionId};
use crate::domain::listing::{Page, Whose, Window};
use crate::domain::machine::Outcome;
use crate::domain::subscription::{Command, Subscription};
use crate::domain::text::{Code, Reference};
use crate::store::{Conn, Running, allocations, in_order, subscriptions};

/// The allocations of a subscription, newest first.
///
/// # Errors
/// Not found.
pub async fn list(cx: &Context, id: SubscriptionId, window: &Window) -> Result<Page<Allocation>> {
    milestones::current_snapshot(cx, Whose::Its(id), async |tx| {
        find(tx, cx, id).await?;
        Ok(allocations::list(tx, id, window).await?)
    })
    .await
}

/// An allocation.
///
/// # Errors
/// Not found.
pub async fn get(cx: &Context, id: AllocationId) -> Result<Allocation> {
    let find = async |conn: &Conn| found(allocations::find(conn, cx.actor.scope, id).await?, "allocation");
    milestones::settle(cx, Whose::Its(cx.db.statement(find).await?.subscription_id)).await?;
    cx.db.statement(find).await
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
    milestones::settle(cx, Whose::Its(id)).await?;
    cx.write(async |tx| {
        let before = lock(tx, cx, id, &Precondition::None).await?;
        if let Some(open) = allocations::find_open(tx, id, &reference).await? {
            return if open.is_same_as(&certificate_type, quantity) {
                Ok((open, false))
            } else {
                Err(Error::DuplicateReference)
            };
        }
        let allocation = Allocation {
            id: cx.new_id(),
            subscription_id: id,
            certificate_type: certificate_type.clone(),
            quantity,
            reference,
            created_at: cx.at,
            released_at: None,
        };
        let insert = allocations::insert(tx, &allocation);
        use_certificates(tx, cx, &before, insert, &allocation, Command::Allocate(certificate_type, quantity)).await?;
        Ok((allocation, true))
    })
    .await
}

/// Gives the certificates of an allocation back; again, it changes nothing.
///
/// # Errors
/// Not found.
pub async fn release(cx: &Context, id: AllocationId) -> Result<Allocation> {
    let subscription_id = get(cx, id).await?.subscription_id;
    cx.write(async |tx| {
        let before = lock(tx, cx, subscription_id, &Precondition::None).await?;
        // Only now: somebody may have released it while this waited for the lock.
        let allocation = found(allocations::find(tx, cx.actor.scope, id).await?, "allocation")?;
        if allocation.released_at.is_some() {
            return Ok(allocation);
        }
        let command = Command::Release(allocation.certificate_type.clone(), allocation.quantity);
        let released = Allocation { released_at: Some(cx.at), ..allocation };
        use_certificates(tx, cx, &before, allocations::save(tx, &released), &released, command).await?;
        Ok(released)
    })
    .await
}

/// Writes an allocation, and what it makes of the subscription.
async fn use_certificates(
    tx: &Conn,
    cx: &Context,
    before: &Subscription,
    write: Running<'_>,
    allocation: &Allocation,
    command: Command,
) -> Result<()> {
    let after = match before.apply(command, cx.at).map_err(|why| refused(cx, before, why))? {
        Outcome::Changed(after) => after,
        Outcome::Unchanged => before.clone(),
    };
    let mut statements = vec![write];
    statements.extend(subscriptions::save(tx, before, &after, &cx.cause(None, Some(allocation.id))));
    in_order(statements).await?;
    cx.record(tx, told(cx, Some(before), &after)).await
}
