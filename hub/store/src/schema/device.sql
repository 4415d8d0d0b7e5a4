-- Which GPU, or slice of one, a server has. A row counts while its server runs, starts, stops or is wanted.
CREATE TABLE specola_devices (
    device TEXT PRIMARY KEY NOT NULL,
    resource TEXT NOT NULL,
    spawner_id INTEGER NOT NULL REFERENCES spawners (id) ON DELETE CASCADE,
    generation BIGINT NOT NULL CHECK (generation >= 0),
    since TIMESTAMP NOT NULL
);
CREATE INDEX specola_devices_spawner_id ON specola_devices (spawner_id);

-- Who waits for some, in the order of the ids. A row counts while its server is wanted and not up.
CREATE TABLE specola_device_queue (
    id BIGSERIAL PRIMARY KEY,
    spawner_id INTEGER NOT NULL REFERENCES spawners (id) ON DELETE CASCADE,
    resource TEXT NOT NULL,
    number BIGINT NOT NULL CHECK (number > 0),
    since TIMESTAMP NOT NULL,
    UNIQUE (spawner_id, resource)
);

-- How often devices of a kind were given back, and after how many seconds altogether; older ones count less and less.
CREATE TABLE specola_device_uses (
    resource TEXT PRIMARY KEY NOT NULL,
    uses BIGINT NOT NULL CHECK (uses > 0),
    seconds BIGINT NOT NULL CHECK (seconds >= 0)
);

INSERT INTO specola_counters (name, value) VALUES ('devices', 0);
