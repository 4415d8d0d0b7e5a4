-- What operators say of the sites of the configuration. A site without a row takes starts.
CREATE TABLE specola_sites (
    name VARCHAR(64) PRIMARY KEY,
    revision BIGINT NOT NULL,
    drained BOOLEAN NOT NULL,
    lost BOOLEAN NOT NULL,
    begins_at TIMESTAMP,
    ends_at TIMESTAMP,
    text TEXT NOT NULL,
    stops_servers BOOLEAN NOT NULL,
    author TEXT NOT NULL,
    changed_at TIMESTAMP NOT NULL,
    CONSTRAINT specola_sites_window CHECK ((begins_at IS NULL) = (ends_at IS NULL))
);
