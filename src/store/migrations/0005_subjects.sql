-- The users of an operation on several: which of them are still open to it, and which it deleted.
CREATE TABLE subjects (
    operation TEXT NOT NULL REFERENCES operations (id),
    tenant TEXT NOT NULL,
    subject BIGINT NOT NULL,            -- the ZIA user's id
    email BYTEA NOT NULL,               -- keyed digest
    deleted BIGINT NOT NULL DEFAULT 0,  -- 1 once the user is known to be gone by this operation
    ended BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (operation, subject)
);

CREATE UNIQUE INDEX subjects_one_per_user ON subjects (tenant, subject) WHERE ended = 0;
CREATE INDEX subjects_email ON subjects (tenant, email) WHERE deleted = 1;
