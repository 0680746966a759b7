ALTER TABLE events DROP COLUMN certificate_type;
