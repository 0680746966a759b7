-- When an endpoint that fails was last tried: time in which nobody tried is not held against it.
ALTER TABLE webhook_endpoints ADD COLUMN last_failure_at timestamptz;
UPDATE webhook_endpoints SET last_failure_at = greatest(failing_since, (
        SELECT max(last_attempt_at) FROM webhook_deliveries WHERE endpoint_id = webhook_endpoints.id
    ))
    WHERE failing_since IS NOT NULL;
