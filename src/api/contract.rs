//! The contract with clients: the API document, the checks of requests against it, and the form of errors.

mod advice;
pub mod body_schema;
pub mod code;
pub mod document;
mod example;
pub mod json;
pub mod path;
pub mod problem;
pub mod query;
pub mod schema;
