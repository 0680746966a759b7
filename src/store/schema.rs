//! The tables, as diesel knows them.

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};

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
    }
}

table! {
    inventory_lines (subscription_id, certificate_type) {
        subscription_id -> Uuid,
        certificate_type -> Text,
        current -> Integer,
        renewal -> Nullable<Integer>,
        used -> Integer,
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
    }
}

joinable!(customers -> resellers (reseller_id));
joinable!(subscriptions -> customers (customer_id));
joinable!(subscriptions -> products (product_id));
joinable!(inventory_lines -> subscriptions (subscription_id));
joinable!(orders -> customers (customer_id));
joinable!(order_lines -> orders (order_id));
joinable!(order_lines -> products (product_id));
joinable!(charges -> subscriptions (subscription_id));
joinable!(api_keys -> resellers (reseller_id));
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
    allocations,
    api_keys,
);
