-- `name_key` is the name in lower case. Sorting and searching by it do not depend on the locale of the database.
CREATE TABLE resellers (
    id uuid CONSTRAINT resellers_pkey PRIMARY KEY,
    company_name text NOT NULL,
    name_key text COLLATE "C" NOT NULL,
    address jsonb NOT NULL,
    contact jsonb,
    external_id text CONSTRAINT resellers_external_id_key UNIQUE,
    disabled_at timestamptz,
    disabled_reason text,
    version bigint NOT NULL CONSTRAINT resellers_version_positive CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT resellers_reason_only_while_disabled CHECK (disabled_at IS NOT NULL OR disabled_reason IS NULL)
);

CREATE INDEX resellers_by_name ON resellers (name_key, id);
CREATE INDEX resellers_by_creation ON resellers (created_at, id);

CREATE TABLE customers (
    id uuid CONSTRAINT customers_pkey PRIMARY KEY,
    company_name text NOT NULL,
    name_key text COLLATE "C" NOT NULL,
    address jsonb NOT NULL,
    country text GENERATED ALWAYS AS (address ->> 'country') STORED,
    contact jsonb,
    external_id text,
    reseller_id uuid CONSTRAINT customers_reseller_fkey REFERENCES resellers,
    administration text NOT NULL
        CONSTRAINT customers_administration_known CHECK (administration IN ('partner', 'customer')),
    admin_email text,
    currency text NOT NULL,
    status text NOT NULL CONSTRAINT customers_status_known CHECK (status IN ('active', 'archived')),
    version bigint NOT NULL CONSTRAINT customers_version_positive CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT customers_admin_email_fits CHECK ((administration = 'customer') = (admin_email IS NOT NULL))
);

-- A reference belongs to the reseller that manages the customer: two resellers can use the same one, and neither sees
-- the other's.
CREATE UNIQUE INDEX customers_external_id_key
    ON customers (coalesce(reseller_id, '00000000-0000-0000-0000-000000000000'), external_id)
    WHERE external_id IS NOT NULL;
CREATE INDEX customers_by_name ON customers (name_key, id);
CREATE INDEX customers_by_creation ON customers (created_at, id);
CREATE INDEX customers_by_reseller_and_name ON customers (reseller_id, name_key, id);
CREATE INDEX customers_by_reseller_and_creation ON customers (reseller_id, created_at, id);
CREATE INDEX customers_by_external_id ON customers (external_id) WHERE external_id IS NOT NULL;
