DROP TABLE inventory_lines;
DROP TABLE subscription_terms;
DROP TABLE subscriptions;
