DROP TRIGGER resellers_change_access ON resellers;
DROP TRIGGER api_keys_end_access ON api_keys;
DROP TRIGGER api_keys_change_access ON api_keys;
DROP FUNCTION raise_access_version();
DROP TABLE access_version;
DROP TABLE api_key_uses;
DROP INDEX api_keys_by_reseller;
-- An earlier release does not know that keys can end, so it must not accept keys that have ended.
DELETE FROM api_keys WHERE revoked_at IS NOT NULL OR expires_at <= now();
ALTER TABLE api_keys
    DROP COLUMN prefix,
    DROP COLUMN last_four,
    DROP COLUMN expires_at,
    DROP COLUMN rotated_at,
    DROP COLUMN previous_sha256,
    DROP COLUMN previous_last_four,
    DROP COLUMN previous_valid_until,
    DROP COLUMN revoked_at,
    DROP COLUMN revoked_reason,
    DROP COLUMN created_by,
    DROP COLUMN version,
    DROP COLUMN updated_at;
