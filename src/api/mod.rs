//! HTTP with actix and utoipa. A handler reads the request, calls one use case, and builds the response. [`v1`] has a
//! file for each resource. What the handlers share is in three rooms: the [`contract`] with clients, the [`middleware`]
//! that each request passes, and the building of a response ([`respond`]).

pub mod contract;
pub mod docs;
pub mod health;
pub mod middleware;
pub mod respond;
pub mod routes;
pub mod state;
pub mod v1;
