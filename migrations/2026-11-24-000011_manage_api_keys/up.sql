-- `prefix` and `last_four` are the parts of a secret that may be shown; unknown for keys that were created before this
-- migration. A rotated key keeps its previous secret, which remains valid for some time.
ALTER TABLE api_keys
    ADD COLUMN prefix text,
    ADD COLUMN last_four text,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN rotated_at timestamptz,
    ADD COLUMN previous_sha256 bytea CONSTRAINT api_keys_previous_secret_key UNIQUE,
    ADD COLUMN previous_last_four text,
    ADD COLUMN previous_valid_until timestamptz,
    ADD COLUMN revoked_at timestamptz,
    ADD COLUMN revoked_reason text,
    ADD COLUMN created_by text NOT NULL DEFAULT 'system',
    ADD COLUMN version bigint NOT NULL DEFAULT 1 CONSTRAINT api_keys_version_positive CHECK (version > 0),
    ADD COLUMN updated_at timestamptz,
    ADD CONSTRAINT api_keys_hint_is_whole CHECK ((prefix IS NULL) = (last_four IS NULL)),
    ADD CONSTRAINT api_keys_rotation_is_whole CHECK (
        CASE WHEN rotated_at IS NULL
            THEN previous_sha256 IS NULL AND previous_last_four IS NULL AND previous_valid_until IS NULL
            ELSE previous_sha256 IS NOT NULL AND previous_valid_until IS NOT NULL
        END
    ),
    ADD CONSTRAINT api_keys_reason_only_when_revoked CHECK (revoked_at IS NOT NULL OR revoked_reason IS NULL);
UPDATE api_keys SET updated_at = created_at;
ALTER TABLE api_keys
    ALTER COLUMN created_by DROP DEFAULT,
    ALTER COLUMN version DROP DEFAULT,
    ALTER COLUMN updated_at SET NOT NULL;

CREATE INDEX api_keys_by_reseller ON api_keys (reseller_id, id);

-- When a key was last used, to the minute. In a separate table, because a use does not change the version of the key.
CREATE TABLE api_key_uses (
    api_key_id uuid NOT NULL
        CONSTRAINT api_key_uses_pkey PRIMARY KEY
        CONSTRAINT api_key_uses_key_fkey REFERENCES api_keys ON DELETE CASCADE,
    last_used_at timestamptz NOT NULL
);

-- Increases with each change of API keys or of a reseller's status. An instance may use what it has cached of them only
-- as long as this version is the same.
CREATE TABLE access_version (
    only_one boolean NOT NULL DEFAULT true
        CONSTRAINT access_version_pkey PRIMARY KEY
        CONSTRAINT access_version_only_one CHECK (only_one),
    version bigint NOT NULL
);
INSERT INTO access_version (version) VALUES (1);

-- By triggers, so that it also covers changes by an earlier release, or by hand.
CREATE FUNCTION raise_access_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE access_version SET version = version + 1;
    RETURN NULL;
END
$$;

CREATE TRIGGER api_keys_change_access AFTER UPDATE ON api_keys FOR EACH ROW
    WHEN (
        (OLD.role, OLD.reseller_id, OLD.secret_sha256, OLD.expires_at,
            OLD.previous_sha256, OLD.previous_valid_until, OLD.revoked_at)
        IS DISTINCT FROM
        (NEW.role, NEW.reseller_id, NEW.secret_sha256, NEW.expires_at,
            NEW.previous_sha256, NEW.previous_valid_until, NEW.revoked_at)
    )
    EXECUTE FUNCTION raise_access_version();
CREATE TRIGGER api_keys_end_access AFTER DELETE OR TRUNCATE ON api_keys FOR EACH STATEMENT
    EXECUTE FUNCTION raise_access_version();
CREATE TRIGGER resellers_change_access AFTER UPDATE ON resellers FOR EACH ROW
    WHEN ((OLD.disabled_at IS NULL) <> (NEW.disabled_at IS NULL))
    EXECUTE FUNCTION raise_access_version();
