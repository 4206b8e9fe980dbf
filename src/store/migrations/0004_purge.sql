-- A purged capture keeps its row; key, body and address are empty then.

ALTER TABLE captures ADD COLUMN purged_at BIGINT;

CREATE INDEX captures_kept ON captures (taken_at) WHERE purged_at IS NULL;
CREATE INDEX captures_address ON captures (email) WHERE purged_at IS NULL;
