-- Written in the transaction of what they tell. `seq` is the order of writing, which is not that of becoming
-- visible: an earlier one may be committed later. `position` is the place in the feed; it is given to what is
-- committed, by one hand at a time, so that nothing ever appears before a place that a reader has passed.
CREATE TABLE events (
    seq bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT events_pkey PRIMARY KEY,
    id uuid NOT NULL CONSTRAINT events_id_key UNIQUE,
    position bigint CONSTRAINT events_position_key UNIQUE,
    type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    resource_type text NOT NULL,
    resource_id uuid NOT NULL,
    resource_version bigint,
    data jsonb NOT NULL,
    actor text NOT NULL,
    request_id text,
    -- Who is told, besides the partner: one reseller, or all of them.
    reseller_id uuid CONSTRAINT events_reseller_fkey REFERENCES resellers,
    for_everyone boolean NOT NULL
);

CREATE INDEX events_without_position ON events (seq) WHERE position IS NULL;

-- The last place that was given. Who gives places holds its row.
CREATE TABLE event_feed (
    only_one boolean NOT NULL DEFAULT true
        CONSTRAINT event_feed_pkey PRIMARY KEY
        CONSTRAINT event_feed_only_one CHECK (only_one),
    position bigint NOT NULL CONSTRAINT event_feed_position_not_negative CHECK (position >= 0)
);
INSERT INTO event_feed (position) VALUES (0);

-- From how few available certificates on a line is low.
ALTER TABLE inventory_lines ADD COLUMN low_threshold integer
    CONSTRAINT inventory_lines_low_threshold_not_negative CHECK (low_threshold >= 0);
