-- Which entries of the audit trail are about which resource: those of requests for it, and those that changed it, as
-- when it was created with others. It says nothing that they do not say, and comes with them, whoever writes them.
CREATE TABLE audit_resources (
    resource_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    CONSTRAINT audit_resources_pkey PRIMARY KEY (resource_id, entry_id)
);

CREATE FUNCTION list_audited_resources() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_resources (resource_id, entry_id)
        SELECT NEW.resource_id, NEW.id WHERE NEW.resource_id IS NOT NULL
        UNION
        SELECT (change ->> 'resource_id')::uuid, NEW.id FROM jsonb_array_elements(NEW.changes) AS change;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_entries_list_resources AFTER INSERT ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION list_audited_resources();

INSERT INTO audit_resources (resource_id, entry_id)
    SELECT resource_id, id FROM audit_entries WHERE resource_id IS NOT NULL
    UNION
    SELECT (change ->> 'resource_id')::uuid, id FROM audit_entries, jsonb_array_elements(changes) AS change;

DROP INDEX audit_entries_by_resource;
