-- For the culler. A turn keeps several hubs on one database from doing periodic work twice.
CREATE TABLE specola_turns (
    name TEXT PRIMARY KEY NOT NULL,
    next_at TIMESTAMP NOT NULL
);

-- Servers to be deleted once they have stopped, unless they were started again.
CREATE TABLE specola_culled (
    spawner_id INTEGER PRIMARY KEY NOT NULL REFERENCES spawners (id) ON DELETE CASCADE,
    generation BIGINT NOT NULL CHECK (generation >= 0)
);

-- Only users who are away are looked at.
CREATE INDEX specola_users_created ON users (created);
