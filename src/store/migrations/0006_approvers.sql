-- Those who may approve out of band.
CREATE TABLE approvers (
    name TEXT PRIMARY KEY NOT NULL,     -- keyed digest, in hex
    enrolled_at BIGINT NOT NULL,
    sealed BYTEA NOT NULL,              -- name and secret
    last_step BIGINT NOT NULL DEFAULT 0,    -- the newest time step whose code was accepted
    failures BIGINT NOT NULL DEFAULT 0,     -- wrong codes in a row
    locked_until BIGINT
);

-- What a person said no to a moment ago.
CREATE INDEX operations_declined ON operations (tenant, updated_at) WHERE state = 'declined';
