CREATE TABLE allocations (
    id uuid CONSTRAINT allocations_pkey PRIMARY KEY,
    subscription_id uuid NOT NULL CONSTRAINT allocations_subscription_fkey REFERENCES subscriptions,
    certificate_type text COLLATE "C" NOT NULL,
    quantity integer NOT NULL CONSTRAINT allocations_quantity_positive CHECK (quantity > 0),
    reference text NOT NULL,
    created_at timestamptz NOT NULL,
    released_at timestamptz
);

CREATE UNIQUE INDEX allocations_open_reference_key
    ON allocations (subscription_id, reference) WHERE released_at IS NULL;
CREATE INDEX allocations_by_subscription ON allocations (subscription_id, id);

-- Append-only: the sum of the deltas of a line is the present number of the line.
CREATE TABLE inventory_ledger (
    id uuid CONSTRAINT inventory_ledger_pkey PRIMARY KEY,
    subscription_id uuid NOT NULL,
    certificate_type text COLLATE "C" NOT NULL,
    measure text NOT NULL CONSTRAINT inventory_ledger_measure_known CHECK (measure IN ('current', 'renewal', 'used')),
    before integer,
    after integer,
    order_id uuid CONSTRAINT inventory_ledger_order_fkey REFERENCES orders,
    allocation_id uuid CONSTRAINT inventory_ledger_allocation_fkey REFERENCES allocations,
    actor text NOT NULL,
    occurred_at timestamptz NOT NULL,
    CONSTRAINT inventory_ledger_line_fkey
        FOREIGN KEY (subscription_id, certificate_type) REFERENCES inventory_lines
);

CREATE INDEX inventory_ledger_by_subscription ON inventory_ledger (subscription_id, id);
