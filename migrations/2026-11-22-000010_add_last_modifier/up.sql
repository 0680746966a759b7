-- Who is behind `updated_at`. Of what changed before this, nobody took a note.
ALTER TABLE subscriptions ADD COLUMN updated_by text NOT NULL DEFAULT 'system';
ALTER TABLE subscriptions ALTER COLUMN updated_by DROP DEFAULT;
