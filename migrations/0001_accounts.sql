-- Read by SQLite and Postgres alike: times are epoch milliseconds, flags are 0 or 1, bytes are
-- base64 or hex.

-- One row that every change locks first, so that changes happen one after the other, and that
-- keeps the end of the log's hash chain.
CREATE TABLE audit_head (
    id BIGINT PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_head (id, sequence, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

CREATE TABLE audit_log (
    sequence BIGINT PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    organization TEXT,
    before TEXT,
    after TEXT,
    hash TEXT NOT NULL
);

-- Secrets of the installation, made at its first start.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE test_clock (
    id BIGINT PRIMARY KEY,
    now_ms BIGINT NOT NULL,
    -- How often it was set.
    version BIGINT NOT NULL
);

CREATE TABLE organizations (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    -- 1: a payment failed and was not made good yet.
    past_due BIGINT NOT NULL DEFAULT 0,
    -- Rises with every change of the organization.
    version BIGINT NOT NULL
);

CREATE TABLE organization_regions (
    organization TEXT NOT NULL REFERENCES organizations (id),
    region TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (organization, region)
);

-- Half-open and without gaps from the sign-up on; the last has no end. What follows a trial is
-- planned here from its first day.
CREATE TABLE plan_periods (
    organization TEXT NOT NULL REFERENCES organizations (id),
    from_ms BIGINT NOT NULL,
    to_ms BIGINT,
    plan TEXT NOT NULL,
    trial BIGINT NOT NULL,
    PRIMARY KEY (organization, from_ms)
);

CREATE TABLE license_keys (
    version BIGINT PRIMARY KEY,
    public_key TEXT NOT NULL,
    secret_key TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE licenses (
    organization TEXT PRIMARY KEY REFERENCES organizations (id),
    payload TEXT NOT NULL,
    signature TEXT NOT NULL,
    key_version BIGINT NOT NULL REFERENCES license_keys (version),
    license_key TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE TABLE payment_methods (
    id TEXT PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    -- The payment provider's name for it, never a card's number.
    token TEXT NOT NULL,
    brand TEXT NOT NULL,
    last4 TEXT NOT NULL,
    exp TEXT NOT NULL,
    is_default BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX payment_methods_by_organization ON payment_methods (organization, id);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    -- HMAC-SHA256 of the key's secret, in hex.
    hash TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    last_used_ms BIGINT
);
CREATE INDEX api_keys_by_organization ON api_keys (organization, id);

-- What falls due by itself. A row is deleted in the transaction that does it.
CREATE TABLE schedule (
    organization TEXT NOT NULL REFERENCES organizations (id),
    kind TEXT NOT NULL,
    due_ms BIGINT NOT NULL,
    PRIMARY KEY (organization, kind)
);
CREATE INDEX schedule_by_due ON schedule (due_ms, organization, kind);

-- What others are told of: kept for operators, and sent where a webhook is configured.
CREATE TABLE outbox (
    id TEXT PRIMARY KEY,
    channel TEXT NOT NULL,
    type TEXT NOT NULL,
    organization TEXT NOT NULL REFERENCES organizations (id),
    created_ms BIGINT NOT NULL,
    body TEXT NOT NULL,
    -- pending, delivered or failed
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    -- By the system's clock, like every delivery: a test clock stands still.
    stored_ms BIGINT NOT NULL,
    next_attempt_ms BIGINT NOT NULL,
    last_error TEXT
);
CREATE INDEX outbox_by_attempt ON outbox (state, channel, next_attempt_ms);
CREATE INDEX outbox_by_channel ON outbox (channel, id);

-- Answers kept for a day. Keys are kept as a keyed hash, answers encrypted under the key itself,
-- since an answer may hold a secret that is shown once.
CREATE TABLE idempotency (
    id TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    -- NULL while the request is under way.
    status BIGINT,
    answer TEXT,
    created_ms BIGINT NOT NULL,
    -- By the system's clock.
    started_ms BIGINT NOT NULL
);
CREATE INDEX idempotency_by_age ON idempotency (created_ms);
