//! What the service means. Pure: no async, no IO, no clock, no queries; everything is handed in.
//!
//! Leaf types, each with its rule: [`id`], [`money`], [`time`], [`text`], [`label`]. What is sold and to
//! whom: [`company`], [`reseller`], [`customer`], [`product`], [`price_list`]. What happens: [`subscription`] and
//! [`inventory`] are the machine, [`basket`] and [`quote`] say what a change does and costs,
//! [`proration`] computes each amount, [`order`] records it, [`billing`] makes an [`invoice`] of what is due,
//! [`report`] sums it up, [`event`] tells it, [`webhook`] carries that on. Who may: [`access`], by an [`api_key`]
//! whose [`secret`] is a [`credential`], how often: [`rate_limit`], and how much at a time: [`budget`]. Who did: [`audit`]. Why not: [`refusal`].

pub mod access;
pub mod allocation;
pub mod api_key;
pub mod audit;
pub mod basket;
pub mod billing;
pub mod budget;
pub mod company;
pub mod credential;
pub mod customer;
pub mod event;
pub mod id;
pub mod idempotency;
pub mod inventory;
pub mod invoice;
pub mod label;
pub mod listing;
pub mod machine;
pub mod money;
pub mod order;
pub mod price_list;
pub mod product;
pub mod proration;
pub mod quote;
pub mod rate_limit;
pub mod refusal;
pub mod renewal_failure;
pub mod report;
pub mod reseller;
pub mod secret;
pub mod subscription;
pub mod text;
pub mod time;
pub mod upcoming_charge;
pub mod webhook;
