//! The program as its operators see it: started, asked, stopped and killed.

// What a test needs and does not get is a failed test.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

// The tests' database serves here, too; not all of it is wanted.
#[path = "api/support/database.rs"]
#[allow(dead_code)]
mod database;
#[path = "api/support/http.rs"]
mod http;
// Not all of it is wanted here, either.
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
