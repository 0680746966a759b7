CREATE TABLE orders (
    id uuid CONSTRAINT orders_pkey PRIMARY KEY,
    kind text NOT NULL CONSTRAINT orders_kind_known
        CHECK (kind IN ('add_subscriptions', 'current_inventory', 'renewal_inventory', 'renewal', 'cancellation')),
    customer_id uuid NOT NULL CONSTRAINT orders_customer_fkey REFERENCES customers,
    total bigint NOT NULL,
    currency text NOT NULL,
    confirmed_by text NOT NULL,
    confirmed_at timestamptz NOT NULL
);

CREATE INDEX orders_by_customer ON orders (customer_id, id);

CREATE TABLE order_lines (
    order_id uuid NOT NULL CONSTRAINT order_lines_order_fkey REFERENCES orders,
    position integer NOT NULL,
    subscription_id uuid NOT NULL CONSTRAINT order_lines_subscription_fkey REFERENCES subscriptions,
    subscription_index integer,
    product_id uuid NOT NULL CONSTRAINT order_lines_product_fkey REFERENCES products,
    certificate_type text COLLATE "C" NOT NULL,
    bucket text NOT NULL CONSTRAINT order_lines_bucket_known CHECK (bucket IN ('current', 'renewal')),
    quantity_before integer,
    quantity_after integer,
    calculation jsonb,
    amount bigint NOT NULL,
    due_date date NOT NULL,
    CONSTRAINT order_lines_pkey PRIMARY KEY (order_id, position),
    CONSTRAINT order_lines_amount_is_explained CHECK (calculation IS NOT NULL OR amount = 0)
);

CREATE INDEX order_lines_by_subscription ON order_lines (subscription_id);

CREATE TABLE charges (
    id uuid CONSTRAINT charges_pkey PRIMARY KEY,
    order_id uuid NOT NULL CONSTRAINT charges_order_fkey REFERENCES orders,
    customer_id uuid NOT NULL CONSTRAINT charges_customer_fkey REFERENCES customers,
    subscription_id uuid NOT NULL CONSTRAINT charges_subscription_fkey REFERENCES subscriptions,
    certificate_type text COLLATE "C" NOT NULL,
    calculation jsonb NOT NULL,
    amount bigint NOT NULL CONSTRAINT charges_amount_not_zero CHECK (amount <> 0),
    currency text NOT NULL,
    due_date date NOT NULL,
    status text NOT NULL CONSTRAINT charges_status_known CHECK (status IN ('pending', 'invoiced', 'voided'))
);

CREATE INDEX charges_by_customer ON charges (customer_id, id);
CREATE INDEX charges_by_subscription ON charges (subscription_id);
CREATE INDEX charges_pending_by_due_date ON charges (due_date) WHERE status = 'pending';
