//! The companies: customers, and the resellers that manage some of them.

pub mod company;
pub mod customer;
pub mod reseller;
