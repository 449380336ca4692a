-- Of a void invoice: why, and the sequence of the latest closing by then. The closings after it
-- invoice again what stands on it; those up to it took it for invoiced.
ALTER TABLE invoices ADD COLUMN void_reason TEXT;
ALTER TABLE invoices ADD COLUMN void_after BIGINT;
CREATE INDEX invoices_by_void ON invoices (void_after, organization) WHERE void_after IS NOT NULL;
