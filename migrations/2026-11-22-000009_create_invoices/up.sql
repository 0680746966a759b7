-- Written once, together with its lines. Only the state changes. `bill_to` is a copy of the customer at that time.
CREATE TABLE invoices (
    id uuid CONSTRAINT invoices_pkey PRIMARY KEY,
    number_year integer NOT NULL CONSTRAINT invoices_number_year_in_range CHECK (number_year BETWEEN 1 AND 9999),
    number_sequence integer NOT NULL
        CONSTRAINT invoices_number_sequence_in_range CHECK (number_sequence BETWEEN 1 AND 999999999),
    customer_id uuid NOT NULL CONSTRAINT invoices_customer_fkey REFERENCES customers,
    bill_to jsonb NOT NULL,
    currency text NOT NULL,
    total bigint NOT NULL,
    line_count integer NOT NULL CONSTRAINT invoices_line_count_in_range CHECK (line_count BETWEEN 1 AND 1000),
    through date NOT NULL,
    status text NOT NULL CONSTRAINT invoices_status_known CHECK (status IN ('created', 'emailed', 'paid', 'void')),
    emailed_at timestamptz,
    paid_at timestamptz,
    voided_at timestamptz,
    voided_reason text,
    version bigint NOT NULL CONSTRAINT invoices_version_positive CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT invoices_number_key UNIQUE (number_year, number_sequence),
    CONSTRAINT invoices_emailing_fits CHECK (
        CASE status WHEN 'created' THEN emailed_at IS NULL WHEN 'void' THEN true ELSE emailed_at IS NOT NULL END
    ),
    CONSTRAINT invoices_payment_fits CHECK ((status = 'paid') = (paid_at IS NOT NULL)),
    CONSTRAINT invoices_voiding_fits CHECK ((status = 'void') = (voided_at IS NOT NULL)),
    CONSTRAINT invoices_reason_only_when_void CHECK (voided_at IS NOT NULL OR voided_reason IS NULL)
);

CREATE INDEX invoices_by_customer ON invoices (customer_id, id);
CREATE INDEX invoices_by_status ON invoices (status, id);

-- The charges of an invoice, also after it was voided. The name of the product is the one that was billed.
CREATE TABLE invoice_lines (
    invoice_id uuid NOT NULL CONSTRAINT invoice_lines_invoice_fkey REFERENCES invoices,
    position integer NOT NULL,
    charge_id uuid NOT NULL CONSTRAINT invoice_lines_charge_fkey REFERENCES charges,
    product_name text NOT NULL,
    CONSTRAINT invoice_lines_pkey PRIMARY KEY (invoice_id, position),
    CONSTRAINT invoice_lines_charge_key UNIQUE (invoice_id, charge_id)
);

-- The last number of each year. A row instead of a sequence, because a sequence leaves gaps after a rollback.
CREATE TABLE invoice_numbers (
    year integer CONSTRAINT invoice_numbers_pkey PRIMARY KEY,
    last integer NOT NULL CONSTRAINT invoice_numbers_last_positive CHECK (last > 0)
);

-- The months that were billed completely.
CREATE TABLE invoice_runs (
    month date CONSTRAINT invoice_runs_pkey PRIMARY KEY,
    through date NOT NULL,
    completed_at timestamptz NOT NULL,
    CONSTRAINT invoice_runs_month_is_its_first_day CHECK (extract(day FROM month) = 1)
);

-- A charge names the one invoice that it is on, and has a line there. A charge of a voided invoice names none, or
-- another one.
ALTER TABLE charges
    ADD COLUMN invoice_id uuid,
    ADD CONSTRAINT charges_invoice_line_fkey
        FOREIGN KEY (invoice_id, id) REFERENCES invoice_lines (invoice_id, charge_id),
    ADD CONSTRAINT charges_invoice_fits CHECK ((status = 'invoiced') = (invoice_id IS NOT NULL));

CREATE INDEX charges_pending_by_customer ON charges (customer_id, id) WHERE status = 'pending';
