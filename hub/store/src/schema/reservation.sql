-- What servers take of quotas: of their person's, with nothing in charged_to, and of groups'. A row counts while its
-- server runs, starts, stops or is wanted, so that nothing has to release it and nothing can forget to.
CREATE TABLE specola_reservations (
    spawner_id INTEGER NOT NULL REFERENCES spawners (id) ON DELETE CASCADE,
    charged_to TEXT NOT NULL,
    cpu BIGINT NOT NULL CHECK (cpu >= 0),
    memory BIGINT NOT NULL CHECK (memory >= 0),
    gpu BIGINT NOT NULL CHECK (gpu >= 0),
    PRIMARY KEY (spawner_id, charged_to)
);
CREATE INDEX specola_reservations_charged_to ON specola_reservations (charged_to);
