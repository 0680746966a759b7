UPDATE subscriptions SET unit_prices = coalesce((
    SELECT jsonb_object_agg(code, price -> 'amount') FROM jsonb_each(unit_prices) AS price (code, price)
), '{}');
UPDATE subscription_terms SET unit_prices = coalesce((
    SELECT jsonb_object_agg(code, price -> 'amount') FROM jsonb_each(unit_prices) AS price (code, price)
), '{}');
ALTER TABLE order_lines DROP COLUMN price_list_id;
ALTER TABLE resellers DROP COLUMN price_list_id;
ALTER TABLE customers DROP COLUMN price_list_id;
DROP TABLE price_list_prices;
DROP TABLE price_lists;
