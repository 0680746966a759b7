//! The partner platform: customers, resellers, and certificate subscriptions with their inventory, as a JSON REST API on
//! PostgreSQL.
//!
//! ```text
//! main → service → { api, jobs } → ops → { store, domain }      platform → store → domain
//! ```
//!
//! `src/README.md` describes the rings, the rules that `tests/architecture.rs` checks, how a request travels, and the
//! decisions. [`domain`] has the rules of the business, [`store`] all SQL, [`ops`] the use cases, [`api`] HTTP, [`jobs`]
//! what runs in the background, and [`platform`] what talks to the machine. [`service`] builds the server.

#![allow(missing_docs, reason = "a comment is there where it adds to the name")]

pub mod api;
pub mod config;
pub mod domain;
pub mod jobs;
pub mod ops;
pub mod platform;
pub mod service;
pub mod store;
