ALTER TABLE subscriptions DROP COLUMN updated_by;
