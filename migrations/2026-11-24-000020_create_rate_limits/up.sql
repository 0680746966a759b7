-- How often callers came in a minute, on all instances together. A minute later nobody asks: not worth a log of changes.
CREATE UNLOGGED TABLE rate_limit_windows (
    window_start timestamptz NOT NULL,
    caller text NOT NULL,
    kind text NOT NULL CONSTRAINT rate_limit_windows_kind_known CHECK (kind IN ('reads', 'writes')),
    requests bigint NOT NULL,
    CONSTRAINT rate_limit_windows_pkey PRIMARY KEY (window_start, caller, kind)
);
