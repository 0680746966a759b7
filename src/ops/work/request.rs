//! A request that writes is one unit of work: its changes, their events, the response that is stored for retries, and
//! the audit entry. The use case begins it. [`finish`] ends it when the response is known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use tokio::try_join;
use uuid::Uuid;

use super::{Begun, Outbox, Work, begin, collect};
use crate::domain::events::ResourceType;
use crate::domain::events::audit::{self as audit_trail, Change, Entry, Outcome};
use crate::domain::id::CustomerId;
use crate::domain::idempotency::{Answer, Claim, Kept, is_final, is_kept};
use crate::domain::subscription::Whose;
use crate::ops::{Context, Error, Result, found};
use crate::platform::db::{Db, Transaction};
use crate::store::{self, Conn, Write, audit, idempotency};

/// The maximum number of expired responses that one statement deletes.
const BATCH: i64 = 500;

/// A request that may write.
pub struct Request {
    /// The id of the request, in every response and log line.
    pub id: String,
    /// The id of the operation in the OpenAPI document.
    pub operation: String,
    /// The resource in the path of the request.
    pub resource: Option<(ResourceType, Uuid)>,
    /// The IP address of the client.
    pub source_address: Option<String>,
    /// The idempotency key and the fingerprint of the request. `None` if the client sent no key.
    pub claim: Option<Claim>,
    transaction: tokio::sync::Mutex<Option<Transaction>>,
    /// The writes that were collected until now.
    outbox: Mutex<Outbox>,
    customer: Mutex<About>,
    /// Whether the idempotency key belongs to another request. If so, this request is treated as one without a key.
    has_anothers_key: AtomicBool,
    has_ended: AtomicBool,
    /// The stored response of the same request.
    answered: OnceLock<Answer>,
}

/// The customer that a request is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum About {
    /// No customer yet.
    #[default]
    Nobody,
    One(CustomerId),
    Several,
}

/// How a request is to end.
pub struct Ending {
    /// The response.
    pub answer: Answer,
    /// The error code if the request was rejected.
    pub code: Option<String>,
    /// The resource that was created, if the path does not contain it.
    pub created: Option<(ResourceType, Uuid)>,
    /// Whether the request gets an audit entry. Previews, which write nothing, get none.
    pub is_audited: bool,
}

/// How a request has ended.
pub enum Ended {
    /// As intended.
    AsAnswered,
    /// The same request already has this stored response. Return it.
    Before(Answer),
    /// The request is rejected at the end, and nothing is changed: the database rejects the writes, or the idempotency
    /// key belongs to another request.
    Refused(Error),
}

impl Request {
    /// Creates a request that has not done anything yet.
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

    /// The stored response of the same request, if there is one. Then this request has changed nothing, and its own
    /// response is discarded.
    #[must_use]
    pub fn answered(&self) -> Option<&Answer> {
        self.answered.get()
    }

    /// Notes the customer whose resource the request is about, if any.
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

    /// Runs a part of the request in its transaction, which stays open. An error rolls back the whole transaction.
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

    /// Checks that the same request has no stored response. For requests with an effect outside the database: call this
    /// before that effect.
    ///
    /// # Errors
    /// The same request has a stored response, or the idempotency key belongs to another request.
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

    /// Ends the use case with an error that no client receives: the request gets the stored response instead.
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

/// Locks the idempotency key of a request until the transaction ends. Returns the stored response of the same request,
/// if any.
///
/// # Errors
/// The same request is in progress, or the key belongs to another request.
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

/// The state of an earlier request.
pub enum Known {
    /// The request is in progress.
    InProgress,
    /// The request has a stored response.
    Answered(Kept),
}

/// Returns the state of an earlier request of the caller.
///
/// # Errors
/// No request with this key is known.
pub async fn known(cx: &Context, key: &str) -> Result<Known> {
    let (caller, now) = (cx.actor.caller(), cx.clock.machine());
    let look = async |conn: &Conn| {
        if let Some(kept) = idempotency::find(conn, &caller, key, now).await? {
            return Ok(Some(Known::Answered(kept)));
        }
        if idempotency::is_locked(conn, &caller, key).await? {
            return Ok(Some(Known::InProgress));
        }
        // The request may have ended between the two queries.
        Ok::<_, Error>(idempotency::find(conn, &caller, key, now).await?.map(Known::Answered))
    };
    found(cx.db.statement(look).await?, "request")
}

/// Deletes expired responses.
pub async fn forget_expired(db: &Db, now: DateTime<Utc>) -> Result<()> {
    let delete = async |conn: &Conn| Ok::<_, Error>(idempotency::delete_expired(conn, now, BATCH).await?);
    while db.statement(delete).await? > 0 {}
    Ok(())
}

fn replay(claim: &Claim, kept: Kept) -> Result<Answer> {
    if kept.claim.fingerprint == claim.fingerprint { Ok(kept.answer) } else { Err(Error::IdempotencyKeyReused) }
}

/// Runs a command of the command line as a request. The audit trail shows it as an operation of the service itself.
///
/// # Errors
/// The error of `work`, or the database fails. In both cases, nothing is changed.
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

/// Ends a request: commits its changes together with the response and the audit entry. The changes of a rejected
/// request are rolled back, and the rejection is recorded. The response must be sent only after this. If the request
/// has already ended, this only stores the other response.
///
/// # Errors
/// The same request is in progress, or the database fails. If the database fails, the changes may or may not have been
/// committed. A retry with the same idempotency key runs them exactly once.
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
    // Nothing is recorded if a retry may succeed, and nothing without a reason: an audit entry or an idempotency key.
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
    // Also if the outcome of the commit is unknown.
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
