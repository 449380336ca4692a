-- The entry of the account log that has the invoice's digest: verifying one invoice reads that one. NULL
-- in a draft, and in what was issued before entries were noted, which is looked for.
ALTER TABLE invoices ADD COLUMN issued_entry BIGINT;
