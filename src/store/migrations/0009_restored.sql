-- A user who was just restored may be named by both the operation that made them and one that
-- follows, like one who was just created.
DROP INDEX operations_one_per_user;
CREATE UNIQUE INDEX operations_one_per_user ON operations (tenant, subject)
    WHERE ended = 0 AND state <> 'not_active' AND action <> 'provision_user' AND action <> 'restore_user'
        AND subject IS NOT NULL;
