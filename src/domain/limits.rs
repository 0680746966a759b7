//! Limits that keep one caller from slowing down others: requests per minute, and concurrent work.

pub mod budget;
pub mod rate_limit;
