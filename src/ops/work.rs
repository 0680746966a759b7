//! One unit of work. A use case locks and reads, asks the domain, and hands over what is to be written; that goes out
//! in one piece: the rows, their events, and with a request's answer its audit entry, the kept answer and COMMIT. The
//! database is waited for once to begin, once or twice to read, and once to end.

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

/// A transaction under way, and what is to be written in it.
pub(super) struct Work<'t> {
    /// To read and to lock with. What is to be written is not there yet.
    pub(super) conn: &'t Conn,
    outbox: Outbox,
}

/// What is to be written, and told of it.
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
        // One more than an entry lists says that there are more.
        let room = (MAX_CHANGES + 1).saturating_sub(self.changes.len());
        self.changes.extend(changes.into_iter().take(room));
    }
}

impl Work<'_> {
    /// Writes this when the work is done, behind what is to be written already.
    pub(super) fn write(&mut self, writes: impl IntoIterator<Item = Write>) {
        self.outbox.writes.extend(writes);
    }
}

/// How a unit of work begins.
enum Begun {
    Open(Transaction),
    /// The same request was answered before.
    Answered(Answer),
}

/// What there is to know before it begins.
enum Before {
    Nothing,
    Answered(Answer),
    /// Time has changed what the work is about, and nobody has written it yet.
    Due,
}

impl Context {
    /// Runs changes that depend on nothing that time changes.
    ///
    /// # Errors
    /// As of [`Context::change`].
    pub(super) async fn write<T>(&self, work: impl AsyncFnOnce(&mut Work<'_>) -> Result<T>) -> Result<T> {
        self.change(None, work).await
    }

    /// Runs changes, all or none; those of a request are committed with its answer. Whatever is due of the
    /// subscriptions that they depend on is done first.
    ///
    /// # Errors
    /// The error of `work`, that there is so much to do first that the caller is to come again, or that the database is
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
            // Not without a claim.
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

/// Runs work, and answers what it is to write, too.
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

/// Begins a transaction: takes the key of a request, unless the same request has it or had it, and sees to it that
/// nothing is due.
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
        // Nothing more becomes due meanwhile: the instant is the request's.
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
