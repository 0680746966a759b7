-- The rule for sort keys can change: names are now sorted and searched without accents and width, not only without
-- letter case. The version says by which rule the key of a row was made; version 0 is the previous rule. After the
-- migrations, the service rebuilds keys with another version than its own. PostgreSQL stores a constant default once
-- for all rows, so no table is rewritten.
ALTER TABLE resellers ADD COLUMN name_key_version smallint NOT NULL DEFAULT 0;
ALTER TABLE customers ADD COLUMN name_key_version smallint NOT NULL DEFAULT 0;
ALTER TABLE products ADD COLUMN name_key_version smallint NOT NULL DEFAULT 0;
ALTER TABLE price_lists ADD COLUMN name_key_version smallint NOT NULL DEFAULT 0;

-- The smallest and the largest version are at the ends of an index, so two index pages are enough to find out that
-- there is nothing to rebuild, in a table of any size.
CREATE INDEX resellers_by_name_key_version ON resellers (name_key_version, id);
CREATE INDEX customers_by_name_key_version ON customers (name_key_version, id);
CREATE INDEX products_by_name_key_version ON products (name_key_version, id);
CREATE INDEX price_lists_by_name_key_version ON price_lists (name_key_version, id);
