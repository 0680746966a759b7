//! A request that writes is one transaction: what it does, its events, its answer for whoever sends it again, and
//! its entry in the audit trail. The use case begins it; once the answer is known, [`finish`] ends it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tokio::try_join;
use uuid::Uuid;

use super::{Context, Error, Result, found};
use crate::db::{Db, Transaction};
use crate::domain::audit::{self as audit_trail, Change, Entry, MAX_CHANGES, Outcome};
use crate::domain::event::ResourceType;
use crate::domain::idempotency::{Answer, Claim, Kept, is_final, is_kept};
use crate::store::events::{self, Addressed};
use crate::store::{Conn, Running, audit, idempotency, in_order};

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
    changes: Mutex<Vec<Change>>,
    /// Written when it ends, together with its other traces.
    events: Mutex<Vec<Addressed>>,
    has_ended: AtomicBool,
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

enum Begun {
    Open(Transaction),
    /// The same request was answered before.
    Answered(Answer),
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
        let (transaction, changes, events, has_ended) = Default::default();
        Self { id, operation, resource, source_address, claim, transaction, changes, events, has_ended }
    }

    /// Runs a part of what the request does in its transaction, which stays open. An error takes all of it back.
    pub(super) async fn run<T>(&self, cx: &Context, work: impl AsyncFnOnce(&Conn) -> Result<T>) -> Result<T> {
        let mut open = self.transaction.lock().await;
        let mut transaction = match open.take() {
            Some(transaction) => transaction,
            None => match self.begin(cx).await? {
                Begun::Open(transaction) => transaction,
                // In this very moment: asked again, it is answered so.
                Begun::Answered(_) => return Err(Error::IdempotencyInProgress),
            },
        };
        let done = transaction.run(work).await;
        match done {
            Ok(_) => *open = Some(transaction),
            Err(_) => self.undo(transaction).await,
        }
        done
    }

    async fn begin(&self, cx: &Context) -> Result<Begun> {
        let mut transaction = cx.db.begin().await?;
        match transaction.run(async |tx: &Conn| self.look(tx, cx).await).await {
            Ok(None) => Ok(Begun::Open(transaction)),
            Ok(Some(answer)) => {
                transaction.rollback().await;
                Ok(Begun::Answered(answer))
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    /// Takes the key, if there is one, unless the same request has it or had it.
    async fn look(&self, tx: &Conn, cx: &Context) -> Result<Option<Answer>> {
        let Some(claim) = &self.claim else { return Ok(None) };
        let now = cx.clock.machine();
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

    async fn undo(&self, transaction: Transaction) {
        transaction.rollback().await;
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn emit(&self, events: Vec<Addressed>) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
    }

    pub(super) fn tell(&self, changes: impl IntoIterator<Item = Change>) {
        let mut told = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        // One more than an entry lists says that there are more.
        let room = (MAX_CHANGES + 1).saturating_sub(told.len());
        told.extend(changes.into_iter().take(room));
    }
}

/// What the same request was answered before, if it was.
///
/// # Errors
/// The key stands for another request, or the database fails.
pub async fn answered(db: &Db, claim: &Claim, now: DateTime<Utc>) -> Result<Option<Answer>> {
    let find = async |conn: &Conn| Ok::<_, Error>(idempotency::find(conn, &claim.caller, &claim.key, now).await?);
    db.statement(find).await?.map(|kept| replay(claim, kept)).transpose()
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
///
/// # Errors
/// The database fails.
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
    finish(&cx, &request, Ending { answer, code: None, created: None, is_audited: true }).await?;
    Ok(done)
}

/// Ends a request: commits what it did together with its answer and its audit entry. What was refused is taken
/// back, and told. Only then may it be answered; with another answer, where the same request was given that
/// meanwhile. Of a request that has ended, nothing more is done than to keep another answer.
///
/// # Errors
/// The same request is under way, or the database fails: whether it was done, nobody knows; sent again with its
/// key, it is done once.
pub async fn finish(cx: &Context, request: &Request, ending: Ending) -> Result<Option<Answer>> {
    if request.has_ended.load(Ordering::Relaxed) {
        let last = async |conn: &Conn| in_order(keep(conn, cx, request, &ending).into_iter().collect()).await;
        cx.db.statement(last).await?;
        return Ok(None);
    }
    let mut open = request.transaction.lock().await.take();
    let status = ending.answer.status;
    if status >= 400
        && let Some(transaction) = open.take()
    {
        request.undo(transaction).await;
    }
    // Nothing is known of what failed, and nobody who is not known has been here.
    let leaves_traces = is_final(status) && (ending.is_audited || request.claim.is_some());
    let transaction = match open {
        Some(transaction) => transaction,
        None if !leaves_traces => return Ok(None),
        None => match request.begin(cx).await? {
            Begun::Open(transaction) => transaction,
            Begun::Answered(answer) => return Ok(Some(answer)),
        },
    };
    let ending = Some(&ending).filter(|_| leaves_traces);
    let committed = transaction.commit_with(|tx| last(tx, cx, request, ending)).await;
    // Also when nobody knows whether it is.
    cx.forget_access();
    committed?;
    request.has_ended.store(true, Ordering::Relaxed);
    Ok(None)
}

/// What is written last: the events and, where it leaves traces, the audit entry and the answer for whoever sends the
/// request again.
fn last<'c>(tx: &'c Conn, cx: &Context, request: &Request, ending: Option<&Ending>) -> Vec<Running<'c>> {
    let new = std::mem::take(&mut *request.events.lock().unwrap_or_else(PoisonError::into_inner));
    let mut statements = events::insert(tx, new);
    let Some(ending) = ending else { return statements };
    if ending.is_audited {
        let changes = std::mem::take(&mut *request.changes.lock().unwrap_or_else(PoisonError::into_inner));
        let (changes, is_cut) = audit_trail::cut(changes);
        let outcome = if ending.code.is_some() { Outcome::Refused } else { Outcome::Succeeded };
        let entry = Entry {
            id: cx.new_id(),
            occurred_at: cx.at,
            actor: cx.actor.label(),
            role: cx.actor.role,
            reseller_id: cx.actor.scope.reseller(),
            source_address: request.source_address.clone(),
            request_id: request.id.clone(),
            operation: request.operation.clone(),
            resource: request.resource.or(ending.created),
            outcome,
            status: ending.answer.status,
            code: ending.code.clone(),
            changes,
            changes_truncated: is_cut.then_some(true),
        };
        statements.push(audit::insert(tx, entry));
    }
    statements.extend(keep(tx, cx, request, ending));
    statements
}

fn keep<'c>(conn: &'c Conn, cx: &Context, request: &Request, ending: &Ending) -> Option<Running<'c>> {
    let claim = request.claim.clone().filter(|_| is_kept(ending.answer.status))?;
    let (operation, answer) = (request.operation.clone(), ending.answer.clone());
    let resource = ending.created.or(request.resource);
    Some(idempotency::insert(conn, &Kept { claim, operation, resource, answer, created_at: cx.clock.machine() }))
}
