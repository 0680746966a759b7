-- Who made the change of `updated_at`. Not known for changes before this migration.
ALTER TABLE subscriptions ADD COLUMN updated_by text NOT NULL DEFAULT 'system';
ALTER TABLE subscriptions ALTER COLUMN updated_by DROP DEFAULT;
