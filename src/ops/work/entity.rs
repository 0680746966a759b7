//! Resources that are locked, changed and saved as a whole.

use super::{Saved, Work};
use crate::domain::authorization::{Right, Scope};
use crate::domain::events::Resource;
use crate::domain::id::Version;
use crate::domain::machine::{Outcome, Possibility};
use crate::domain::refusal::Refusal;
use crate::domain::subscription::Whose;
use crate::ops::{Context, Error, Precondition, Result, found};
use crate::store::{self, Conn, Write};

/// A resource that use cases change.
pub(in crate::ops) trait Entity: Resource + Sized {
    type Id: Copy;

    /// The name of the resource in "not found" errors.
    const NAME: &'static str;

    /// Finds the resource in the scope, and locks it until the transaction ends.
    async fn lock(conn: &Conn, scope: Scope, id: Self::Id) -> store::Result<Option<Self>>;

    /// The subscriptions whose due transitions must be processed before the resource is changed. `None` if it does not
    /// depend on them.
    fn depends_on(_: Self::Id) -> Option<Whose> {
        None
    }

    fn version(&self) -> Version;

    /// The actions of the resource, and whether each is possible now.
    fn possibilities(&self, cx: &Context) -> Vec<(Right, Possibility)>;

    /// The writes that save the resource.
    fn rows(&self, cx: &Context, before: &Self) -> Vec<Write>;

    /// The changes to record as events and in the audit trail.
    fn told(&self, cx: &Context, before: &Self) -> Vec<Saved> {
        vec![Saved::new(cx, Some(before), self)]
    }
}

impl Context {
    /// Changes one resource: locks it, applies `change`, and saves the result.
    ///
    /// # Errors
    /// The resource does not exist, has another version, or a rule denies the change.
    pub(in crate::ops) async fn change_one<E: Entity>(
        &self,
        id: E::Id,
        precondition: &Precondition,
        change: impl FnOnce(&E) -> std::result::Result<Outcome<E>, Refusal>,
    ) -> Result<E> {
        self.change(E::depends_on(id), async |work| {
            let before: E = work.lock(self, id, precondition).await?;
            let outcome = change(&before).map_err(|refusal| refused(self, &before, refusal))?;
            Ok(work.save(self, before, outcome))
        })
        .await
    }
}

impl Work<'_> {
    /// Locks the resource to be changed.
    ///
    /// # Errors
    /// The resource does not exist, or the precondition fails.
    pub(in crate::ops) async fn lock<E: Entity>(
        &self,
        cx: &Context,
        id: E::Id,
        precondition: &Precondition,
    ) -> Result<E> {
        let entity = found(E::lock(self.conn, cx.actor.scope, id).await?, E::NAME)?;
        if let Some(request) = &cx.request {
            request.is_about(entity.customer());
        }
        precondition.check(entity.version())?;
        Ok(entity)
    }

    /// Saves and records the resource if it has changed. Returns its current state.
    pub(in crate::ops) fn save<E: Entity>(&mut self, cx: &Context, before: E, outcome: Outcome<E>) -> E {
        let Outcome::Changed(after) = outcome else { return before };
        self.write(after.rows(cx, &before));
        self.record(cx, after.told(cx, &before));
        after
    }
}

/// The error for a change that a rule denies, with the actions of the resource.
pub(in crate::ops) fn refused<E: Entity>(cx: &Context, entity: &E, refusal: Refusal) -> Error {
    // The actions do not help if the request itself is invalid.
    let offers = match refusal {
        Refusal::Invalid(_) | Refusal::AmountOutOfRange => Vec::new(),
        _ => cx.actor.offers(entity.possibilities(cx)),
    };
    Error::Refused { refusal, offers }
}
