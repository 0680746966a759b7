//! What is locked, changed and saved as a whole.

use super::{Saved, Work};
use crate::domain::access::{Right, Scope};
use crate::domain::event::Resource;
use crate::domain::id::Version;
use crate::domain::listing::Whose;
use crate::domain::machine::{Outcome, Possibility};
use crate::domain::refusal::Refusal;
use crate::ops::{Context, Error, Precondition, Result, found};
use crate::store::{self, Conn, Write};

/// A resource that use cases change.
pub(in crate::ops) trait Entity: Resource + Sized {
    type Id: Copy;

    /// What it is called where it is not found.
    const NAME: &'static str;

    /// Finds it in scope; nobody else changes it until the transaction ends.
    async fn lock(conn: &Conn, scope: Scope, id: Self::Id) -> store::Result<Option<Self>>;

    /// Whose subscriptions have to be up to date before it is changed; none where they do not matter.
    fn depends_on(_: Self::Id) -> Option<Whose> {
        None
    }

    fn version(&self) -> Version;

    /// What may be done with it next.
    fn possibilities(&self, cx: &Context) -> Vec<(Right, Possibility)>;

    /// Writes what it has become.
    fn rows(&self, cx: &Context, before: &Self) -> Vec<Write>;

    /// What is to be told of that.
    fn told(&self, cx: &Context, before: &Self) -> Vec<Saved> {
        vec![Saved::new(cx, Some(before), self)]
    }
}

impl Context {
    /// Changes one thing: locks it, asks the domain, and saves what comes of it.
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
    /// Locks what is to be changed.
    ///
    /// # Errors
    /// Not found, or it has another version than the caller saw.
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

    /// Saves what the domain made of it, if that is anything else, tells it, and answers what there is now.
    pub(in crate::ops) fn save<E: Entity>(&mut self, cx: &Context, before: E, outcome: Outcome<E>) -> E {
        let Outcome::Changed(after) = outcome else { return before };
        self.write(after.rows(cx, &before));
        self.record(cx, after.told(cx, &before));
        after
    }
}

/// That the domain refuses to change something, and what could be done instead.
pub(in crate::ops) fn refused<E: Entity>(cx: &Context, entity: &E, refusal: Refusal) -> Error {
    // A request that is wrong in itself is not helped by a list of what else could be done.
    let offers = match refusal {
        Refusal::Invalid(_) | Refusal::AmountOutOfRange => Vec::new(),
        _ => cx.actor.offers(entity.possibilities(cx)),
    };
    Error::Refused { refusal, offers }
}
