DROP INDEX IF EXISTS resellers_by_piece_of_name;
DROP INDEX IF EXISTS customers_by_piece_of_name;
DROP SCHEMA IF EXISTS trigrams CASCADE;

DROP INDEX event_places_by_kind;
DROP INDEX audit_entries_refused;
DROP INDEX audit_entries_by_request;
DROP INDEX audit_entries_by_operation;
DROP INDEX charges_voided;
DROP INDEX charges_by_due_date;
DROP INDEX orders_by_confirmation;
DROP INDEX orders_by_kind;
DROP INDEX subscriptions_by_product;
CREATE INDEX subscriptions_by_product ON subscriptions (product_id);
DROP INDEX subscriptions_not_active;
DROP INDEX customers_archived;
DROP INDEX customers_by_country;
