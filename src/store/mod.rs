//! All SQL: functions over a connection, one file per aggregate. The caller controls the transaction. Functions that
//! read or write tenant data take a [`Scope`](crate::domain::authorization::Scope), and treat rows out of scope as not
//! found.

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

pub type Conn = diesel_async::AsyncPgConnection;

pub type Result<T> = std::result::Result<T, Error>;
