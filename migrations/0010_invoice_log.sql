-- What the account log says of invoices: verifying one compares it.
CREATE INDEX audit_log_of_invoices ON audit_log (action, organization, sequence)
WHERE action IN ('invoice.voided', 'invoices.issued', 'month.closed', 'payment.succeeded');
