//! Shared by the tests: a database, a server on it, clients with keys, and a world with sample data.

mod client;
pub mod database;
mod http;
pub mod issuer;
mod lock;
mod proxy;
pub mod random;
mod raw;
mod receiver;
mod server;
mod wire;
pub mod world;

pub use client::{Answer, Client};
pub use database::{Database, TABLES, settings};
pub use http::http;
pub use lock::Lock;
pub use proxy::{Mode, Proxy};
pub use raw::Raw;
pub use receiver::{Receiver, Reply};
pub use server::Server;
pub use wire::Traffic;
