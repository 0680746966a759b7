//! What can go wrong in the database, and which constraint means what.

use diesel::result::{DatabaseErrorKind, Error as Diesel};

use crate::domain::money::AmountOutOfRange;

/// The database refused or could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value must be unique and is not.
    #[error("{0:?} is taken")]
    Taken(Unique),
    /// The database is gone, too slow or too busy; the same call may go through later.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Amounts that are in range each have a sum that is not.
    #[error(transparent)]
    SumOutOfRange(#[from] AmountOutOfRange),
    /// A row does not mean anything: a bug, or a hand in the database.
    #[error("a row of {table} cannot be read: {reason}")]
    Corrupt {
        /// Where it is.
        table: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Anything else: a bug.
    #[error(transparent)]
    Database(Diesel),
}

/// What has to be unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unique {
    /// A reseller's external id.
    ResellerExternalId,
    /// A customer's external id among those of the same reseller.
    CustomerExternalId,
    /// A product's code.
    ProductCode,
    /// The reference of an open allocation in its subscription.
    AllocationReference,
}

/// The table of constraints that a request can run into; any other is a bug.
const UNIQUE: &[(&str, Unique)] = &[
    ("resellers_external_id_key", Unique::ResellerExternalId),
    ("customers_external_id_key", Unique::CustomerExternalId),
    ("products_code_key", Unique::ProductCode),
    ("allocations_open_reference_key", Unique::AllocationReference),
];

impl From<Diesel> for Error {
    fn from(error: Diesel) -> Self {
        match &error {
            Diesel::DatabaseError(DatabaseErrorKind::UniqueViolation, info) => UNIQUE
                .iter()
                .find(|(constraint, _)| info.constraint_name() == Some(constraint))
                .map_or(Self::Database(error), |(_, unique)| Self::Taken(*unique)),
            Diesel::DatabaseError(kind, info) if is_passing(kind, info.message()) => {
                Self::Unavailable(info.message().to_owned())
            }
            Diesel::BrokenTransactionManager => Self::Unavailable("the connection broke".to_owned()),
            _ => Self::Database(error),
        }
    }
}

/// Whether the same statement may go through later. diesel has no kind for time-outs and shutdowns, so
/// that the server's words have to do.
fn is_passing(kind: &DatabaseErrorKind, message: &str) -> bool {
    const PASSING: &[&str] = &[
        "canceling statement due to",
        "terminating connection",
        "the database system is",
        "deadlock detected",
        "could not serialize",
        "connection closed",
        "error communicating with the server",
        "remaining connection slots",
        "too many clients",
    ];
    matches!(
        kind,
        DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::UnableToSendCommand
            | DatabaseErrorKind::SerializationFailure
            | DatabaseErrorKind::ReadOnlyTransaction
    ) || PASSING.iter().any(|words| message.contains(words))
}
