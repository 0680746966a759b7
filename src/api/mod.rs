//! HTTP with actix and utoipa. A handler reads the request, calls one use case, and builds the response. [`v1`] has a
//! file for each resource. The shared parts of the API contract are here.

pub mod accept;
mod advice;
pub mod auth;
pub mod body_schema;
pub mod code;
pub mod cors;
pub mod csv;
pub mod docs;
mod example;
pub mod incoming;
pub mod json;
mod large;
pub mod middleware;
pub mod openapi;
pub mod page;
pub mod path;
pub mod problem;
pub mod protection;
pub mod query;
pub mod rate_limit;
pub mod report;
pub mod resource;
pub mod response_body;
pub mod routes;
pub mod schema;
pub mod service;
pub mod unread;
pub mod v1;
pub mod write;
