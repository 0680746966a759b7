DROP TABLE customers;
DROP TABLE resellers;
