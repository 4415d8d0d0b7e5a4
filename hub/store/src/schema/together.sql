-- What several hubs on one database have to know of each other.

-- Whoever holds a lease that ran out is told so before another hub takes it: held_until is then how long they have to come
-- back, by the clock of a database that was away perhaps for as long as they were.
ALTER TABLE specola_upstream ADD COLUMN noticed BOOLEAN NOT NULL DEFAULT FALSE;

-- Access tokens for an audience or a scope, encrypted. `want` is a hash of the wish.
CREATE TABLE specola_upstream_others (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    want TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    got_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    PRIMARY KEY (user_id, want)
);
CREATE INDEX specola_upstream_others_expires_at ON specola_upstream_others (expires_at);

-- Who wanted the server deleted, in the hub's own form; absent where the culler did.
ALTER TABLE specola_culled ADD COLUMN asked_by TEXT;

-- What labs tell of themselves, of their present run.
CREATE TABLE specola_labs (
    spawner_id INTEGER PRIMARY KEY NOT NULL REFERENCES spawners (id) ON DELETE CASCADE,
    generation BIGINT NOT NULL CHECK (generation >= 0),
    told_at TIMESTAMP NOT NULL,
    status TEXT NOT NULL
);
