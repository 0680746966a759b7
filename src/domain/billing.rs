//! The cost of each change: the quote, the order that confirms it, its charges, and the invoices that contain them.

pub mod add_subscriptions;
pub mod invoice;
pub mod invoice_run;
pub mod order;
pub mod proration;
pub mod quote;
pub mod upcoming_charge;
