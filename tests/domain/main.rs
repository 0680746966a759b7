//! Properties of the domain: invariants for all inputs, and the rules one by one as examples.

// A failing helper fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod add_subscriptions;
mod api_key;
mod audit;
mod authorization;
mod credential_cache;
mod customer;
mod digest;
mod events;
mod inventory;
mod invoice;
mod invoice_run;
mod machine;
mod milestones;
mod money;
mod order;
mod price_list;
mod product;
mod proration;
mod quote;
mod rate_limit;
mod regressions;
mod reseller;
mod samples;
mod subscription;
mod terms;
mod text;
mod upcoming_charge;
mod webhooks;
mod webhooks_address;
