//! A request that writes is one unit of work: what it does, its events, its answer for whoever sends it again, and its
//! entry in the audit trail. The use case begins it; once the answer is known, [`finish`] ends it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use tokio::try_join;
use uuid::Uuid;

use super::{Begun, Outbox, Work, begin, collect};
use crate::db::{Db, Transaction};
use crate::domain::audit::{self as audit_trail, Change, Entry, Outcome};
use crate::domain::event::ResourceType;
use crate::domain::id::CustomerId;
use crate::domain::idempotency::{Answer, Claim, Kept, is_final, is_kept};
use crate::domain::listing::Whose;
use crate::ops::{Context, Error, Result, found};
use crate::store::{self, Conn, Write, audit, idempotency};

/// How many answers that are no longer kept are deleted at once.
const BATCH: i64 = 500;

/// A request that may write.
pub struct Request {
    /// Names it, in every answer and log line.
    pub id: String,
    /// The operation's id.
    pub operation: String,
    /// What it is about, as its path says.
    pub resource: Option<(ResourceType, Uuid)>,
    /// The IP address that it comes from.
    pub source_address: Option<String>,
    /// How it is told from others, when its sender wants it done once however often it is sent.
    pub claim: Option<Claim>,
    transaction: tokio::sync::Mutex<Option<Transaction>>,
    /// What it writes when it ends.
    outbox: Mutex<Outbox>,
    customer: Mutex<About>,
    /// Whether its key stands for another request: then it has none of its own.
    has_anothers_key: AtomicBool,
    has_ended: AtomicBool,
    /// What the same request was answered before.
    answered: OnceLock<Answer>,
}

/// Which customer a request is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum About {
    /// None, as far as is known.
    #[default]
    Nobody,
    One(CustomerId),
    Several,
}

/// How a request ended.
pub struct Ending {
    /// What is answered.
    pub answer: Answer,
    /// Why it was refused, if it was.
    pub code: Option<String>,
    /// What it created, where the path does not say.
    pub created: Option<(ResourceType, Uuid)>,
    /// Whether it is told in the audit trail: previews, which write nothing, are not.
    pub is_audited: bool,
}

/// How a request has ended.
pub enum Ended {
    /// As it was to.
    AsAnswered,
    /// The same request was given this answer before: it stands.
    Before(Answer),
    /// It is refused at the end, and nothing of it is done: the database refuses what was to be written, or its key
    /// stands for another request.
    Refused(Error),
}

impl Request {
    /// A request that has done nothing yet.
    #[must_use]
    pub fn new(
        id: String,
        operation: String,
        resource: Option<(ResourceType, Uuid)>,
        source_address: Option<String>,
        claim: Option<Claim>,
    ) -> Self {
        Self {
            id,
            operation,
            resource,
            source_address,
            claim,
            transaction: Default::default(),
            outbox: Default::default(),
            customer: Default::default(),
            has_anothers_key: Default::default(),
            has_ended: Default::default(),
            answered: Default::default(),
        }
    }

    /// What the same request was answered before, if it was: then it has done nothing, and its own answer is none.
    #[must_use]
    pub fn answered(&self) -> Option<&Answer> {
        self.answered.get()
    }

    /// Notes that it is about something of a customer's, or of nobody's in particular.
    pub(super) fn is_about(&self, customer: Option<CustomerId>) {
        let Some(customer) = customer else { return };
        let mut about = self.customer.lock().unwrap_or_else(PoisonError::into_inner);
        *about = match *about {
            About::Nobody => About::One(customer),
            About::One(one) if one == customer => return,
            About::One(_) | About::Several => About::Several,
        };
    }

    fn customer(&self) -> Option<CustomerId> {
        match *self.customer.lock().unwrap_or_else(PoisonError::into_inner) {
            About::One(customer) => Some(customer),
            About::Nobody | About::Several => None,
        }
    }

    async fn begin(&self, cx: &Context, whose: Option<Whose>) -> Result<Begun> {
        let begun = begin(cx, self.claim(), whose).await;
        if matches!(begun, Err(Error::IdempotencyKeyReused)) {
            self.has_anothers_key.store(true, Ordering::Relaxed);
        }
        begun
    }

