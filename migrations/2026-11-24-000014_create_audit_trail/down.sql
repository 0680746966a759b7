DROP TABLE audit_chain;
DROP TABLE audit_entries;
DROP FUNCTION refuse_changing_the_audit_trail();
