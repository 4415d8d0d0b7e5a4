-- The audit is only ever appended to. What is older than the mark in specola_meta may go; nothing else, and nothing changes.
CREATE INDEX specola_audit_actor ON specola_audit (actor, id);
CREATE INDEX specola_audit_object ON specola_audit (object, id);
CREATE INDEX specola_audit_action ON specola_audit (action, id);

-- only sqlite
CREATE TRIGGER specola_audit_update BEFORE UPDATE ON specola_audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is only appended to');
END;
CREATE TRIGGER specola_audit_delete BEFORE DELETE ON specola_audit
WHEN OLD.at >= COALESCE((SELECT value FROM specola_meta WHERE name = 'audit_kept_since'), '')
BEGIN
    SELECT RAISE(ABORT, 'the audit is only appended to');
END;
-- only postgresql
CREATE FUNCTION specola_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $refuse$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.at < (SELECT CAST(value AS timestamp) FROM specola_meta WHERE name = 'audit_kept_since') THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit is only appended to';
END
$refuse$;
CREATE TRIGGER specola_audit_rows BEFORE UPDATE OR DELETE ON specola_audit
    FOR EACH ROW EXECUTE FUNCTION specola_audit_refuse();
CREATE TRIGGER specola_audit_truncate BEFORE TRUNCATE ON specola_audit
    FOR EACH STATEMENT EXECUTE FUNCTION specola_audit_refuse();
-- both
