//! Building responses: a resource with its version, a page of a list, a report as JSON or CSV.

pub mod body;
pub mod csv;
pub mod page;
pub mod report;
pub mod resource;
