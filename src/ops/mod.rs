//! Use cases: one function per command or query, one visible transaction each. They find, ask the
//! domain, save, and answer; they contain no rules and no SQL.

pub mod access;
pub mod allocations;
pub mod api_keys;
pub mod audit;
pub mod billing;
pub mod budget;
pub mod courier;
pub mod customers;
pub mod demo;
pub mod events;
pub mod inventory;
pub mod invoices;
pub mod lookout;
pub mod milestones;
mod offers;
pub mod orders;
pub mod price_lists;
pub mod products;
pub mod rate_limits;
pub mod reports;
pub mod resellers;
pub mod sandbox;
pub mod subscriptions;
pub mod upcoming_charges;
pub mod webhook_deliveries;
pub mod webhooks;
mod work;

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::try_join_all;
use uuid::Uuid;

use crate::access_cache::AccessCache;
use crate::clock::Clock;
use crate::db::{Db, IsUnavailable};
use crate::domain::access::{Actor, Offer};
use crate::domain::budget::Exhausted;
use crate::domain::id::{AllocationId, CustomerId, OrderId, ProductId, ResellerId, SubscriptionId, Version};
use crate::domain::quote::Quote;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::store::inventory::Cause;
use crate::store::{self, Conn};
use request::Request;
pub use work::request;

/// What every use case is handed.
#[derive(Clone)]
pub struct Context {
    pub db: Db,
    /// Makes ids.
    pub clock: Clock,
    /// The instant at which the request is dealt with.
    pub at: DateTime<Utc>,
    pub actor: Actor,
    /// The request that this is for, when it is one that may write.
    pub request: Option<Arc<Request>>,
    access: access::Change,
}

impl Context {
    /// A context as of now.
    #[must_use]
    pub fn new(db: Db, clock: Clock, actor: Actor) -> Self {
        let at = clock.now();
        Self { db, clock, at, actor, request: None, access: access::Change::default() }
    }

    /// The context in an instance that remembers keys: what the request changes of them is forgotten.
    #[must_use]
    pub fn remembering(self, cache: AccessCache) -> Self {
        Self { access: access::Change::of(cache), ..self }
    }

    /// The day of the request.
    #[must_use]
    pub fn today(&self) -> NaiveDate {
        self.at.date_naive()
    }

    /// Why inventory changes: by whom and when, and the order or allocation that it is for.
    fn cause(&self, order: Option<OrderId>, allocation: Option<AllocationId>) -> Cause<'_> {
        Cause { order, allocation, actor: self.actor.label(), at: self.at, clock: &self.clock }
    }

    /// Says that the request changes who may do what.
    fn change_access(&self) {
        self.access.make();
    }

    /// Forgets what the instance remembers of keys, if the request changes who may do what. It wants calling when
    /// that is committed, or may be.
    fn forget_access(&self) {
        self.access.forget();
    }

    fn new_id<T: From<Uuid>>(&self) -> T {
        self.clock.new_id().into()
    }

    /// A new id for what is a customer's.
    fn new_id_of<T: From<Uuid>>(&self, customer_id: CustomerId) -> T {
        self.clock.new_id_of(customer_id).into()
    }
}

/// Why a use case fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing in the tenant.
    #[error("There is no {0} with this id, or it belongs to another tenant.")]
    NotFound(&'static str),
    /// Somebody changed the resource since the caller saw it.
    #[error("The resource has changed and is now at version {}. Read it again, then decide again.", current.0)]
    VersionMismatch {
        /// The version it has.
        current: Version,
    },
    /// What was reviewed no longer holds.
    #[error("The data behind the quote has changed. Review the new quote in this response and confirm its digest.")]
    QuoteStale(Box<Quote>),
    /// More is due than a request can wait for.
    #[error("The service is still processing due transitions. Retry in a few seconds.")]
    CatchingUp,
    /// A budget is used up.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The feed of events never came to where the caller says that it was.
    #[error("`after` is not a position in the feed. Send `next_after` from a response, or `latest`.")]
    UnknownPlace,
    /// An open allocation of the subscription has the reference for something else.
    #[error("An open allocation of another type or quantity uses this reference. Choose another one, or release it.")]
    DuplicateReference,
    /// The same request, by its key, is under way.
    #[error("A request with this Idempotency-Key is still in progress. Retry in a few seconds to get its response.")]
    IdempotencyInProgress,
    /// The key was used for another request.
    #[error(
        "This Idempotency-Key was used for another request. Send the original request unchanged, or use a new key."
    )]
    IdempotencyKeyReused,
    /// The domain refuses.
    #[error("{refusal}")]
    Refused {
        refusal: Refusal,
        /// What could be done instead; empty where that says nothing.
        offers: Vec<Offer>,
    },
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl IsUnavailable for Error {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(store::Error::Unavailable(_)))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { refusal, offers: Vec::new() }
    }
}

/// What use cases answer.
pub type Result<T> = std::result::Result<T, Error>;

/// A condition on the version of what is to be changed: `If-Match`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// None: whatever version it has.
    #[default]
    None,
    /// It has one of these.
    OneOf(Vec<Version>),
}

impl Precondition {
    /// Succeeds when the condition holds.
    ///
    /// # Errors
    /// [`Error::VersionMismatch`].
    pub fn check(&self, current: Version) -> Result<()> {
        match self {
            Self::OneOf(versions) if !versions.contains(&current) => Err(Error::VersionMismatch { current }),
            _ => Ok(()),
        }
    }
}

/// An id that a filter names. It must exist, or a mistyped one would look like an empty list.
pub(crate) enum Named {
    Reseller(Option<ResellerId>),
    Customer(Option<CustomerId>),
    Product(Option<ProductId>),
    Subscription(Option<SubscriptionId>),
}

impl Context {
    /// What a list answers, when everything that its filter names is there. Both are asked at once.
    ///
    /// # Errors
    /// `unknown_reference` for each that is not, or the database fails.
    pub(crate) async fn checked<T>(
        &self,
        conn: &Conn,
        named: &[(&str, Named)],
        list: impl Future<Output = store::Result<T>>,
    ) -> Result<T> {
        let check = try_join_all(named.iter().map(|(parameter, named)| self.check(conn, parameter, named)));
        let (violations, list) = tokio::join!(biased; check, list);
        crate::domain::refusal::none_of(violations?.into_iter().flatten().collect())?;
        Ok(list?)
    }

    async fn check(&self, conn: &Conn, parameter: &str, named: &Named) -> store::Result<Option<Violation>> {
        let scope = self.actor.scope;
        let found = match *named {
            Named::Reseller(Some(id)) => store::resellers::find(conn, scope, id).await?.is_some(),
            Named::Customer(Some(id)) => store::customers::find(conn, scope, id).await?.is_some(),
            Named::Product(Some(id)) => store::products::find(conn, id).await?.is_some(),
            Named::Subscription(Some(id)) => store::subscriptions::find(conn, scope, id).await?.is_some(),
            _ => true,
        };
        let detail = "No resource with this id is visible to you. Check the id.";
        Ok((!found).then(|| Violation::new(format!("/{parameter}"), ViolationCode::UnknownReference, detail)))
    }
}

fn found<T>(thing: Option<T>, kind: &'static str) -> Result<T> {
    thing.ok_or(Error::NotFound(kind))
}
