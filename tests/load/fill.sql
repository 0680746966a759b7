-- Fills a migrated, empty database with $N customers, as of the day $TODAY. Each has a subscription with two lines, its
-- term, an order with two lines and two charges, an invoice (9 of 10), an allocation, three ledger entries,
-- an event and an audit entry. Nothing is due. The seals of the audit trail are not valid.
SET session_replication_role = replica;
SET synchronous_commit = off;
SET TimeZone = 'UTC';

-- The id of the n-th row of a kind, in version 7. The load computes the same id from the number.
CREATE FUNCTION pg_temp.v7(n bigint, kind int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(1732579200000 + n), 12, '0') || '7000800000000000' || lpad(kind::text, 4, '0'))::uuid
$$;

-- The creation of each customer, spread over 700 days. Its subscription started within the last 300 days.
CREATE TEMP TABLE base AS
SELECT n, to_timestamp((1732579200000 + ms) / 1000.0) AS at, pg_temp.v7(ms, 1) AS customer, pg_temp.v7(ms, 2) AS subscription,
    pg_temp.v7(ms, 3) AS ordered, pg_temp.v7(ms, 4) AS allocation, pg_temp.v7(ms, 5) AS invoice,
    pg_temp.v7(ms, 6) AS charge1, pg_temp.v7(ms, 7) AS charge2, ms,
    (date '$TODAY' - 5 - (n * 7919 % 295)::int) AS starts,
    n % 10 <> 0 AS billed,
    'load-key' AS actor
FROM (SELECT n, n * (60480000000 / $N) AS ms FROM generate_series(1::bigint, $N) AS n) AS x;
ANALYZE base;

CREATE TEMP TABLE care AS
SELECT k AS n, pg_temp.v7(k, 20) AS id
FROM generate_series(1, greatest(5, least(500, $N / 200))) AS k;

INSERT INTO resellers (id, company_name, name_key, address, external_id, version, created_at, updated_at)
SELECT id, 'Reseller ' || n, 'reseller ' || n, '{"line1": "2 Quay", "line2": null, "line3": null, "city": "Gent", "postal_code": "9000", "state": null, "country": "BE"}',
    'res-' || n, 1, now(), now() FROM care;

INSERT INTO products (id, code, name, name_key, status, certificate_types, terms, prices, version, created_at, updated_at)
SELECT pg_temp.v7(p, 21), 'load-' || p, 'Load ' || p, 'load ' || p, 'active',
    '[{"code": "dv", "name": "DV", "max_quantity": 1000000}, {"code": "ov", "name": "OV", "max_quantity": 1000000}]', '[12]',
    '[{"certificate_type": "dv", "term_months": 12, "currency": "USD", "unit_price": 9900},
      {"certificate_type": "ov", "term_months": 12, "currency": "USD", "unit_price": 25000}]', 1, now(), now()
FROM generate_series(1, 8) AS p;

INSERT INTO customers (id, company_name, name_key, address, contact, external_id, reseller_id, administration, currency,
    status, version, created_at, updated_at)
SELECT customer, name, lower(name),
    jsonb_build_object('line1', n || ' Harbour Street', 'line2', null, 'line3', null, 'city', 'Antwerpen',
        'postal_code', '2000', 'state', null, 'country', (ARRAY['BE', 'NL', 'DE', 'FR', 'GB'])[n % 5 + 1]),
    jsonb_build_object('name', 'Jo Contact', 'email', 'jo' || n || '@example.com', 'phone', '+32 3 555 0100', 'extension', null),
    'crm-' || n, CASE WHEN n % 3 = 0 THEN NULL ELSE (SELECT id FROM care WHERE care.n = base.n % (SELECT count(*) FROM care) + 1) END,
    'partner', 'USD', 'active', 1, at, at
FROM base, LATERAL (SELECT
    (ARRAY['Northern', 'Silver', 'Quiet', 'Bright', 'Amber', 'Distant', 'Granite', 'Open', 'Velvet', 'Copper', 'Upper', 'Clear'])[('x' || substr(md5('f' || n), 1, 6))::bit(24)::int % 12 + 1] || ' ' ||
    (ARRAY['Harbour', 'Meadow', 'Lantern', 'Forge', 'Orchard', 'Beacon', 'Canyon', 'Anchor', 'Willow', 'Summit', 'Bridge'])[('x' || substr(md5('g' || n), 1, 6))::bit(24)::int % 11 + 1] || ' ' ||
    (ARRAY['Logistics', 'Foods', 'Energy', 'Systems', 'Textiles', 'Optics', 'Partners'])[('x' || substr(md5('h' || n), 1, 6))::bit(24)::int % 7 + 1] || ' ' || n AS name) AS named;

INSERT INTO subscriptions (id, customer_id, product_id, currency, status, lapsed, auto_renew, anchor, anchor_term,
    term_months, term_number, start_date, end_date, unit_prices, version, created_at, updated_at, due_date, updated_by)
SELECT subscription, customer, p.id, 'USD', 'active', false, n % 4 <> 0, starts, 1, 12, 1, starts, (starts + interval '1 year')::date,
    '{"dv": {"amount": 9900, "price_list_id": null}, "ov": {"amount": 25000, "price_list_id": null}}', 1, at, at,
    (starts + interval '1 year')::date, actor
FROM base JOIN (SELECT id, row_number() OVER (ORDER BY code) - 1 AS k FROM products) AS p ON p.k = base.n % 8;

INSERT INTO subscription_terms (customer_id, subscription_id, number, start_date, end_date, unit_prices)
SELECT customer_id, id, 1, start_date, end_date, unit_prices FROM subscriptions;

