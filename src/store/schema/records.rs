//! The tables of what the service emits and records: events, the audit trail, webhooks, requests.

use diesel::table;

table! {
    idempotency_keys (caller, key) {
        caller -> Text,
        key -> Text,
        fingerprint -> Bytea,
        operation -> Text,
        resource_type -> Nullable<Text>,
        resource_id -> Nullable<Uuid>,
        status -> Integer,
        headers -> Jsonb,
        body -> Bytea,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

table! {
    events (id) {
        id -> Uuid,
        kind -> Text,
        occurred_at -> Timestamptz,
        resource_type -> Text,
        resource_id -> Uuid,
        resource_version -> Nullable<BigInt>,
        data -> Jsonb,
        actor -> Text,
        request_id -> Nullable<Text>,
        reseller_id -> Nullable<Uuid>,
        for_everyone -> Bool,
        certificate_type -> Nullable<Text>,
        customer_id -> Nullable<Uuid>,
    }
}

table! {
    event_queue (seq) {
        seq -> BigInt,
        event_id -> Uuid,
        kind -> Text,
        reseller_id -> Nullable<Uuid>,
        for_everyone -> Bool,
    }
}

table! {
    event_places (position) {
        position -> BigInt,
        event_id -> Uuid,
        kind -> Text,
        reseller_id -> Nullable<Uuid>,
        for_everyone -> Bool,
    }
}

table! {
    event_feed (only_one) {
        only_one -> Bool,
        position -> BigInt,
    }
}

table! {
    audit_entries (id) {
        id -> Uuid,
        occurred_at -> Timestamptz,
        actor -> Text,
        role -> Text,
        reseller_id -> Nullable<Uuid>,
        source_address -> Nullable<Text>,
        request_id -> Text,
        operation -> Text,
        resource_type -> Nullable<Text>,
        resource_id -> Nullable<Uuid>,
        outcome -> Text,
        status -> Integer,
        code -> Nullable<Text>,
        changes -> Jsonb,
        changes_truncated -> Nullable<Bool>,
        customer_id -> Nullable<Uuid>,
    }
}

table! {
    audit_queue (seq) {
        seq -> BigInt,
        entry_id -> Uuid,
    }
}

table! {
    audit_seals (position) {
        position -> BigInt,
        entry_id -> Uuid,
        seal -> Bytea,
    }
}

table! {
    audit_resources (resource_id, entry_id) {
        resource_id -> Uuid,
        entry_id -> Uuid,
    }
}

table! {
    audit_chain (only_one) {
        only_one -> Bool,
        position -> BigInt,
        seal -> Bytea,
    }
}

table! {
    webhook_endpoints (id) {
        id -> Uuid,
        reseller_id -> Nullable<Uuid>,
        url -> Text,
        description -> Nullable<Text>,
        event_types -> Jsonb,
        secrets -> Array<Bytea>,
        secret_ends -> Array<Timestamptz>,
        disabled_at -> Nullable<Timestamptz>,
        disabled_reason -> Nullable<Text>,
        failing_since -> Nullable<Timestamptz>,
        version -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        place -> BigInt,
        last_failure_at -> Nullable<Timestamptz>,
    }
}

table! {
    webhook_deliveries (id) {
        id -> Uuid,
        endpoint_id -> Uuid,
        event_id -> Uuid,
        event_type -> Text,
        status -> Text,
        failures -> Nullable<Integer>,
        next_attempt_at -> Nullable<Timestamptz>,
        attempts -> Integer,
        last_attempt_at -> Nullable<Timestamptz>,
        last_duration_ms -> Nullable<Integer>,
        last_http_status -> Nullable<Integer>,
        last_error -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

table! {
    rate_limit_windows (window_start, caller, kind) {
        window_start -> Timestamptz,
        caller -> Text,
        kind -> Text,
        requests -> BigInt,
    }
}
