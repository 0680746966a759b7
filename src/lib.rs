//! The partner platform: a JSON REST API on PostgreSQL with which a provider sells certificate subscriptions to
//! customers, directly and through resellers.
//!
//! # Architecture
//!
//! The code has four rings. A ring may use only the rings inside it. A topic has the same file name in each ring: the
//! code for subscriptions is in `domain/subscription.rs`, `store/subscriptions.rs`, `ops/subscriptions.rs` and
//! `api/v1/subscriptions.rs`.
//!
//! ```text
//! main → app → { api, jobs } → ops → { store, domain }      store → domain      domain → no other module
//! ```
//!
//! | module | content |
//! | --- | --- |
//! | [`domain`] | the business rules: pure functions that get all their data as arguments |
//! | [`store`] | all SQL: functions that take a connection, one file per aggregate |
//! | [`ops`] | the use cases: one function per command or query, each in one visible transaction |
//! | [`api`] | HTTP: parses requests, builds responses, and generates the OpenAPI document |
//! | [`jobs`] | the background jobs: due transitions, invoices, webhooks, the sandbox clock, rate limit exchange |
//! | [`app`] | the server, for `main` and for the tests |
//! | [`db`] | connection pool, transactions, timeouts, migrations, TLS |
//! | [`config`] | the command line and the settings |
//! | [`access_cache`] | the credentials cache of an instance, and how long its entries are valid |
//! | [`clock`] | time and ids: no other module reads the machine's clock or generates ids |
//! | [`oidc`] | the tokens of an OpenID Connect issuer: its keys and the claims |
//! | [`outbound`], [`tls`] | outgoing HTTP requests, and the certificate authorities that they trust |
//! | [`embedded`] | the service's own PostgreSQL, used if no database is configured |
//! | [`telemetry`], [`shutdown`] | logs and metrics; stopping without losing a request |
//! | [`descriptors`] | the limit of open files and sockets |
//!
//! # The path of a request
//!
//! 1. [`api::incoming`] reads the request into one value: its normalized path, its operation and its source. All later
//!    steps use this value. The concurrency budgets for the request are reserved before the work starts
//!    ([`domain::budget`], [`ops::budget`]).
//! 2. `api` authenticates the caller ([`api::auth`]), validates the request against the OpenAPI document
//!    ([`api::json`], [`api::body_schema`], [`api::query`]) and calls a use case.
//! 3. The use case in `ops` opens a transaction, reads the resources in the caller's scope through `store`, lets
//!    `domain` decide, saves the changes and returns the result.
//! 4. `api` converts the result, or the error, to an HTTP response.
//!
//! A write is one transaction that includes its response. The use case records its changes (`ops/work/record.rs`:
//! events and audit changes) and leaves the transaction open ([`ops::Context`]). Then [`api::write`] commits it
//! together with the response that is stored for retries, and the audit entry ([`ops::request`]).
//!
//! # Scheduled transitions
//!
//! A scheduled transition of a subscription ([`domain::subscription::Milestone`]) is a state transition like any other,
//! and processing it is a use case like any other ([`ops::milestones`]). It takes effect at the midnight at which it
//! was due, no matter when it is processed. Due transitions are processed by the background worker, and by every use
//! case that reads or changes data which they affect.
//!
//! # The rules, checked by `tests/architecture.rs`
//!
//! 1. `domain` is pure: no async, no clock, no queries, nothing of the other rings.
//! 2. Only `store` and `db` use diesel; only `api`, `app` and `main` use actix and utoipa. As an exception, the leaf
//!    files of `domain` may derive their traits, so that an id or a label is defined only once.
//! 3. `api` never calls `store`; only `ops` opens transactions.
//! 4. Each state machine is in one place: a guard that says which actions are possible, and `apply`, which carries them
//!    out. Only `store::…::save` writes a status.
//! 5. Functions that use tenant data take a [`Scope`](domain::access::Scope). Only authentication, the command line and
//!    the service itself create one. Resources outside the scope are not found.
//! 6. Preview and confirm call the same function of [`domain::quote`]. Nothing else computes an amount.
//! 7. Money is `i64` minor units and a currency. Time is passed as an argument.
//! 8. Constraints have names. One table maps each of them to an error for the caller (`store/error.rs`).
//! 9. Each ring has one error enum. `api/problem.rs` maps all of them in one exhaustive match.
//! 10. Files are short. Nothing panics. There is no unsafe code.

#![allow(missing_docs, reason = "comments are written only where they add to the name")]

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
