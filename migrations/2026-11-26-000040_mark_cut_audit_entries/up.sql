-- Whether the changes of an entry were cut because there were too many or too large ones. Null: they are whole, as in
-- every entry of before.
ALTER TABLE audit_entries ADD COLUMN changes_truncated boolean;
