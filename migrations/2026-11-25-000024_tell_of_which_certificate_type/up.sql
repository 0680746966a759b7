-- The certificate type whose inventory is low or exhausted.
ALTER TABLE events ADD COLUMN certificate_type text COLLATE "C";
