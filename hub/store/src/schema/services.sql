-- Which hub runs a managed service, and whether a service answered when it was last asked.
CREATE TABLE specola_services (
    service_id INTEGER PRIMARY KEY NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    held_by TEXT,
    held_until TIMESTAMP,
    answers BOOLEAN,
    detail TEXT,
    changed_at TIMESTAMP NOT NULL,
    CONSTRAINT specola_services_lease CHECK ((held_by IS NULL) = (held_until IS NULL))
);

-- Tokens that the configuration names; they go when it does not name them any more.
CREATE TABLE specola_config_tokens (
    token_id INTEGER PRIMARY KEY NOT NULL REFERENCES api_tokens (id) ON DELETE CASCADE
);
