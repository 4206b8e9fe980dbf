-- The processes that carry operations out, and until when each counts as alive. An operation names
-- its process in lease_owner and changes hands with its epoch.
CREATE TABLE workers (
    name TEXT PRIMARY KEY NOT NULL,
    lease_until BIGINT NOT NULL
);

ALTER TABLE operations DROP COLUMN lease_until;
