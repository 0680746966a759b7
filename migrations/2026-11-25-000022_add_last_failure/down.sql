ALTER TABLE webhook_endpoints DROP COLUMN last_failure_at;
