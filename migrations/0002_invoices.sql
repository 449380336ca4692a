-- Price lists that invoices were made by, each under the SHA-256 of its JSON.
CREATE TABLE price_books (
    digest TEXT PRIMARY KEY,
    version TEXT NOT NULL
);

-- A month that is over and wholly counted: what all its invoices are made from, decided once, so
-- that however often billing is begun again, the same comes out.
CREATE TABLE closings (
    month TEXT PRIMARY KEY,
    -- Counted from 1, without gaps, in the order of closing.
    sequence BIGINT NOT NULL UNIQUE,
    closed_ms BIGINT NOT NULL,
    price_book TEXT NOT NULL REFERENCES price_books (digest),
    -- JSON: where the ledger of each region and lane ended.
    ledger TEXT NOT NULL,
    -- 1: every organization has its invoice of the month, where it gets one.
    finished BIGINT NOT NULL
);

-- What is left of credits that were greater than the invoice that they stood on: a decimal, lowering
-- the next ones.
CREATE TABLE invoice_credits (
    organization TEXT PRIMARY KEY REFERENCES organizations (id),
    amount TEXT NOT NULL
);

-- Regions whose servers share these accounts: no month is closed without one of them.
CREATE TABLE deployments (
    region TEXT PRIMARY KEY,
    -- By the system's clock.
    seen_ms BIGINT NOT NULL
);

-- The last number of each year's invoices: they are counted from 1, without gaps.
CREATE TABLE invoice_numbers (
    year BIGINT PRIMARY KEY,
    last BIGINT NOT NULL
);

-- At most one invoice of an organization and month. A draft is replaced by the next look at the
-- month; of one that has a number, state, paid_ms and void_ms alone change.
CREATE TABLE invoices (
    organization TEXT NOT NULL REFERENCES organizations (id),
    month TEXT NOT NULL,
    -- NULL in a draft.
    number TEXT UNIQUE,
    -- draft, open, paid or void
    state TEXT NOT NULL,
    -- The closing that it was made from; NULL in a draft.
    closing BIGINT,
    -- JSON.
    content TEXT NOT NULL,
    currency TEXT NOT NULL,
    -- The lines' sum and what of it is to be paid, after credit: decimals.
    total TEXT NOT NULL,
    charge TEXT NOT NULL,
    issued_ms BIGINT,
    due_ms BIGINT,
    paid_ms BIGINT,
    void_ms BIGINT,
    -- What paid it, as the payment provider calls it.
    settlement TEXT,
    PRIMARY KEY (organization, month)
);
CREATE INDEX invoices_by_state ON invoices (state, due_ms, number);
CREATE INDEX invoices_by_closing ON invoices (closing, organization);
