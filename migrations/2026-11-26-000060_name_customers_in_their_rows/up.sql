-- Every row that belongs to a customer has its id, which never changes, and every foreign key to such a row includes
-- it. If the database is ever distributed over several servers, this column keeps the rows of a customer together.
--
-- Owned by a customer: customers, subscriptions and everything below them, orders, charges, invoices, allocations, and
-- events and audit entries about a customer. Global, small and read everywhere: resellers, products, price lists, API
-- keys, webhook endpoints. Evidence: events, audit entries.
ALTER TABLE subscription_terms ADD COLUMN customer_id uuid;
ALTER TABLE inventory_lines ADD COLUMN customer_id uuid;
ALTER TABLE inventory_ledger ADD COLUMN customer_id uuid;
ALTER TABLE inventory_ledger ADD COLUMN number integer;
ALTER TABLE allocations ADD COLUMN customer_id uuid;
ALTER TABLE renewal_failures ADD COLUMN customer_id uuid;
ALTER TABLE order_lines ADD COLUMN customer_id uuid;
ALTER TABLE invoice_lines ADD COLUMN customer_id uuid;
ALTER TABLE events ADD COLUMN customer_id uuid;
ALTER TABLE audit_entries ADD COLUMN customer_id uuid;

UPDATE subscription_terms AS its SET customer_id = owner.customer_id
    FROM subscriptions AS owner WHERE owner.id = its.subscription_id;
UPDATE inventory_lines AS its SET customer_id = owner.customer_id
    FROM subscriptions AS owner WHERE owner.id = its.subscription_id;
UPDATE allocations AS its SET customer_id = owner.customer_id
    FROM subscriptions AS owner WHERE owner.id = its.subscription_id;
UPDATE renewal_failures AS its SET customer_id = owner.customer_id
    FROM subscriptions AS owner WHERE owner.id = its.subscription_id;
UPDATE order_lines AS its SET customer_id = owner.customer_id FROM orders AS owner WHERE owner.id = its.order_id;
UPDATE invoice_lines AS its SET customer_id = owner.customer_id FROM invoices AS owner WHERE owner.id = its.invoice_id;
-- The entries of a ledger are numbered within their subscription, whose row is locked by each transaction that adds
-- entries.
UPDATE inventory_ledger AS its SET customer_id = numbered.customer_id, number = numbered.number
    FROM (
        SELECT entry.id, owner.customer_id, row_number() OVER (PARTITION BY entry.subscription_id ORDER BY entry.seq) AS number
        FROM inventory_ledger AS entry JOIN subscriptions AS owner ON owner.id = entry.subscription_id
    ) AS numbered
    WHERE numbered.id = its.id;
UPDATE events AS its SET customer_id = about.customer_id
    FROM (
        SELECT id AS resource_id, id AS customer_id FROM customers
        UNION ALL SELECT id, customer_id FROM subscriptions
        UNION ALL SELECT id, customer_id FROM orders
        UNION ALL SELECT id, customer_id FROM charges
        UNION ALL SELECT id, customer_id FROM invoices
    ) AS about
    WHERE about.resource_id = its.resource_id;
-- Only a migration may change entries of the audit trail.
ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_append_only;
UPDATE audit_entries AS its SET customer_id = about.customer_id
    FROM (
        SELECT id AS resource_id, id AS customer_id FROM customers
        UNION ALL SELECT id, customer_id FROM subscriptions
        UNION ALL SELECT id, customer_id FROM orders
        UNION ALL SELECT id, customer_id FROM charges
        UNION ALL SELECT id, customer_id FROM invoices
        UNION ALL SELECT id, customer_id FROM allocations
    ) AS about
    WHERE about.resource_id = its.resource_id;
ALTER TABLE audit_entries ENABLE TRIGGER audit_entries_append_only;

-- The target of foreign keys. Also used for the lists of a customer.
ALTER TABLE subscriptions ADD CONSTRAINT subscriptions_customer_key UNIQUE (customer_id, id);
ALTER TABLE orders ADD CONSTRAINT orders_customer_key UNIQUE (customer_id, id);
ALTER TABLE charges ADD CONSTRAINT charges_customer_key UNIQUE (customer_id, id);
ALTER TABLE invoices ADD CONSTRAINT invoices_customer_key UNIQUE (customer_id, id);
DROP INDEX orders_by_customer;
DROP INDEX charges_by_customer;
DROP INDEX invoices_by_customer;

