-- When an identity provider is to be asked about somebody anew, which hub does so at the moment, and what went wrong the
-- last time. The tokens themselves are encrypted in users.encrypted_auth_state.
CREATE TABLE specola_upstream (
    user_id INTEGER PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    due_at TIMESTAMP,
    checked_at TIMESTAMP,
    held_by TEXT,
    held_until TIMESTAMP,
    failure TEXT,
    failed_at TIMESTAMP,
    failures INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT specola_upstream_held CHECK ((held_by IS NULL) = (held_until IS NULL)),
    CONSTRAINT specola_upstream_failed CHECK ((failure IS NULL) = (failed_at IS NULL))
);
CREATE INDEX specola_upstream_due ON specola_upstream (due_at);