    fn claim(&self) -> Option<&Claim> {
        self.claim.as_ref().filter(|_| !self.has_anothers_key.load(Ordering::Relaxed))
    }

    /// Runs a part of what the request does in its transaction, which stays open. An error takes all of it back.
    pub(super) async fn run<T>(
        &self,
        cx: &Context,
        whose: Option<Whose>,
        work: impl AsyncFnOnce(&mut Work<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut open = self.transaction.lock().await;
        let mut transaction = match open.take() {
            Some(transaction) => transaction,
            None => match self.begin(cx, whose).await? {
                Begun::Open(transaction) => transaction,
                Begun::Answered(answer) => return Err(self.end_as(answer)),
            },
        };
        match collect(&mut transaction, work).await {
            Ok((done, outbox)) => {
                *open = Some(transaction);
                self.outbox.lock().unwrap_or_else(PoisonError::into_inner).append(outbox);
                Ok(done)
            }
            Err(error) => {
                self.undo(transaction).await;
                Err(error)
            }
        }
    }

    /// Succeeds unless the same request was answered before. For what does something besides writing, before it writes.
    ///
    /// # Errors
    /// It was, or its key stands for another request, or the database fails.
    pub(in crate::ops) async fn check_new(&self, cx: &Context) -> Result<()> {
        let Some(claim) = self.claim() else { return Ok(()) };
        let find = async |conn: &Conn| {
            Ok::<_, Error>(idempotency::find(conn, &claim.caller, &claim.key, cx.clock.machine()).await?)
        };
        match cx.db.statement(find).await?.map(|kept| replay(claim, kept)).transpose()? {
            Some(answer) => Err(self.end_as(answer)),
            None => Ok(()),
        }
    }

    /// Ends the use case; the error is nobody's answer, as the request is given the one of before.
    fn end_as(&self, answer: Answer) -> Error {
        let _ = self.answered.set(answer);
        Error::IdempotencyInProgress
    }

    async fn undo(&self, transaction: Transaction) {
        transaction.rollback().await;
        self.take_outbox();
    }

    fn take_outbox(&self) -> Outbox {
        std::mem::take(&mut *self.outbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes the key of a request until the transaction ends, and answers what the same request was answered before.
///
/// # Errors
/// The same request is under way, the key stands for another one, or the database fails.
pub(super) async fn take(tx: &Conn, claim: &Claim, now: DateTime<Utc>) -> Result<Option<Answer>> {
    let (is_locked, kept) = try_join!(
        biased;
        idempotency::lock(tx, &claim.caller, &claim.key),
        idempotency::find(tx, &claim.caller, &claim.key, now)
    )?;
    if !is_locked {
        return Err(Error::IdempotencyInProgress);
    }
    kept.map(|kept| replay(claim, kept)).transpose()
}

/// What is known of a request.
pub enum Known {
    /// It is under way.
    InProgress,
    /// It was answered.
    Answered(Kept),
}

/// What became of a request of the caller's.
///
/// # Errors
/// Nothing is known of it, or the database fails.
pub async fn known(cx: &Context, key: &str) -> Result<Known> {
    let (caller, now) = (cx.actor.caller(), cx.clock.machine());
    let look = async |conn: &Conn| {
        if let Some(kept) = idempotency::find(conn, &caller, key, now).await? {
            return Ok(Some(Known::Answered(kept)));
        }
        if idempotency::is_locked(conn, &caller, key).await? {
            return Ok(Some(Known::InProgress));
        }
        // It may have been answered between the one look and the other.
        Ok::<_, Error>(idempotency::find(conn, &caller, key, now).await?.map(Known::Answered))
    };
    found(cx.db.statement(look).await?, "request")
}

/// Deletes what is no longer kept.
pub async fn forget_expired(db: &Db, now: DateTime<Utc>) -> Result<()> {
    let delete = async |conn: &Conn| Ok::<_, Error>(idempotency::delete_expired(conn, now, BATCH).await?);
    while db.statement(delete).await? > 0 {}
    Ok(())
}

fn replay(claim: &Claim, kept: Kept) -> Result<Answer> {
    if kept.claim.fingerprint == claim.fingerprint { Ok(kept.answer) } else { Err(Error::IdempotencyKeyReused) }
}

/// Runs what the command line asks for as a request of its own: it is in the audit trail as an operation, by the
/// service.
///
/// # Errors
/// Of `work`, or the database fails; then nothing is done.
pub async fn by_command<T>(cx: &Context, operation: &str, work: impl AsyncFnOnce(&Context) -> Result<T>) -> Result<T> {
    let id = cx.clock.new_id().to_string();
    let request = Arc::new(Request::new(id, operation.to_owned(), None, None, None));
    let cx = Context { request: Some(request.clone()), ..cx.clone() };
    let done = work(&cx).await?;
    let answer = Answer { status: 200, headers: Vec::new(), body: Vec::new() };
    match finish(&cx, &request, Ending { answer, code: None, created: None, is_audited: true }).await? {
        Ended::Refused(error) => Err(error),
        Ended::AsAnswered | Ended::Before(_) => Ok(done),
    }
}

/// Ends a request: commits what it did together with its answer and its audit entry. What was refused is taken
/// back, and told. Only then may it be answered. Of a request that has ended, nothing more is done than to keep another
/// answer.
///
/// # Errors
/// The same request is under way, or the database fails: whether it was done, nobody knows; sent again with its
/// key, it is done once.
pub async fn finish(cx: &Context, request: &Request, ending: Ending) -> Result<Ended> {
    if request.has_ended.load(Ordering::Relaxed) {
        cx.db.send(keep(cx, request, &ending).into_iter().collect()).await?;
        return Ok(Ended::AsAnswered);
    }
    let mut open = request.transaction.lock().await.take();
    let status = ending.answer.status;
    if status >= 400
        && let Some(transaction) = open.take()
    {
        request.undo(transaction).await;
    }
    // Nothing is known of what failed, and nobody who is not known has been here.
    let leaves_traces = is_final(status) && (ending.is_audited || request.claim().is_some());
    let transaction = match open {
        Some(transaction) => transaction,
        None if !leaves_traces => return Ok(Ended::AsAnswered),
        None => match request.begin(cx, None).await {
            Ok(Begun::Open(transaction)) => transaction,
            Ok(Begun::Answered(answer)) => return Ok(Ended::Before(answer)),
            Err(error @ Error::IdempotencyKeyReused) => return Ok(Ended::Refused(error)),
            Err(error) => return Err(error),
        },
    };
    let Outbox { writes: mut last, changes } = request.take_outbox();
    if leaves_traces {
        last.extend(ending.is_audited.then(|| audit::insert(entry(cx, request, &ending, changes))));
        last.extend(keep(cx, request, &ending));
    }
    let committed = transaction.commit_with(last).await;
    // Also when nobody knows whether it is.
    cx.forget_access();
    match committed {
        Err(error @ store::Error::Taken(_)) => return Ok(Ended::Refused(error.into())),
        committed => committed?,
    }
    request.has_ended.store(true, Ordering::Relaxed);
    Ok(Ended::AsAnswered)
}

fn entry(cx: &Context, request: &Request, ending: &Ending, changes: Vec<Change>) -> Entry {
    let (changes, is_cut) = audit_trail::cut(changes);
    let customer_id = request.customer();
    Entry {
        id: customer_id.map_or_else(|| cx.new_id(), |customer| cx.new_id_of(customer)),
        customer_id,
        occurred_at: cx.at,
        actor: cx.actor.label(),
        role: cx.actor.role,
        reseller_id: cx.actor.scope.reseller(),
        source_address: request.source_address.clone(),
        request_id: request.id.clone(),
        operation: request.operation.clone(),
        resource: request.resource.or(ending.created),
        outcome: if ending.code.is_some() { Outcome::Refused } else { Outcome::Succeeded },
        status: ending.answer.status,
        code: ending.code.clone(),
        changes,
        changes_truncated: is_cut.then_some(true),
    }
}

fn keep(cx: &Context, request: &Request, ending: &Ending) -> Option<Write> {
    let claim = request.claim().filter(|_| is_kept(ending.answer.status))?.clone();
    let (operation, answer) = (request.operation.clone(), ending.answer.clone());
    let resource = ending.created.or(request.resource);
    Some(idempotency::insert(&Kept { claim, operation, resource, answer, created_at: cx.clock.machine() }))
}
