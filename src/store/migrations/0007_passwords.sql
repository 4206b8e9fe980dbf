-- First passwords of new users, each for one person to see once. A row stays, emptied, once it was
-- shown or its time is over; it goes where the user was not created.
CREATE TABLE passwords (
    operation TEXT PRIMARY KEY NOT NULL REFERENCES operations (id),
    sealed BYTEA NOT NULL,
    ready_at BIGINT,                    -- set once the create is verified: nobody sees it before
    expires_at BIGINT NOT NULL,
    taken_at BIGINT                     -- set once, by the one view
);
