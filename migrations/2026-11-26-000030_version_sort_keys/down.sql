-- The older release searches with keys made by its own rule, which only it can make. Names that it does not find must
-- be renamed.
DROP INDEX resellers_by_name_key_version;
DROP INDEX customers_by_name_key_version;
DROP INDEX products_by_name_key_version;
DROP INDEX price_lists_by_name_key_version;
ALTER TABLE resellers DROP COLUMN name_key_version;
ALTER TABLE customers DROP COLUMN name_key_version;
ALTER TABLE products DROP COLUMN name_key_version;
ALTER TABLE price_lists DROP COLUMN name_key_version;
