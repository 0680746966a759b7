-- The older release searches with keys of its own rule, which only it can make: rename what it does not find.
DROP INDEX resellers_by_name_key_version;
DROP INDEX customers_by_name_key_version;
DROP INDEX products_by_name_key_version;
DROP INDEX price_lists_by_name_key_version;
ALTER TABLE resellers DROP COLUMN name_key_version;
ALTER TABLE customers DROP COLUMN name_key_version;
ALTER TABLE products DROP COLUMN name_key_version;
ALTER TABLE price_lists DROP COLUMN name_key_version;
