-- The first response to a request with an Idempotency-Key, written in the same transaction as the effects of the
-- request. While a request is in progress, it holds an advisory lock, so that nothing is left of a request that never
-- ended.
CREATE TABLE idempotency_keys (
    caller text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    operation text NOT NULL,
    resource_type text,
    resource_id uuid,
    status integer NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (caller, key),
    CONSTRAINT idempotency_keys_resource_fits CHECK ((resource_type IS NULL) = (resource_id IS NULL))
);

CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);
