-- Whether the changes of an entry were truncated because they were too many or too large. Null if they are complete,
-- as in all earlier entries.
ALTER TABLE audit_entries ADD COLUMN changes_truncated boolean;
