DROP TABLE sandbox_clock;
DROP TABLE renewal_failures;
ALTER TABLE subscriptions DROP COLUMN due_date;
