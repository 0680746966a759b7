DROP TABLE charges;
DROP TABLE order_lines;
DROP TABLE orders;
