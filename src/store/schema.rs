//! The tables, as declared for diesel.

mod records;

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};
pub use records::*;

table! {
    resellers (id) {
        id -> Uuid,
        company_name -> Text,
        name_key -> Text,
        address -> Jsonb,
        contact -> Nullable<Jsonb>,
        external_id -> Nullable<Text>,
        disabled_at -> Nullable<Timestamptz>,
        disabled_reason -> Nullable<Text>,
        version -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        price_list_id -> Nullable<Uuid>,
        name_key_version -> SmallInt,
    }
}

table! {
    customers (id) {
        id -> Uuid,
        company_name -> Text,
        name_key -> Text,
        address -> Jsonb,
        country -> Nullable<Text>,
        contact -> Nullable<Jsonb>,
        external_id -> Nullable<Text>,
        reseller_id -> Nullable<Uuid>,
        administration -> Text,
        admin_email -> Nullable<Text>,
        currency -> Text,
        status -> Text,
        version -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        price_list_id -> Nullable<Uuid>,
        name_key_version -> SmallInt,
    }
}

table! {
    price_lists (id) {
        id -> Uuid,
        name -> Text,
        name_key -> Text,
        currency -> Text,
        version -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        name_key_version -> SmallInt,
    }
}

table! {
    price_list_prices (price_list_id, product_id, certificate_type, term_months) {
        price_list_id -> Uuid,
        product_id -> Uuid,
        certificate_type -> Text,
        term_months -> Integer,
        unit_price -> BigInt,
    }
}

table! {
    products (id) {
        id -> Uuid,
        code -> Text,
        name -> Text,
        name_key -> Text,
        description -> Nullable<Text>,
        status -> Text,
        certificate_types -> Jsonb,
        terms -> Jsonb,
        prices -> Jsonb,
        version -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        name_key_version -> SmallInt,
    }
}

table! {
    subscriptions (id) {
        id -> Uuid,
        customer_id -> Uuid,
        product_id -> Uuid,
        external_id -> Nullable<Text>,
        currency -> Text,
        status -> Text,
        suspended_at -> Nullable<Timestamptz>,
        suspended_reason -> Nullable<Text>,
        cancelled_at -> Nullable<Timestamptz>,
        cancelled_reason -> Nullable<Text>,
        lapsed -> Bool,
        auto_renew -> Bool,
        anchor -> Date,
        anchor_term -> Integer,
        term_months -> Integer,
        term_number -> Integer,
        start_date -> Date,
        end_date -> Date,
        unit_prices -> Jsonb,
        version -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        due_date -> Nullable<Date>,
        updated_by -> Text,
    }
}

table! {
    subscription_terms (subscription_id, number) {
        subscription_id -> Uuid,
        number -> Integer,
        start_date -> Date,
        end_date -> Date,
        unit_prices -> Jsonb,
        customer_id -> Uuid,
    }
}

table! {
    inventory_lines (subscription_id, certificate_type) {
        subscription_id -> Uuid,
        certificate_type -> Text,
        current -> Integer,
        renewal -> Nullable<Integer>,
        used -> Integer,
        low_threshold -> Nullable<Integer>,
        customer_id -> Uuid,
    }
}

table! {
    orders (id) {
        id -> Uuid,
        kind -> Text,
        customer_id -> Uuid,
        total -> BigInt,
        currency -> Text,
        confirmed_by -> Text,
        confirmed_at -> Timestamptz,
    }
}

table! {
    order_lines (order_id, position) {
        order_id -> Uuid,
        position -> Integer,
        subscription_id -> Uuid,
        subscription_index -> Nullable<Integer>,
        product_id -> Uuid,
        certificate_type -> Text,
        bucket -> Text,
        quantity_before -> Nullable<Integer>,
        quantity_after -> Nullable<Integer>,
        calculation -> Nullable<Jsonb>,
        amount -> BigInt,
        due_date -> Date,
        price_list_id -> Nullable<Uuid>,
        customer_id -> Uuid,
    }
}

table! {
    charges (id) {
        id -> Uuid,
        order_id -> Uuid,
        customer_id -> Uuid,
        subscription_id -> Uuid,
        certificate_type -> Text,
        calculation -> Jsonb,
        amount -> BigInt,
        currency -> Text,
        due_date -> Date,
        status -> Text,
        invoice_id -> Nullable<Uuid>,
    }
}

