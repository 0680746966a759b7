-- Types, terms and prices are always read and written together with their product.
CREATE TABLE products (
    id uuid CONSTRAINT products_pkey PRIMARY KEY,
    code text COLLATE "C" NOT NULL CONSTRAINT products_code_key UNIQUE,
    name text NOT NULL,
    name_key text COLLATE "C" NOT NULL,
    description text,
    status text NOT NULL CONSTRAINT products_status_known CHECK (status IN ('active', 'retired')),
    certificate_types jsonb NOT NULL,
    terms jsonb NOT NULL,
    prices jsonb NOT NULL,
    version bigint NOT NULL CONSTRAINT products_version_positive CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
