-- The due date of the next scheduled transition: the subscription starts, its term ends, or its lapsed period ends.
ALTER TABLE subscriptions ADD COLUMN due_date date;
UPDATE subscriptions SET due_date = CASE
    WHEN status = 'pending' THEN start_date
    WHEN status = 'suspended' AND lapsed THEN end_date + 90
    WHEN status IN ('active', 'suspended') THEN end_date
END;
ALTER TABLE subscriptions ADD CONSTRAINT subscriptions_due_date_fits
    CHECK ((due_date IS NULL) = (status IN ('expired', 'cancelled')));
CREATE INDEX subscriptions_by_due_date ON subscriptions (due_date, id);

-- One row for each subscription whose transition has ever failed. The failure is valid for the due date and the version
-- in the row. If the subscription has another due date, the failure is over; if it has another version, the transition
-- is retried.
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

-- Has a row once the database has been used as a sandbox: how far its clock is ahead of the machine's clock, and how
-- far it is going to be.
CREATE TABLE sandbox_clock (
    only_one boolean NOT NULL DEFAULT true
        CONSTRAINT sandbox_clock_pkey PRIMARY KEY
        CONSTRAINT sandbox_clock_only_one CHECK (only_one),
    ahead_us bigint NOT NULL,
    target_us bigint NOT NULL,
    CONSTRAINT sandbox_clock_goes_forwards CHECK (0 <= ahead_us AND ahead_us <= target_us)
);