table! {
    invoices (id) {
        id -> Uuid,
        number_year -> Integer,
        number_sequence -> Integer,
        customer_id -> Uuid,
        bill_to -> Jsonb,
        currency -> Text,
        total -> BigInt,
        line_count -> Integer,
        through -> Date,
        status -> Text,
        emailed_at -> Nullable<Timestamptz>,
        paid_at -> Nullable<Timestamptz>,
        voided_at -> Nullable<Timestamptz>,
        voided_reason -> Nullable<Text>,
        version -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

table! {
    invoice_lines (invoice_id, position) {
        invoice_id -> Uuid,
        position -> Integer,
        charge_id -> Uuid,
        product_name -> Text,
        customer_id -> Uuid,
    }
}

table! {
    invoice_numbers (year) {
        year -> Integer,
        last -> Integer,
    }
}

table! {
    invoice_runs (month) {
        month -> Date,
        through -> Date,
        completed_at -> Timestamptz,
    }
}

table! {
    allocations (id) {
        id -> Uuid,
        subscription_id -> Uuid,
        certificate_type -> Text,
        quantity -> Integer,
        reference -> Text,
        created_at -> Timestamptz,
        released_at -> Nullable<Timestamptz>,
        customer_id -> Uuid,
    }
}

table! {
    inventory_ledger (id) {
        id -> Uuid,
        subscription_id -> Uuid,
        certificate_type -> Text,
        measure -> Text,
        before -> Nullable<Integer>,
        after -> Nullable<Integer>,
        order_id -> Nullable<Uuid>,
        allocation_id -> Nullable<Uuid>,
        actor -> Text,
        occurred_at -> Timestamptz,
        customer_id -> Uuid,
        number -> Integer,
    }
}

table! {
    api_keys (id) {
        id -> Uuid,
        name -> Text,
        role -> Text,
        reseller_id -> Nullable<Uuid>,
        secret_sha256 -> Bytea,
        created_at -> Timestamptz,
        prefix -> Nullable<Text>,
        last_four -> Nullable<Text>,
        expires_at -> Nullable<Timestamptz>,
        rotated_at -> Nullable<Timestamptz>,
        previous_sha256 -> Nullable<Bytea>,
        previous_last_four -> Nullable<Text>,
        previous_valid_until -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        revoked_reason -> Nullable<Text>,
        created_by -> Text,
        version -> BigInt,
        updated_at -> Timestamptz,
    }
}

table! {
    api_key_uses (api_key_id) {
        api_key_id -> Uuid,
        last_used_at -> Timestamptz,
    }
}

table! {
    access_version (only_one) {
        only_one -> Bool,
        version -> BigInt,
    }
}

table! {
    renewal_failures (subscription_id) {
        subscription_id -> Uuid,
        due_date -> Date,
        version -> BigInt,
        code -> Text,
        attempts -> Integer,
        first_failed_at -> Timestamptz,
        last_failed_at -> Timestamptz,
        next_attempt_at -> Timestamptz,
        customer_id -> Uuid,
    }
}

table! {
    sandbox_clock (only_one) {
        only_one -> Bool,
        ahead_us -> BigInt,
        target_us -> BigInt,
    }
}

joinable!(price_list_prices -> price_lists (price_list_id));
joinable!(customers -> resellers (reseller_id));
joinable!(renewal_failures -> subscriptions (subscription_id));
joinable!(subscriptions -> products (product_id));
joinable!(charges -> subscriptions (subscription_id));
joinable!(invoice_lines -> charges (charge_id));
joinable!(invoice_lines -> invoices (invoice_id));
joinable!(subscriptions -> customers (customer_id));
joinable!(inventory_lines -> subscriptions (subscription_id));
joinable!(orders -> customers (customer_id));
joinable!(order_lines -> orders (order_id));
joinable!(order_lines -> products (product_id));
joinable!(api_keys -> resellers (reseller_id));
joinable!(event_places -> events (event_id));
joinable!(audit_queue -> audit_entries (entry_id));
joinable!(audit_seals -> audit_entries (entry_id));
allow_tables_to_appear_in_same_query!(audit_entries, audit_resources, audit_queue, audit_seals);
allow_tables_to_appear_in_same_query!(
    resellers,
    customers,
    products,
    subscriptions,
    subscription_terms,
    inventory_lines,
    inventory_ledger,
    orders,
    order_lines,
    charges,
    invoices,
    invoice_lines,
    allocations,
    api_keys,
    api_key_uses,
    access_version,
    renewal_failures,
    sandbox_clock,
    price_lists,
    price_list_prices,
    events,
    event_feed,
    event_queue,
    event_places,
    webhook_endpoints,
    webhook_deliveries,
);
