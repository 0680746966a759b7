-- Of which type an inventory is low or exhausted.
ALTER TABLE events ADD COLUMN certificate_type text COLLATE "C";
