-- The key itself is never stored, only its hash. A hash of 256 random bits cannot be reversed.
CREATE TABLE api_keys (
    id uuid CONSTRAINT api_keys_pkey PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL CONSTRAINT api_keys_role_known CHECK (role IN ('admin', 'technician', 'sales', 'billing')),
    reseller_id uuid CONSTRAINT api_keys_reseller_fkey REFERENCES resellers,
    secret_sha256 bytea NOT NULL CONSTRAINT api_keys_secret_key UNIQUE,
    created_at timestamptz NOT NULL
);
