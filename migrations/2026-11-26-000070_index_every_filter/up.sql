-- An index for each filter of each list. If the value of a filter can be common, the index has the order of the list. A
-- partial index covers rare values, so that few rows are in it.
CREATE INDEX customers_by_country ON customers (country, name_key, id);
CREATE INDEX customers_archived ON customers (name_key, id) WHERE status = 'archived';
CREATE INDEX subscriptions_not_active ON subscriptions (status, end_date, id) WHERE status <> 'active';
DROP INDEX subscriptions_by_product;
CREATE INDEX subscriptions_by_product ON subscriptions (product_id, end_date, id);
CREATE INDEX orders_by_kind ON orders (kind, id);
CREATE INDEX orders_by_confirmation ON orders (confirmed_at);
CREATE INDEX charges_by_due_date ON charges (due_date, id);
CREATE INDEX charges_voided ON charges (id) WHERE status = 'voided';
CREATE INDEX audit_entries_by_operation ON audit_entries (operation, id);
CREATE INDEX audit_entries_by_request ON audit_entries (request_id, id);
CREATE INDEX audit_entries_refused ON audit_entries (id) WHERE outcome = 'refused';
CREATE INDEX event_places_by_kind ON event_places (kind, position);

-- A part of a name is found by its trigrams. The extension comes with PostgreSQL, but is not installed everywhere, and
-- not every role may create it. Without it, a search reads all names.
DO $$
DECLARE
    place text;
BEGIN
    SELECT extnamespace::regnamespace INTO place FROM pg_extension WHERE extname = 'pg_trgm';
    IF place IS NULL THEN
        place := 'trigrams';
        CREATE SCHEMA IF NOT EXISTS trigrams;
        CREATE EXTENSION pg_trgm SCHEMA trigrams;
    END IF;
    EXECUTE format('CREATE INDEX customers_by_piece_of_name ON customers USING gin (name_key %s.gin_trgm_ops)', place);
    EXECUTE format('CREATE INDEX resellers_by_piece_of_name ON resellers USING gin (name_key %s.gin_trgm_ops)', place);
EXCEPTION WHEN undefined_file OR insufficient_privilege OR feature_not_supported THEN
    RAISE NOTICE 'pg_trgm cannot be used here, so that a search by a piece of a name reads all names';
END
$$;