INSERT INTO inventory_lines (customer_id, subscription_id, certificate_type, current, used)
SELECT customer, subscription, kind, quantity, used FROM base, (VALUES ('dv', 100000, 1), ('ov', 100, 0)) AS line (kind, quantity, used);

INSERT INTO orders (id, kind, customer_id, total, currency, confirmed_by, confirmed_at)
SELECT ordered, 'add_subscriptions', customer, 9900 * 9 + 25000, 'USD', actor, at FROM base;

INSERT INTO order_lines (customer_id, order_id, position, subscription_id, subscription_index, product_id, certificate_type, bucket,
    quantity_before, quantity_after, calculation, amount, due_date)
SELECT customer, ordered, place, subscription, 0, s.product_id, kind, 'current', NULL, quantity,
    jsonb_build_object('unit_price', price, 'quantity', quantity, 'remaining_days', 365, 'term_days', 365), price * quantity, starts
FROM base JOIN subscriptions AS s ON s.id = subscription, (VALUES (0, 'dv', 9, 9900), (1, 'ov', 1, 25000)) AS line (place, kind, quantity, price);

INSERT INTO charges (id, order_id, customer_id, subscription_id, certificate_type, calculation, amount, currency, due_date, status, invoice_id)
SELECT CASE place WHEN 0 THEN charge1 ELSE charge2 END, ordered, customer, subscription, kind,
    jsonb_build_object('unit_price', price, 'quantity', quantity, 'remaining_days', 365, 'term_days', 365), price * quantity, 'USD', starts,
    CASE WHEN billed THEN 'invoiced' ELSE 'pending' END, CASE WHEN billed THEN invoice END
FROM base, (VALUES (0, 'dv', 9, 9900), (1, 'ov', 1, 25000)) AS line (place, kind, quantity, price);

INSERT INTO invoices (id, number_year, number_sequence, customer_id, bill_to, currency, total, line_count, through, status, emailed_at, paid_at, version, created_at, updated_at)
SELECT invoice, 2026, n, customer, jsonb_build_object('company_name', c.company_name, 'address', c.address, 'contact', c.contact), 'USD',
    9900 * 9 + 25000, 2, starts, 'paid', at, at, 3, at, at
FROM base JOIN customers AS c ON c.id = customer WHERE billed;
INSERT INTO invoice_numbers (year, last) VALUES (2026, $N);
INSERT INTO invoice_lines (customer_id, invoice_id, position, charge_id, product_name)
SELECT customer, invoice, place, CASE place WHEN 0 THEN charge1 ELSE charge2 END, 'Load' FROM base, generate_series(0, 1) AS place WHERE billed;

INSERT INTO allocations (customer_id, id, subscription_id, certificate_type, quantity, reference, created_at)
SELECT customer, allocation, subscription, 'dv', 1, 'www' || n || '.example.com', at FROM base;

INSERT INTO inventory_ledger (customer_id, number, id, subscription_id, certificate_type, measure, before, after, order_id, allocation_id, actor, occurred_at)
SELECT customer, place + 1, pg_temp.v7(ms, 8 + place), subscription, kind, measure, 0, quantity,
    CASE WHEN place < 2 THEN ordered END, CASE WHEN place = 2 THEN allocation END, actor, at
FROM base, (VALUES (0, 'dv', 'current', 100000), (1, 'ov', 'current', 100), (2, 'dv', 'used', 1)) AS line (place, kind, measure, quantity);

INSERT INTO events (customer_id, id, kind, occurred_at, resource_type, resource_id, resource_version, data, actor, request_id, reseller_id, for_everyone)
SELECT customer, pg_temp.v7(ms, 12), 'customer.created', at, 'customer', customer, 1,
    jsonb_build_object('id', customer, 'company_name', c.company_name, 'address', c.address, 'contact', c.contact, 'external_id', c.external_id,
        'partner_id', c.reseller_id, 'administration', 'partner', 'admin_email', null, 'currency', 'USD', 'price_list_id', null, 'status', 'active',
        'actions', '[{"action": "edit", "allowed": true, "reason": null}, {"action": "archive", "allowed": false, "reason": "has_open_subscriptions"}]'::jsonb,
        'version', 1, 'created_at', at, 'updated_at', at),
    actor, 'request-' || n, c.reseller_id, false
FROM base JOIN customers AS c ON c.id = customer ORDER BY n;
INSERT INTO event_places (position, event_id, kind, reseller_id, for_everyone) SELECT row_number() OVER (ORDER BY id), id, kind, reseller_id, for_everyone FROM events ORDER BY id;
UPDATE event_feed SET position = $N;

INSERT INTO audit_entries (customer_id, id, occurred_at, actor, role, source_address, request_id, operation, resource_type, resource_id, outcome, status, changes)
SELECT customer, pg_temp.v7(ms, 13), at, actor || n % 100, 'admin', '127.0.0.1', 'request-' || n,
    (ARRAY['createCustomer', 'updateCustomer', 'addSubscriptions'])[n % 3 + 1], 'customer', customer, 'succeeded', 201,
    jsonb_build_array(jsonb_build_object('resource_type', 'customer', 'resource_id', customer, 'before', null,
        'after', jsonb_build_object('id', customer, 'company_name', c.company_name, 'address', c.address, 'external_id', c.external_id)))
FROM base JOIN customers AS c ON c.id = customer ORDER BY n;
INSERT INTO audit_seals (position, entry_id, seal) SELECT row_number() OVER (ORDER BY id), id, sha256(convert_to('seal' || id, 'UTF8')) FROM audit_entries ORDER BY id;
UPDATE audit_chain SET position = $N, seal = sha256(convert_to('seal' || $N, 'UTF8'));
INSERT INTO audit_resources (resource_id, entry_id) SELECT resource_id, id FROM audit_entries ORDER BY 1, 2;

SET session_replication_role = origin;
ANALYZE;
