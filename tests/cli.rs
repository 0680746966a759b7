//! The program from the view of its operators: it is started, queried, stopped and killed.

// A missing precondition fails the test.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

// Shared with the API tests. Not all of it is used here.
#[path = "api/support/database.rs"]
#[allow(dead_code)]
mod database;
#[path = "api/support/http.rs"]
mod http;
// Not all of this is used here, either.
#[path = "cli/audit.rs"]
mod audit;
#[path = "api/support/issuer.rs"]
#[allow(dead_code)]
mod issuer;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/oidc.rs"]
mod oidc;
#[path = "cli/own_database.rs"]
mod own_database;
#[path = "cli/program.rs"]
mod program;
#[path = "cli/secrets.rs"]
mod secrets;
#[path = "cli/settings.rs"]
mod settings;
#[path = "cli/webhooks.rs"]
mod webhooks;
