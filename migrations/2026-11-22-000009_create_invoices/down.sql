DROP INDEX charges_pending_by_customer;
ALTER TABLE charges DROP CONSTRAINT charges_invoice_fits, DROP CONSTRAINT charges_invoice_line_fkey, DROP COLUMN invoice_id;
DROP TABLE invoice_runs;
DROP TABLE invoice_numbers;
DROP TABLE invoice_lines;
DROP TABLE invoices;
