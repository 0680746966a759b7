-- A cancelled or expired subscription never renews. From this release on, `auto_renew` is cleared when a subscription
-- ends. This statement clears it for subscriptions that ended earlier. It raises the version, because the version is
-- the entity tag: a client that sends the former tag in `If-None-Match` gets the new value instead of 304.
UPDATE subscriptions SET auto_renew = false, version = version + 1
    WHERE status IN ('expired', 'cancelled') AND auto_renew;