ALTER TABLE subscription_terms ALTER COLUMN customer_id SET NOT NULL;
ALTER TABLE subscription_terms DROP CONSTRAINT subscription_terms_subscription_fkey;
ALTER TABLE subscription_terms ADD CONSTRAINT subscription_terms_subscription_fkey
    FOREIGN KEY (customer_id, subscription_id) REFERENCES subscriptions (customer_id, id);

ALTER TABLE inventory_lines ALTER COLUMN customer_id SET NOT NULL;
ALTER TABLE inventory_lines DROP CONSTRAINT inventory_lines_subscription_fkey;
ALTER TABLE inventory_lines ADD CONSTRAINT inventory_lines_subscription_fkey
    FOREIGN KEY (customer_id, subscription_id) REFERENCES subscriptions (customer_id, id);

ALTER TABLE allocations ALTER COLUMN customer_id SET NOT NULL;
ALTER TABLE allocations DROP CONSTRAINT allocations_subscription_fkey;
ALTER TABLE allocations ADD CONSTRAINT allocations_subscription_fkey
    FOREIGN KEY (customer_id, subscription_id) REFERENCES subscriptions (customer_id, id);

ALTER TABLE renewal_failures ALTER COLUMN customer_id SET NOT NULL;
ALTER TABLE renewal_failures DROP CONSTRAINT renewal_failures_subscription_fkey;
ALTER TABLE renewal_failures ADD CONSTRAINT renewal_failures_subscription_fkey
    FOREIGN KEY (customer_id, subscription_id) REFERENCES subscriptions (customer_id, id);

ALTER TABLE order_lines ALTER COLUMN customer_id SET NOT NULL;
ALTER TABLE order_lines DROP CONSTRAINT order_lines_order_fkey;
ALTER TABLE order_lines ADD CONSTRAINT order_lines_order_fkey
    FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE order_lines DROP CONSTRAINT order_lines_subscription_fkey;
ALTER TABLE order_lines ADD CONSTRAINT order_lines_subscription_fkey
    FOREIGN KEY (customer_id, subscription_id) REFERENCES subscriptions (customer_id, id);

ALTER TABLE charges DROP CONSTRAINT charges_order_fkey;
ALTER TABLE charges ADD CONSTRAINT charges_order_fkey
    FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);
ALTER TABLE charges DROP CONSTRAINT charges_subscription_fkey;
ALTER TABLE charges ADD CONSTRAINT charges_subscription_fkey
    FOREIGN KEY (customer_id, subscription_id) REFERENCES subscriptions (customer_id, id);

ALTER TABLE invoice_lines ALTER COLUMN customer_id SET NOT NULL;
ALTER TABLE invoice_lines DROP CONSTRAINT invoice_lines_invoice_fkey;
ALTER TABLE invoice_lines ADD CONSTRAINT invoice_lines_invoice_fkey
    FOREIGN KEY (customer_id, invoice_id) REFERENCES invoices (customer_id, id);
ALTER TABLE invoice_lines DROP CONSTRAINT invoice_lines_charge_fkey;
ALTER TABLE invoice_lines ADD CONSTRAINT invoice_lines_charge_fkey
    FOREIGN KEY (customer_id, charge_id) REFERENCES charges (customer_id, id);

ALTER TABLE inventory_ledger ALTER COLUMN customer_id SET NOT NULL;
ALTER TABLE inventory_ledger ALTER COLUMN number SET NOT NULL;
DROP INDEX inventory_ledger_by_subscription;
ALTER TABLE inventory_ledger DROP COLUMN seq;
ALTER TABLE inventory_ledger ADD CONSTRAINT inventory_ledger_number_key UNIQUE (subscription_id, number);
ALTER TABLE inventory_ledger DROP CONSTRAINT inventory_ledger_order_fkey;
ALTER TABLE inventory_ledger ADD CONSTRAINT inventory_ledger_order_fkey
    FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, id);

-- The same type and collation in all tables that name a caller.
ALTER TABLE rate_limit_windows ALTER COLUMN caller TYPE text COLLATE "C";
