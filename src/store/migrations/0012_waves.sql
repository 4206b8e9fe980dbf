-- Activations, each for all writes that were applied before it was sent; one at a time in a tenant.
CREATE TABLE waves (
    tenant TEXT NOT NULL,
    number BIGINT NOT NULL,             -- from 1
    owner TEXT,                         -- the process that gathers, sends and watches it
    held_until BIGINT NOT NULL,         -- until when that process counts as at it
    closing BIGINT NOT NULL DEFAULT 0,  -- 1 while no write should begin
    operation TEXT REFERENCES operations (id),  -- in whose name it was sent; NULL before
    attempt BIGINT,                     -- which of that operation's activations
    ended BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, number)
);

CREATE UNIQUE INDEX waves_one_at_a_time ON waves (tenant) WHERE ended = 0;

-- The newest wave that covers an operation's write.
ALTER TABLE operations ADD COLUMN wave BIGINT;
