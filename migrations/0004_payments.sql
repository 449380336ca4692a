-- Tries to have an invoice paid. A row is written before the provider hears of it and decided once.
CREATE TABLE payment_attempts (
    -- Also the idempotency key under which the provider is asked.
    id TEXT PRIMARY KEY,
    invoice TEXT NOT NULL REFERENCES invoices (number),
    organization TEXT NOT NULL REFERENCES organizations (id),
    -- The payment method and the provider's name for it, as they were.
    method TEXT NOT NULL,
    token TEXT NOT NULL,
    -- In the currency's minor unit.
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    description TEXT NOT NULL,
    -- begun, unknown (asked, but the answer was lost or is still to come), succeeded, declined, or
    -- refused (the provider would not take the request: nothing was charged)
    state TEXT NOT NULL,
    begun_ms BIGINT NOT NULL,
    decided_ms BIGINT,
    -- The provider's name for the payment.
    reference TEXT,
    -- Why it was declined or refused, or is unknown.
    code TEXT,
    detail TEXT,
    -- How often the provider was asked again.
    looks BIGINT NOT NULL,
    -- When to ask again, by the system's clock: the provider's own time does not stand still.
    look_again_ms BIGINT
);
-- An invoice has one attempt under way at most, so that nothing is charged twice.
CREATE UNIQUE INDEX payment_attempts_under_way ON payment_attempts (invoice)
WHERE state IN ('begun', 'unknown');
CREATE INDEX payment_attempts_by_invoice ON payment_attempts (invoice, id);
CREATE INDEX payment_attempts_by_look ON payment_attempts (look_again_ms, invoice);

-- 0: nobody has tried to collect it yet.
ALTER TABLE invoices ADD COLUMN collected BIGINT NOT NULL DEFAULT 0;
CREATE INDEX invoices_uncollected ON invoices (number) WHERE state = 'open' AND collected = 0;

-- Open invoices whose payment failed.
CREATE TABLE dunning (
    invoice TEXT PRIMARY KEY REFERENCES invoices (number),
    organization TEXT NOT NULL REFERENCES organizations (id),
    failures BIGINT NOT NULL,
    first_failed_ms BIGINT NOT NULL,
    -- When it is tried again; NULL: no more.
    next_ms BIGINT
);
CREATE INDEX dunning_by_next ON dunning (next_ms, invoice);
CREATE INDEX dunning_by_organization ON dunning (organization);

-- Events of the payment provider that were taken in.
CREATE TABLE provider_events (
    id TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    received_ms BIGINT NOT NULL
);

-- What the built-in provider was asked to charge, and what came of it.
CREATE TABLE sandbox_charges (
    idempotency_key TEXT PRIMARY KEY,
    -- What was asked: the same key for something else is refused.
    request TEXT NOT NULL,
    reference TEXT NOT NULL,
    -- NULL: it succeeded; else why it was declined.
    decline_code TEXT,
    created_ms BIGINT NOT NULL
);
