//! The partner platform: customers, resellers, and certificate subscriptions with their inventory, as a
//! JSON REST API on PostgreSQL.
//!
//! # The house
//!
//! Four rings; what a ring names is inside of it, never outside. The same file name in each ring: who looks
//! for subscriptions finds `domain/subscription.rs`, `store/subscriptions.rs`, `ops/subscriptions.rs` and
//! `api/v1/subscriptions.rs`.
//!
//! ```text
//! main → app → { api, jobs } → ops → { store, domain }      store → domain      domain → nothing of ours
//! ```
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`domain`] | what the service means: pure rules, everything is handed in |
//! | [`store`] | all SQL: functions over a connection, one file per aggregate |
//! | [`ops`] | use cases: one function per command or query, one visible transaction each |
//! | [`api`] | HTTP: requests taken apart, answers put together, the OpenAPI document |
//! | [`jobs`] | what runs by itself: subscriptions that are due, invoices, webhooks, a sandbox's clock, counting together |
//! | [`app`] | the server, for `main` and for the tests |
//! | [`db`] | pool, transactions, timeouts, migrations, TLS |
//! | [`config`] | the command line and the settings |
//! | [`access_cache`] | what an instance remembers of keys, and for how long that is believed |
//! | [`clock`] | time and ids: nothing else asks the machine for either |
//! | [`oidc`] | tokens of an OpenID Connect issuer: its keys, and what a token says |
//! | [`outbound`], [`tls`] | calls to the outside: how they are made, and whom they trust |
//! | [`embedded`] | the private PostgreSQL that serves when no other is named |
//! | [`telemetry`], [`shutdown`] | logs and metrics; stopping without losing a request |
//! | [`descriptors`] | how many connections and files the system lets us have |
//!
//! # The way of a request
//!
//! A request becomes one value when it arrives ([`api::incoming`]): the one spelling of its path, its operation, its
//! source. Everything further in reads that value. What it may cost is taken from budgets before the work is done
//! ([`domain::limits::budget`], [`ops::budget`]).
//!
//! `api` finds out who asks ([`api::auth`]), checks the request against the document ([`api::json`],
//! [`api::body_schema`], [`api::query`]) and calls a use case. `ops` opens a transaction, finds what is in scope through `store`,
//! asks `domain` what happens, saves that, and answers. `api` turns the answer, or the one error, into HTTP.
//!
//! What writes is one transaction up to its answer: the use case leaves it open ([`ops::Context`]), having told what it
//! saved (`ops/record.rs`: events, and what changed), and [`api::write`] has it committed together with the answer that
//! is kept for retries and the entry in the audit trail ([`ops::request`]).
//!
//! # The way of time
//!
//! What time does to a subscription is a state transition like any other ([`domain::subscription::Milestone`]),
//! and bringing it about is a use case like any other ([`ops::milestones`]): as of the midnight at which it was
//! due, whoever calls it. The worker does, and so does every use case that shows or changes what time changes.
//!
//! # The rules, checked by `tests/architecture.rs`
//!
//! 1. `domain` is pure: no async, no clock, no queries, nothing of the other rings.
//! 2. diesel stands in `store` and `db`; actix and utoipa in `api`, `app` and `main`. The leaf files of
//!    `domain` may derive their traits, so that an id or a label is written once.
//! 3. `api` never calls `store`; only `ops` opens transactions.
//! 4. A state machine is one place: a guard that says what is possible, and `apply`, which does it. A status
//!    is written by `store::…::save` alone.
//! 5. What touches tenant data takes a [`Scope`](domain::authorization::Scope), which only authentication, the command
//!    line and the service itself make. What is out of scope is not found.
//! 6. Preview and confirm call the same function of [`domain::billing::quote`]. Nothing else computes an amount.
//! 7. Money is `i64` minor units and a currency. Time is handed in.
//! 8. Constraints have names; one table says what each means to a caller (`store/error.rs`).
//! 9. One error enum per ring; `api/problem.rs` maps them by one exhaustive match.
//! 10. Files are short, nothing panics, nothing is unsafe.

#![allow(missing_docs, reason = "a comment is there where it adds to the name")]

pub mod access_cache;
pub mod api;
pub mod app;
pub mod clock;
pub mod config;
pub mod db;
pub mod descriptors;
pub mod domain;
pub mod embedded;
pub mod jobs;
pub mod oidc;
pub mod ops;
pub mod outbound;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod tls;
