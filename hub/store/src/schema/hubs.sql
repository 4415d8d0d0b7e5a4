-- The hubs that use this database. `shared` has digests of what all of them have to have in common.
CREATE TABLE specola_hubs (
    id VARCHAR(255) PRIMARY KEY,
    host VARCHAR(255) NOT NULL,
    version VARCHAR(255) NOT NULL,
    shared TEXT NOT NULL,
    started_at TIMESTAMP NOT NULL,
    seen_at TIMESTAMP NOT NULL
);
