//! x
pub mod clock;
pub mod db;
pub mod domain;
pub mod ops;
pub mod store;
