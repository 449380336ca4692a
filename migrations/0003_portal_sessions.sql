-- Who is signed in to the pages: short-lived, opened by a link. Only hashes are kept.
CREATE TABLE portal_sessions (
    id TEXT PRIMARY KEY,
    -- NULL: a session of the operator, which reaches every organization.
    organization TEXT REFERENCES organizations (id),
    -- admin, viewer or operator
    role TEXT NOT NULL,
    -- The API key that opened it, which it does not outlive; NULL: the operator opened it.
    api_key TEXT,
    -- HMAC-SHA256 of the session's secret, in hex.
    hash TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX portal_sessions_by_organization ON portal_sessions (organization, id);
CREATE INDEX portal_sessions_by_expiry ON portal_sessions (expires_ms);
