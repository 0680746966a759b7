-- When time changes a subscription next, by itself: it starts, its term ends, or its lapse does.
ALTER TABLE subscriptions ADD COLUMN due_date date;
UPDATE subscriptions SET due_date = CASE
    WHEN status = 'pending' THEN start_date
    WHEN status = 'suspended' AND lapsed THEN end_date + 90
    WHEN status IN ('active', 'suspended') THEN end_date
END;
ALTER TABLE subscriptions ADD CONSTRAINT subscriptions_due_date_fits
    CHECK ((due_date IS NULL) = (status IN ('expired', 'cancelled')));
CREATE INDEX subscriptions_by_due_date ON subscriptions (due_date, id);

-- One row for each subscription that could ever not be processed when it was due. It is about the due date
-- and the version that stand in it: once the subscription has another, the failure is over, or there is hope.
CREATE TABLE renewal_failures (
    subscription_id uuid NOT NULL
        CONSTRAINT renewal_failures_subscription_fkey REFERENCES subscriptions
        CONSTRAINT renewal_failures_pkey PRIMARY KEY,
    due_date date NOT NULL,
    version bigint NOT NULL,
    code text NOT NULL CONSTRAINT renewal_failures_code_known CHECK (code IN ('amount_out_of_range', 'internal')),
    attempts integer NOT NULL CONSTRAINT renewal_failures_attempts_positive CHECK (attempts > 0),
    first_failed_at timestamptz NOT NULL,
    last_failed_at timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL
);

-- There is a row once the database has been a sandbox's: how far its clock is ahead of the machine's, and
-- how far it is on its way to.
CREATE TABLE sandbox_clock (
    only_one boolean NOT NULL DEFAULT true
        CONSTRAINT sandbox_clock_pkey PRIMARY KEY
        CONSTRAINT sandbox_clock_only_one CHECK (only_one),
    ahead_us bigint NOT NULL,
    target_us bigint NOT NULL,
    CONSTRAINT sandbox_clock_goes_forwards CHECK (0 <= ahead_us AND ahead_us <= target_us)
);
