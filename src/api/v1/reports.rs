//! Reports: flat rows, for programs as JSON and for spreadsheets as CSV.

pub mod subscriptions;
pub mod transactions;
pub mod usage;
