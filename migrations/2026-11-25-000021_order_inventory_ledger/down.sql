DROP INDEX inventory_ledger_by_subscription;
ALTER TABLE inventory_ledger DROP COLUMN seq;
CREATE INDEX inventory_ledger_by_subscription ON inventory_ledger (subscription_id, id);
