-- Where the events of a tenant are sent. `secrets` are stored as plain values, because messages are signed with them.
-- The first secret is the current one; each other secret is valid until the instant at the same index in `secret_ends`.
CREATE TABLE webhook_endpoints (
    id uuid CONSTRAINT webhook_endpoints_pkey PRIMARY KEY,
    reseller_id uuid CONSTRAINT webhook_endpoints_reseller_fkey REFERENCES resellers,
    url text NOT NULL,
    description text,
    event_types jsonb NOT NULL,
    secrets bytea[] NOT NULL,
    secret_ends timestamptz[] NOT NULL,
    disabled_at timestamptz,
    disabled_reason text,
    failing_since timestamptz,
    version bigint NOT NULL CONSTRAINT webhook_endpoints_version_positive CHECK (version >= 1),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- The deliveries of all events up to this position of the feed have been created. Changed in the transaction that
    -- creates them.
    place bigint NOT NULL CONSTRAINT webhook_endpoints_place_not_negative CHECK (place >= 0),
    CONSTRAINT webhook_endpoints_secrets_fit CHECK (cardinality(secrets) = cardinality(secret_ends) + 1),
    CONSTRAINT webhook_endpoints_reason_fits CHECK (disabled_at IS NOT NULL OR disabled_reason IS NULL)
);

CREATE INDEX webhook_endpoints_by_reseller ON webhook_endpoints (reseller_id, id);

-- Deliveries of events. There is no foreign key to the endpoint, because an endpoint may have very many deliveries;
-- they are deleted in the background after the endpoint. A delivery has a `next_attempt_at` if and only if it is
-- pending. While a worker attempts a delivery, this is also the instant until which no other worker takes it.
CREATE TABLE webhook_deliveries (
    id uuid CONSTRAINT webhook_deliveries_pkey PRIMARY KEY,
    endpoint_id uuid NOT NULL,
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    status text NOT NULL CONSTRAINT webhook_deliveries_status_known CHECK (status IN ('pending', 'succeeded', 'failed')),
    failures integer CONSTRAINT webhook_deliveries_failures_not_negative CHECK (failures >= 0),
    next_attempt_at timestamptz,
    attempts integer NOT NULL CONSTRAINT webhook_deliveries_attempts_not_negative CHECK (attempts >= 0),
    last_attempt_at timestamptz,
    last_duration_ms integer,
    last_http_status integer,
    last_error text,
    created_at timestamptz NOT NULL,
    CONSTRAINT webhook_deliveries_event_key UNIQUE (endpoint_id, event_id),
    CONSTRAINT webhook_deliveries_pending_fits CHECK (
        (status = 'pending') = (next_attempt_at IS NOT NULL) AND (status = 'pending') = (failures IS NOT NULL)
    ),
    CONSTRAINT webhook_deliveries_attempt_fits CHECK ((last_attempt_at IS NULL) = (last_duration_ms IS NULL))
);

CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_by_status ON webhook_deliveries (endpoint_id, status, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (last_attempt_at) WHERE next_attempt_at IS NULL;
