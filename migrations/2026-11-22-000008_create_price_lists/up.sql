CREATE TABLE price_lists (
    id uuid CONSTRAINT price_lists_pkey PRIMARY KEY,
    name text NOT NULL,
    name_key text COLLATE "C" NOT NULL,
    currency text NOT NULL,
    version bigint NOT NULL CONSTRAINT price_lists_version_positive CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE INDEX price_lists_by_name ON price_lists (name_key, id);

CREATE TABLE price_list_prices (
    price_list_id uuid NOT NULL CONSTRAINT price_list_prices_list_fkey REFERENCES price_lists ON DELETE CASCADE,
    product_id uuid NOT NULL CONSTRAINT price_list_prices_product_fkey REFERENCES products,
    certificate_type text COLLATE "C" NOT NULL,
    term_months integer NOT NULL
        CONSTRAINT price_list_prices_term_months_offered CHECK (term_months BETWEEN 1 AND 36),
    unit_price bigint NOT NULL CONSTRAINT price_list_prices_not_negative CHECK (unit_price >= 0),
    CONSTRAINT price_list_prices_pkey PRIMARY KEY (price_list_id, product_id, certificate_type, term_months)
);

ALTER TABLE customers
    ADD COLUMN price_list_id uuid CONSTRAINT customers_price_list_fkey REFERENCES price_lists;
ALTER TABLE resellers
    ADD COLUMN price_list_id uuid CONSTRAINT resellers_price_list_fkey REFERENCES price_lists;
CREATE INDEX customers_by_price_list ON customers (price_list_id) WHERE price_list_id IS NOT NULL;

-- The price list that a price came from, for the record. A list that was used cannot be deleted.
ALTER TABLE order_lines
    ADD COLUMN price_list_id uuid CONSTRAINT order_lines_price_list_fkey REFERENCES price_lists;
CREATE INDEX order_lines_by_price_list ON order_lines (price_list_id) WHERE price_list_id IS NOT NULL;

-- A term records the price list of each of its prices.
UPDATE subscriptions SET unit_prices = coalesce((
    SELECT jsonb_object_agg(code, jsonb_build_object('amount', amount, 'price_list_id', NULL))
    FROM jsonb_each(unit_prices) AS price (code, amount)
), '{}');
UPDATE subscription_terms SET unit_prices = coalesce((
    SELECT jsonb_object_agg(code, jsonb_build_object('amount', amount, 'price_list_id', NULL))
    FROM jsonb_each(unit_prices) AS price (code, amount)
), '{}');
