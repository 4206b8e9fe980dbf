-- Times are microseconds since 1970 in UTC. BYTEA columns hold ciphertext or keyed digests.
-- Only what both SQLite and PostgreSQL understand.

CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value BYTEA NOT NULL
);

CREATE TABLE operations (
    id TEXT PRIMARY KEY NOT NULL,
    ordinal BIGINT NOT NULL,            -- order of creation
    tenant TEXT NOT NULL,
    action TEXT NOT NULL,
    caller BYTEA NOT NULL,              -- keyed digest
    arguments BYTEA NOT NULL,           -- keyed digest
    email BYTEA,                        -- keyed digest
    subject BIGINT,                     -- the ZIA user's id
    state TEXT NOT NULL,
    ended BIGINT NOT NULL,              -- 1 when nothing more will happen
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    sealed BYTEA NOT NULL,              -- arguments' digest, actor and details
    lease_owner TEXT,                   -- who carries it out
    lease_until BIGINT,
    epoch BIGINT NOT NULL DEFAULT 0     -- grows with every claim
);

CREATE INDEX operations_ordinal ON operations (ordinal);
CREATE INDEX operations_open ON operations (tenant, ordinal) WHERE ended = 0;
CREATE INDEX operations_arguments ON operations (tenant, arguments);
CREATE INDEX operations_subject ON operations (tenant, subject);
CREATE INDEX operations_email ON operations (tenant, email);

-- One open change of a user at a time. A user who was just created may be named by both the
-- operation that made them and one that follows.
CREATE UNIQUE INDEX operations_one_per_user ON operations (tenant, subject)
    WHERE ended = 0 AND state <> 'not_active' AND action <> 'provision_user' AND subject IS NOT NULL;

CREATE TABLE approvals (
    operation TEXT PRIMARY KEY NOT NULL REFERENCES operations (id),
    sealed BYTEA NOT NULL,              -- who, how, and the digest of what they saw
    approved_at BIGINT NOT NULL,
    used_at BIGINT                      -- set once, by the first send
);

CREATE TABLE sends (
    operation TEXT NOT NULL REFERENCES operations (id),
    kind TEXT NOT NULL,                 -- the write
    subject BIGINT NOT NULL,            -- the user it is about, 0 if none
    attempt BIGINT NOT NULL,            -- from 1
    begun_at BIGINT NOT NULL,
    ended_at BIGINT,
    outcome TEXT,                       -- NULL: open, so unknown
    code TEXT,                          -- ZIA's code
    PRIMARY KEY (operation, kind, subject, attempt)
);

CREATE TABLE captures (
    id TEXT PRIMARY KEY NOT NULL,
    ordinal BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    operation TEXT NOT NULL REFERENCES operations (id),
    user_id BIGINT NOT NULL,
    email BYTEA NOT NULL,               -- keyed digest
    taken_at BIGINT NOT NULL,
    size BIGINT NOT NULL,               -- of the raw object, in bytes
    data_key BYTEA NOT NULL,            -- sealed, with the digest of the raw object
    body BYTEA NOT NULL
);

CREATE INDEX captures_ordinal ON captures (ordinal);
CREATE INDEX captures_operation ON captures (operation);
CREATE INDEX captures_email ON captures (tenant, email);

CREATE TABLE nonces (
    nonce BYTEA PRIMARY KEY NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX nonces_expires_at ON nonces (expires_at);

CREATE TABLE audit (
    tenant TEXT NOT NULL,
    seq BIGINT NOT NULL,                -- from 1, without gaps
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    operation TEXT,
    actor BYTEA,                        -- keyed digest of the caller
    body TEXT NOT NULL,                 -- the whole record, canonical JSON
    prev_hash BYTEA NOT NULL,
    hash BYTEA NOT NULL,                -- SHA-256 of prev_hash and body
    PRIMARY KEY (tenant, seq)
);
