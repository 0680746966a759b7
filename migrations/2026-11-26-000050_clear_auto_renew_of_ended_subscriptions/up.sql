-- A cancelled or expired subscription never renews, and from this release on `auto_renew` is cleared when one ends.
-- This clears it for the subscriptions that ended earlier. The version is raised because it is the entity tag: a client
-- that sends the former tag in `If-None-Match` gets the new value instead of 304.
UPDATE subscriptions SET auto_renew = false, version = version + 1
    WHERE status IN ('expired', 'cancelled') AND auto_renew;
