//! The API from the view of its callers: the real server over a socket, on a real PostgreSQL. Each test has its own
//! database. The files mirror `src/api/v1`; checks that apply to every operation are in `coverage.rs`.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

mod allocations;
mod api_keys;
mod api_keys_remembered;
mod as_of;
mod audit;

mod availability;
mod bounded;
mod browsers;
mod budgets;
mod catching_up;
mod companies;
mod concurrency;
mod connections;
mod coverage;
mod customers;
mod events;
mod filters;

mod idempotency;
mod ids;

mod input;
mod instances;
mod inventory;
mod invoice_document;
mod invoice_runs;
mod invoices;
mod migrations;
mod model;
mod oidc;
mod oidc_keys;
mod operations;
mod orders;
mod pages;
mod plans;
mod price_lists;
mod price_lists_assigned;
mod price_lists_paid;
mod products;
mod quotes;
mod random_bodies;
mod rate_limits;
mod renewal_failures;
mod reports;
mod reports_csv;
mod requests;
mod resellers;
mod round_trips;
mod sandbox;
mod steps;
mod storms;
mod strict_http;
mod subscriptions;
mod subscriptions_add;
mod support;
mod text;
mod time;
mod upcoming_charges;
mod webhook_deliveries;
mod webhook_retries;
mod webhooks;
mod webhooks_at_once;
mod webhooks_guarded;
mod webhooks_reused;
mod worker;
