//! Reports: flat rows as JSON for programs, or as CSV for spreadsheets.

pub mod subscriptions;
pub mod transactions;
pub mod usage;
