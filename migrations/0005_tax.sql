-- The sum of the lines without tax: a decimal. NULL in what was made before taxes were known: the
-- total.
ALTER TABLE invoices ADD COLUMN subtotal TEXT;
