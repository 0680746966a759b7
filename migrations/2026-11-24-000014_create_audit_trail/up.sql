-- Who wrote what, and who tried. Rows are only ever added; a background job seals them, one after the other, with
-- a hash over what they say and the seal before.
CREATE TABLE audit_entries (
    seq bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_entries_pkey PRIMARY KEY,
    id uuid NOT NULL CONSTRAINT audit_entries_id_key UNIQUE,
    occurred_at timestamptz NOT NULL,
    actor text COLLATE "C" NOT NULL,
    role text NOT NULL,
    reseller_id uuid CONSTRAINT audit_entries_reseller_fkey REFERENCES resellers,
    source_address text,
    request_id text COLLATE "C" NOT NULL,
    operation text NOT NULL,
    resource_type text,
    resource_id uuid,
    outcome text NOT NULL CONSTRAINT audit_entries_outcome_known CHECK (outcome IN ('succeeded', 'refused')),
    status integer NOT NULL,
    code text,
    changes jsonb NOT NULL,
    position bigint CONSTRAINT audit_entries_position_key UNIQUE,
    seal bytea,
    CONSTRAINT audit_entries_resource_fits CHECK ((resource_type IS NULL) = (resource_id IS NULL)),
    CONSTRAINT audit_entries_code_fits CHECK ((outcome = 'refused') = (code IS NOT NULL)),
    CONSTRAINT audit_entries_seal_fits CHECK ((position IS NULL) = (seal IS NULL))
);

CREATE INDEX audit_entries_by_reseller ON audit_entries (reseller_id, id);
CREATE INDEX audit_entries_by_resource ON audit_entries (resource_id, id);
CREATE INDEX audit_entries_by_actor ON audit_entries (actor, id);
CREATE INDEX audit_entries_without_seal ON audit_entries (seq) WHERE position IS NULL;

-- The last seal. Who seals holds its row.
CREATE TABLE audit_chain (
    only_one boolean NOT NULL DEFAULT true
        CONSTRAINT audit_chain_pkey PRIMARY KEY
        CONSTRAINT audit_chain_only_one CHECK (only_one),
    position bigint NOT NULL,
    seal bytea NOT NULL
);
INSERT INTO audit_chain (position, seal) VALUES (0, '');

-- Mistakes stop here; who means to, meets the chain.
CREATE FUNCTION refuse_changing_the_audit_trail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.position IS NULL
        AND to_jsonb(NEW) - 'position' - 'seal' = to_jsonb(OLD) - 'position' - 'seal' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit trail is only ever added to';
END
$$;
CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_changing_the_audit_trail();
CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_changing_the_audit_trail();
