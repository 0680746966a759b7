-- The resources of each entry of the audit trail: those of the request, and those that the request changed, for example
-- when several were created together. This table only repeats what the entries contain, and is filled by a trigger,
-- also for entries of an earlier release.
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
