//! What the tests share: a database, a server on it, clients with keys, and a world to act in.

mod client;
mod database;
mod server;
pub mod world;

pub use client::{Answer, Client};
pub use database::Database;
pub use server::Server;
