//! The rules of the service. Pure code: no async, no IO, no clock, no queries. All inputs are parameters.
//!
//! A folder per topic: the companies ([`parties`]), the products and their prices ([`catalog`]), the [`subscription`]
//! state machine with its inventory, the cost of each change up to its invoice ([`billing`]), the records of changes
//! ([`events`], [`webhooks`], [`report`]), roles and rights ([`authorization`], [`credentials`]), and [`limits`]. They
//! share the basic types [`id`], [`money`], [`time`], [`text`] and [`label`]. [`refusal`] has the reasons for rejected
//! requests, [`machine`] the result of a transition, and [`listing`] the pages of lists.

pub mod authorization;
pub mod billing;
pub mod catalog;
pub mod credentials;
pub mod events;
pub mod id;
pub mod idempotency;
pub mod label;
pub mod limits;
pub mod listing;
pub mod machine;
pub mod money;
pub mod parties;
pub mod refusal;
pub mod report;
pub mod subscription;
pub mod text;
pub mod time;
pub mod webhooks;
