//! Use cases: one function per command or query, each in one visible transaction. A use case reads through `store`,
//! lets `domain` decide, saves the changes and returns the result. It contains no rules and no SQL.

pub mod access;
pub mod allocations;
pub mod api_keys;
pub mod audit;
pub mod billing;
pub mod budget;
pub mod courier;
pub mod credential_cache;
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

use crate::domain::authorization::{Actor, Offer};
use crate::domain::billing::quote::Quote;
use crate::domain::id::{AllocationId, CustomerId, OrderId, ProductId, ResellerId, SubscriptionId, Version};
use crate::domain::limits::budget::Exhausted;
use crate::domain::refusal::{Refusal, Violation, ViolationCode};
use crate::ops::credential_cache::AccessCache;
use crate::platform::clock::Clock;
use crate::platform::db::{Db, IsUnavailable};
use crate::store::inventory::Cause;
use crate::store::{self, Conn};
use request::Request;
pub use work::request;

/// The parameters that all use cases have in common.
#[derive(Clone)]
pub struct Context {
    pub db: Db,
    /// Generates ids.
    pub clock: Clock,
    /// The instant of the request. All changes are dated with it.
    pub at: DateTime<Utc>,
    pub actor: Actor,
    /// The request that this belongs to. Present only for requests that may write.
    pub request: Option<Arc<Request>>,
    access: access::Change,
}

impl Context {
    /// Creates a context for the current instant.
    #[must_use]
    pub fn new(db: Db, clock: Clock, actor: Actor) -> Self {
        let at = clock.now();
        Self { db, clock, at, actor, request: None, access: access::Change::default() }
    }

    /// Adds the credentials cache of this instance, so that a request which changes credentials clears it.
    #[must_use]
    pub fn remembering(self, cache: AccessCache) -> Self {
        Self { access: access::Change::of(cache), ..self }
    }

    /// The day of the request, in UTC.
    #[must_use]
    pub fn today(&self) -> NaiveDate {
        self.at.date_naive()
    }

    /// The cause of an inventory change: the actor, the instant, and the order or allocation.
    fn cause(&self, order: Option<OrderId>, allocation: Option<AllocationId>) -> Cause<'_> {
        Cause { order, allocation, actor: self.actor.label(), at: self.at, clock: &self.clock }
    }

    /// Marks that the request changes credentials.
    fn change_access(&self) {
        self.access.make();
    }

    /// Clears the credentials cache of this instance if the request changes credentials. Call this when the change is
    /// committed, or may have been committed.
    fn forget_access(&self) {
        self.access.forget();
    }

    fn new_id<T: From<Uuid>>(&self) -> T {
        self.clock.new_id().into()
    }

    /// Generates an id for a resource of a customer.
    fn new_id_of<T: From<Uuid>>(&self, customer_id: CustomerId) -> T {
        self.clock.new_id_of(customer_id).into()
    }
}

/// The errors of use cases.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The resource does not exist in the tenant.
    #[error("There is no {0} with this id, or it belongs to another tenant.")]
    NotFound(&'static str),
    /// The resource was changed after the caller read it.
    #[error("The resource has changed and is now at version {}. Read it again, then decide again.", current.0)]
    VersionMismatch {
        /// The current version.
        current: Version,
    },
    /// The confirmed quote is no longer valid. Contains the new quote.
    #[error("The data behind the quote has changed. Review the new quote in this response and confirm its digest.")]
    QuoteStale(Box<Quote>),
    /// There are more due transitions than a request can wait for.
    #[error("The service is still processing due transitions. Retry in a few seconds.")]
    CatchingUp,
    /// A concurrency budget is exhausted.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The position is not in the event feed.
    #[error("`after` is not a position in the feed. Send `next_after` from a response, or `latest`.")]
    UnknownPlace,
    /// An open allocation of the subscription uses the reference for another type or quantity.
    #[error("An open allocation of another type or quantity uses this reference. Choose another one, or release it.")]
    DuplicateReference,
    /// A request with the same idempotency key is in progress.
    #[error("A request with this Idempotency-Key is still in progress. Retry in a few seconds to get its response.")]
    IdempotencyInProgress,
    /// The idempotency key was used for another request.
    #[error(
        "This Idempotency-Key was used for another request. Send the original request unchanged, or use a new key."
    )]
    IdempotencyKeyReused,
    /// A rule of the domain denies the change.
    #[error("{refusal}")]
    Refused {
        refusal: Refusal,
        /// The actions of the resource, and whether each is allowed. Empty if they would not help the caller.
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

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

/// A condition on the version of the resource to be changed: `If-Match`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// No condition.
    #[default]
    None,
    /// The resource must have one of these versions.
    OneOf(Vec<Version>),
}

impl Precondition {
    /// Checks the condition against the current version.
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

/// An id in a filter. It must exist: otherwise a mistyped id would look like an empty list.
pub(crate) enum Named {
    Reseller(Option<ResellerId>),
    Customer(Option<CustomerId>),
    Product(Option<ProductId>),
    Subscription(Option<SubscriptionId>),
}

impl Context {
    /// Checks that all ids in a filter exist, and returns the list. Both run concurrently on the same connection.
    ///
    /// # Errors
    /// `unknown_reference` for each id that does not exist.
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
