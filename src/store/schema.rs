//! The tables, as diesel knows them.

use diesel::{allow_tables_to_appear_in_same_query!(
    resellers, customers, products, subscriptions, subscription_terms, inventory_lines, inventory_ledger, orders,
    order_lines, charges, allocations, api_keys,
);
