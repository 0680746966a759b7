-- When a failing endpoint was last tried. Time without attempts does not count as failing.
ALTER TABLE webhook_endpoints ADD COLUMN last_failure_at timestamptz;
UPDATE webhook_endpoints SET last_failure_at = greatest(failing_since, (
        SELECT max(last_attempt_at) FROM webhook_deliveries WHERE endpoint_id = webhook_endpoints.id
    ))
    WHERE failing_since IS NOT NULL;
