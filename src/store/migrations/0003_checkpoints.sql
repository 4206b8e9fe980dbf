-- Signed statements of how far a chain of the audit trail reached.
CREATE TABLE checkpoints (
    tenant TEXT NOT NULL,
    seq BIGINT NOT NULL,                -- the last record that it covers
    at BIGINT NOT NULL,
    hash BYTEA NOT NULL,                -- of that record
    signature BYTEA NOT NULL,           -- Ed25519, by a key from the key file
    PRIMARY KEY (tenant, seq)
);
