-- What is known of each tenant's users, groups and departments, to answer without asking ZIA.
CREATE TABLE index_tenants (
    number BIGINT PRIMARY KEY NOT NULL,
    tenant TEXT NOT NULL UNIQUE,
    touched_at BIGINT NOT NULL,
    users BIGINT NOT NULL DEFAULT 0,         -- rows of index_users
    seq BIGINT NOT NULL DEFAULT 0,           -- of the row written last
    change BIGINT NOT NULL DEFAULT 0,        -- number of the change noted last
    pruned BIGINT NOT NULL DEFAULT 0,        -- number of the last change that is kept no longer
    swept_at BIGINT,                         -- when the last list that was read to its end was begun
    uneven BIGINT NOT NULL DEFAULT 0,        -- 1 if users came or went while it was read
    filler TEXT,                             -- the process that fills
    filler_until BIGINT NOT NULL DEFAULT 0,  -- and how long that counts
    filling_at BIGINT,                       -- when the list being read was begun
    page BIGINT NOT NULL DEFAULT 0,          -- the page to be read next, from 1
    first BIGINT NOT NULL DEFAULT 0,         -- rows of its first page
    honest BIGINT NOT NULL DEFAULT 0,        -- length up to which a short page is the last one
    rows_read BIGINT NOT NULL DEFAULT 0,     -- so far
    twice BIGINT NOT NULL DEFAULT 0,         -- rows of it that came more than once
    hour_at BIGINT NOT NULL DEFAULT 0,       -- since when calls are counted
    hour_calls BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE index_users (
    place TEXT PRIMARY KEY NOT NULL,         -- the tenant's number, a dot, the user's id
    tenant BIGINT NOT NULL,
    id BIGINT NOT NULL,
    email BYTEA NOT NULL,                    -- beginning of the keyed digest
    mark BYTEA NOT NULL,                     -- beginning of the keyed digest of the row
    seq BIGINT NOT NULL,                     -- grows with every write
    seen_at BIGINT NOT NULL,
    sealed BYTEA NOT NULL                    -- the row, as ZIA sent it
);

CREATE INDEX index_users_email ON index_users (tenant, email);
CREATE INDEX index_users_seq ON index_users (tenant, seq);
CREATE INDEX index_users_seen ON index_users (tenant, seen_at);

CREATE TABLE index_names (
    place TEXT PRIMARY KEY NOT NULL,         -- the tenant's number, the kind, the part
    tenant BIGINT NOT NULL,
    kind BIGINT NOT NULL,                    -- 1 groups, 2 departments
    part BIGINT NOT NULL,                    -- from 0
    as_of BIGINT NOT NULL,
    complete BIGINT NOT NULL,
    sealed BYTEA NOT NULL                    -- some of the ids and names
);

CREATE INDEX index_names_kind ON index_names (tenant, kind, part);

-- What became of users, by whom: no more than ids and names of fields.
CREATE TABLE index_changes (
    tenant BIGINT NOT NULL,
    number BIGINT NOT NULL,                  -- from 1
    user_id BIGINT NOT NULL,
    kind BIGINT NOT NULL,                    -- 1 created, 2 updated, 3 deleted
    fields TEXT NOT NULL,                    -- with commas between
    ours BIGINT NOT NULL,                    -- 1 if this server did it
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, number)
);

CREATE INDEX index_changes_seen ON index_changes (tenant, seen_at);
