//! The products that are sold, and the lists with their prices.

pub mod price_list;
pub mod product;
