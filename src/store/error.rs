//! Database errors, and the meaning of each constraint.

use diesel::result::{DatabaseErrorKind, Error as Diesel};

use crate::domain::money::AmountOutOfRange;

/// An error of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value must be unique, and is in use already.
    #[error("{0:?} is taken")]
    Taken(Unique),
    /// The database is unreachable, too slow or too busy. The same call may succeed later.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The sum of amounts is out of range, although each amount is in range.
    #[error(transparent)]
    SumOutOfRange(#[from] AmountOutOfRange),
    /// A corrupt row: caused by a bug, or by a manual change in the database.
    #[error("a row of {table} cannot be read: {reason}")]
    Corrupt { table: &'static str, reason: &'static str },
    /// Anything else: a bug.
    #[error(transparent)]
    Database(Diesel),
}

/// The values that must be unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unique {
    ResellerExternalId,
    /// Unique among the customers of the same reseller.
    CustomerExternalId,
    ProductCode,
    /// Unique among the open allocations of the same subscription.
    AllocationReference,
}

/// The constraints that a request can violate. A violation of any other is a bug.
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

/// Whether the same statement may succeed later. diesel has no kind for timeouts and shutdowns, so this compares the
/// server's messages.
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
