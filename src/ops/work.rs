//! A unit of work. A use case locks and reads rows, lets the domain decide, and collects the writes. They are sent in
//! one batch: the rows, their events, and for a request also the audit entry, the stored response and COMMIT. A unit of
//! work needs one round trip to the database to begin, one or two to read, and one to end.

mod entity;
mod record;
pub mod request;

use super::{Context, Error, Result, milestones};
use crate::domain::events::audit::{Change, MAX_CHANGES};
use crate::domain::idempotency::{Answer, Claim};
use crate::domain::subscription::Whose;
use crate::platform::db::Transaction;
use crate::store::{Conn, Write, due_subscriptions};
pub(super) use entity::{Entity, refused};
pub(super) use record::Saved;

/// An open transaction, and the writes that were collected for it.
pub(super) struct Work<'t> {
    /// The connection to read and lock with. The collected writes are not visible on it yet.
    pub(super) conn: &'t Conn,
    outbox: Outbox,
}

/// The collected writes, and the changes for the audit entry.
#[derive(Default)]
struct Outbox {
    writes: Vec<Write>,
    changes: Vec<Change>,
}

impl Outbox {
    fn append(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.tell(other.changes);
    }

    fn tell(&mut self, changes: impl IntoIterator<Item = Change>) {
        // One change more than an entry can list shows that the list is truncated.
        let room = (MAX_CHANGES + 1).saturating_sub(self.changes.len());
        self.changes.extend(changes.into_iter().take(room));
    }
}

impl Work<'_> {
    /// Collects writes. They are executed in order when the work ends.
    pub(super) fn write(&mut self, writes: impl IntoIterator<Item = Write>) {
        self.outbox.writes.extend(writes);
    }
}

/// The result of beginning a unit of work.
enum Begun {
    Open(Transaction),
    /// The same request already has a response.
    Answered(Answer),
}

/// What was found before the work begins.
enum Before {
    Nothing,
    Answered(Answer),
    /// Due transitions of the subscriptions that the work depends on are not processed yet.
    Due,
}

impl Context {
    /// Runs changes that do not depend on scheduled transitions.
    ///
    /// # Errors
    /// Those of [`Context::change`].
    pub(super) async fn write<T>(&self, work: impl AsyncFnOnce(&mut Work<'_>) -> Result<T>) -> Result<T> {
        self.change(None, work).await
    }

    /// Runs changes, all or none. The changes of a request are committed together with its response. First processes
    /// the due transitions of the subscriptions that the changes depend on.
    ///
    /// # Errors
    /// The error of `work`, [`Error::CatchingUp`] if there are too many due transitions, or the database is
    /// unavailable.
    pub(super) async fn change<T>(
        &self,
        whose: impl Into<Option<Whose>>,
        work: impl AsyncFnOnce(&mut Work<'_>) -> Result<T>,
    ) -> Result<T> {
        let whose = whose.into();
        if let Some(request) = &self.request {
            return request.run(self, whose, work).await;
        }
        let mut transaction = match begin(self, None, whose).await? {
            Begun::Open(transaction) => transaction,
            // Impossible, because there is no claim.
            Begun::Answered(_) => return Err(Error::IdempotencyInProgress),
        };
        let outcome = match collect(&mut transaction, work).await {
            Ok((done, outbox)) => transaction.commit_with(outbox.writes).await.map(|()| done).map_err(Into::into),
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        };
        self.forget_access();
        outcome
    }
}

/// Runs `work`. Returns its result and the collected writes.
async fn collect<T>(
    transaction: &mut Transaction,
    work: impl AsyncFnOnce(&mut Work<'_>) -> Result<T>,
) -> Result<(T, Outbox)> {
    transaction
        .run(async |conn: &Conn| {
            let mut unit = Work { conn, outbox: Outbox::default() };
            let done = work(&mut unit).await?;
            Ok((done, unit.outbox))
        })
        .await
}

/// Begins a transaction. Takes the idempotency key of the request, unless another request has it, and processes due
/// transitions.
async fn begin(cx: &Context, claim: Option<&Claim>, mut whose: Option<Whose>) -> Result<Begun> {
    loop {
        let mut transaction = cx.db.begin().await?;
        let before = transaction.run(async |conn: &Conn| look(conn, cx, claim, whose).await).await;
        if matches!(before, Ok(Before::Nothing)) {
            return Ok(Begun::Open(transaction));
        }
        transaction.rollback().await;
        if let Before::Answered(answer) = before? {
            return Ok(Begun::Answered(answer));
        }
        // No further transition becomes due in the meantime, because the instant is that of the request.
        if let Some(whose) = whose.take() {
            Box::pin(milestones::settle(cx, whose)).await?;
        }
    }
}

async fn look(conn: &Conn, cx: &Context, claim: Option<&Claim>, whose: Option<Whose>) -> Result<Before> {
    let take = async {
        match claim {
            Some(claim) => request::take(conn, claim, cx.clock.machine()).await,
            None => Ok(None),
        }
    };
    let due = async {
        match whose {
            Some(whose) => Ok(due_subscriptions::are_there(conn, cx.actor.scope, whose, cx.at).await?),
            None => Ok(false),
        }
    };
    let (answer, is_due) = tokio::try_join!(biased; take, due)?;
    Ok(match answer {
        Some(answer) => Before::Answered(answer),
        None if is_due => Before::Due,
        None => Before::Nothing,
    })
}
