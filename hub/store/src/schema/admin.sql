-- What the admin panel lists and draws. Indexes of ours on JupyterHub's tables; it neither sees nor minds them.
CREATE INDEX specola_servers_failed ON specola_servers (spawner_id) WHERE failure IS NOT NULL;
CREATE INDEX specola_users_admin ON users (id) WHERE admin;
-- only sqlite
CREATE INDEX specola_users_made ON users (created, id);
-- only postgresql
CREATE INDEX specola_users_made ON users (created NULLS FIRST, id);
CREATE INDEX specola_users_name ON users (name NULLS FIRST, id);
-- both
-- How much ran at an instant, in seconds since 1970. A group that is too small to be told apart is among the others;
-- nobody's group is none. An instant at which nothing ran has one row too, so that it differs from one not looked at.
CREATE TABLE specola_usage (
    at BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('group', 'none', 'others')),
    name TEXT NOT NULL,
    servers BIGINT NOT NULL CHECK (servers >= 0),
    millicores BIGINT NOT NULL CHECK (millicores >= 0),
    memory BIGINT NOT NULL CHECK (memory >= 0),
    gpus BIGINT NOT NULL CHECK (gpus >= 0),
    CONSTRAINT specola_usage_once PRIMARY KEY (at, kind, name)
);
