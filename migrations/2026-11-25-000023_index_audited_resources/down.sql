CREATE INDEX audit_entries_by_resource ON audit_entries (resource_id, id);

DROP TRIGGER audit_entries_list_resources ON audit_entries;
DROP FUNCTION list_audited_resources();
DROP TABLE audit_resources;
