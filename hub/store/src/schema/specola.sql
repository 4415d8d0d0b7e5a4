-- Specola's own tables, version 1. JupyterHub ignores them.
CREATE TABLE specola_meta (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);

-- Monotonic counters; a row of it is also the lock of what it counts.
CREATE TABLE specola_counters (
    name TEXT PRIMARY KEY NOT NULL,
    value BIGINT NOT NULL CHECK (value >= 0)
);
INSERT INTO specola_counters (name, value) VALUES ('starts', 0), ('routes', 0), ('routes_floor', 0);

-- What should be and what is true of a server: one row for one row of spawners.
CREATE TABLE specola_servers (
    spawner_id INTEGER PRIMARY KEY NOT NULL REFERENCES spawners (id) ON DELETE CASCADE,
    desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped')),
    phase TEXT NOT NULL CHECK (phase IN ('stopped', 'starting', 'waiting', 'routing', 'ready', 'stopping')),
    generation BIGINT NOT NULL CHECK (generation >= 0),
    due_at TIMESTAMP,
    deadline_at TIMESTAMP,
    held_by TEXT,
    held_until TIMESTAMP,
    failure TEXT,
    driver TEXT,
    plan TEXT,
    url TEXT,
    token_id INTEGER REFERENCES api_tokens (id) ON DELETE SET NULL,
    changed_at TIMESTAMP NOT NULL,
    CONSTRAINT specola_servers_lease CHECK ((held_by IS NULL) = (held_until IS NULL)),
    CONSTRAINT specola_servers_failure CHECK (failure IS NULL OR desired = 'stopped'),
    CONSTRAINT specola_servers_address CHECK (url IS NOT NULL OR phase NOT IN ('waiting', 'routing', 'ready')),
    CONSTRAINT specola_servers_rest CHECK (phase <> 'stopped' OR (url IS NULL AND deadline_at IS NULL AND token_id IS NULL))
);
CREATE INDEX specola_servers_due_at ON specola_servers (due_at);
CREATE INDEX specola_servers_held_until ON specola_servers (held_until);

CREATE TABLE specola_events (
    id BIGSERIAL PRIMARY KEY,
    spawner_id INTEGER NOT NULL REFERENCES spawners (id) ON DELETE CASCADE,
    generation BIGINT NOT NULL CHECK (generation >= 0),
    at TIMESTAMP NOT NULL,
    progress INTEGER NOT NULL CHECK (progress BETWEEN 0 AND 100),
    phase TEXT NOT NULL CHECK (phase IN ('stopped', 'starting', 'waiting', 'routing', 'ready', 'stopping')),
    message TEXT NOT NULL,
    detail TEXT
);
CREATE INDEX specola_events_spawner_id ON specola_events (spawner_id, generation, id);
CREATE INDEX specola_events_at ON specola_events (at);

-- A deleted route stays as a tombstone until every proxy has seen it go.
CREATE TABLE specola_routes (
    prefix TEXT PRIMARY KEY NOT NULL,
    target TEXT NOT NULL,
    data TEXT NOT NULL,
    revision BIGINT NOT NULL UNIQUE CHECK (revision > 0),
    deleted BOOLEAN NOT NULL
);

CREATE TABLE specola_proxies (
    id TEXT PRIMARY KEY NOT NULL,
    revision BIGINT NOT NULL CHECK (revision >= 0),
    seen_at TIMESTAMP NOT NULL
);

CREATE TABLE specola_passwords (
    user_id INTEGER PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    must_change BOOLEAN NOT NULL,
    changed_at TIMESTAMP NOT NULL
);

CREATE TABLE specola_invites (
    hashed TEXT PRIMARY KEY NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at TIMESTAMP NOT NULL,
    used_at TIMESTAMP
);

CREATE TABLE specola_login_failures (
    key TEXT PRIMARY KEY NOT NULL,
    failures INTEGER NOT NULL CHECK (failures > 0),
    first_at TIMESTAMP NOT NULL,
    blocked_until TIMESTAMP
);

CREATE TABLE specola_sessions (
    session_id TEXT PRIMARY KEY NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at TIMESTAMP NOT NULL,
    last_seen_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    revoked_at TIMESTAMP,
    address TEXT,
    agent TEXT
);
CREATE INDEX specola_sessions_user_id ON specola_sessions (user_id);

CREATE TABLE specola_audit (
    id BIGSERIAL PRIMARY KEY,
    at TIMESTAMP NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT
);
CREATE INDEX specola_audit_at ON specola_audit (at);

-- JupyterHub reads whole relations into memory and needs none of these; a page of users does.
CREATE INDEX specola_spawners_user_id ON spawners (user_id);
CREATE INDEX specola_user_group_map_group_id ON user_group_map (group_id);
CREATE INDEX specola_api_tokens_user_id ON api_tokens (user_id);
CREATE INDEX specola_api_tokens_client_id ON api_tokens (client_id);
CREATE INDEX specola_oauth_codes_code ON oauth_codes (code);
