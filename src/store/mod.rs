//! All SQL. Functions over a connection, one file per aggregate; whoever calls them decides on the
//! transaction. What touches tenant data takes a [`Scope`](crate::domain::authorization::Scope), and what is out
//! of scope is not found.

pub mod access;
pub mod allocations;
pub mod api_keys;
pub mod audit;
pub mod billing;
mod columns;
pub mod customers;
pub mod due_subscriptions;
mod error;
pub mod events;
mod filters;
mod fragments;
pub mod idempotency;
pub mod inventory;
pub mod invoices;
pub mod orders;
mod page;
pub mod price_lists;
pub mod products;
pub mod rate_limits;
pub mod renewal_failures;
pub mod reports;
pub mod resellers;
mod rows;
mod run;
pub mod sandbox;
mod schema;
pub mod sort_keys;
pub mod subscriptions;
pub mod webhook_deliveries;
pub mod webhook_queue;
pub mod webhook_turns;
pub mod webhooks;

pub use error::{Error, Unique};
pub use rows::ORDER as WRITE_ORDER;
pub use run::{Statement, Write, command, send};

/// A connection.
pub type Conn = diesel_async::AsyncPgConnection;

/// What the functions here answer.
pub type Result<T> = std::result::Result<T, Error>;
