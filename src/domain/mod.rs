//! The rules of the service. Pure code: no async, no IO, no clock, no queries. All inputs are parameters.
//!
//! Basic types with their rules: [`id`], [`money`], [`time`], [`text`], [`label`]. Products and companies: [`company`],
//! [`reseller`], [`customer`], [`product`], [`price_list`]. The subscription state machine: [`subscription`] and
//! [`inventory`]. Effects and costs of a change: [`basket`] and [`quote`], with [`proration`] for each amount. Records
//! of a change: [`order`], [`billing`] with each [`invoice`], [`report`], [`event`] and [`webhook`]. Authorization:
//! [`access`], and the [`secret`] of an [`api_key`] as a [`credential`]. Limits: [`rate_limit`] per minute, [`budget`]
//! for concurrent work. The trail of all writes: [`audit`]. Reasons for rejected requests: [`refusal`].

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
