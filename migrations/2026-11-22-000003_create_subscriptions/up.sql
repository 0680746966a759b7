CREATE TABLE subscriptions (
    id uuid CONSTRAINT subscriptions_pkey PRIMARY KEY,
    customer_id uuid NOT NULL CONSTRAINT subscriptions_customer_fkey REFERENCES customers,
    product_id uuid NOT NULL CONSTRAINT subscriptions_product_fkey REFERENCES products,
    external_id text,
    currency text NOT NULL,
    status text NOT NULL CONSTRAINT subscriptions_status_known
        CHECK (status IN ('pending', 'active', 'suspended', 'expired', 'cancelled')),
    suspended_at timestamptz,
    suspended_reason text,
    cancelled_at timestamptz,
    cancelled_reason text,
    lapsed boolean NOT NULL,
    auto_renew boolean NOT NULL,
    anchor date NOT NULL,
    anchor_term integer NOT NULL,
    term_months integer NOT NULL CONSTRAINT subscriptions_term_months_offered CHECK (term_months BETWEEN 1 AND 36),
    term_number integer NOT NULL,
    start_date date NOT NULL,
    end_date date NOT NULL,
    unit_prices jsonb NOT NULL,
    version bigint NOT NULL CONSTRAINT subscriptions_version_positive CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT subscriptions_suspension_fits CHECK ((status = 'suspended') = (suspended_at IS NOT NULL)),
    CONSTRAINT subscriptions_reason_only_while_suspended CHECK (suspended_at IS NOT NULL OR suspended_reason IS NULL),
    CONSTRAINT subscriptions_cancellation_fits CHECK ((status = 'cancelled') = (cancelled_at IS NOT NULL)),
    CONSTRAINT subscriptions_reason_only_when_cancelled CHECK (cancelled_at IS NOT NULL OR cancelled_reason IS NULL),
    CONSTRAINT subscriptions_lapsed_only_while_suspended CHECK (status = 'suspended' OR NOT lapsed),
    CONSTRAINT subscriptions_term_has_days CHECK (start_date < end_date)
);

CREATE INDEX subscriptions_by_customer_and_creation ON subscriptions (customer_id, created_at, id);
CREATE INDEX subscriptions_by_end ON subscriptions (end_date, id);
CREATE INDEX subscriptions_by_creation ON subscriptions (created_at, id);
CREATE INDEX subscriptions_by_product ON subscriptions (product_id);

-- The history of terms. The current term is also in the row of its subscription.
CREATE TABLE subscription_terms (
    subscription_id uuid NOT NULL CONSTRAINT subscription_terms_subscription_fkey REFERENCES subscriptions,
    number integer NOT NULL,
    start_date date NOT NULL,
    end_date date NOT NULL,
    unit_prices jsonb NOT NULL,
    CONSTRAINT subscription_terms_pkey PRIMARY KEY (subscription_id, number),
    CONSTRAINT subscription_terms_has_days CHECK (start_date < end_date)
);

CREATE TABLE inventory_lines (
    subscription_id uuid NOT NULL CONSTRAINT inventory_lines_subscription_fkey REFERENCES subscriptions,
    certificate_type text COLLATE "C" NOT NULL,
    current integer NOT NULL CONSTRAINT inventory_lines_current_not_negative CHECK (current >= 0),
    renewal integer CONSTRAINT inventory_lines_renewal_not_negative CHECK (renewal >= 0),
    used integer NOT NULL CONSTRAINT inventory_lines_used_not_negative CHECK (used >= 0),
    CONSTRAINT inventory_lines_pkey PRIMARY KEY (subscription_id, certificate_type)
);
