-- The number of requests of each caller in a minute, over all instances. Not needed after that minute, so the table is
-- not written to the log.
CREATE UNLOGGED TABLE rate_limit_windows (
    window_start timestamptz NOT NULL,
    caller text NOT NULL,
    kind text NOT NULL CONSTRAINT rate_limit_windows_kind_known CHECK (kind IN ('reads', 'writes')),
    requests bigint NOT NULL,
    CONSTRAINT rate_limit_windows_pkey PRIMARY KEY (window_start, caller, kind)
);
