-- What happened to one operation.
CREATE INDEX audit_operation ON audit (operation, seq) WHERE operation IS NOT NULL;
