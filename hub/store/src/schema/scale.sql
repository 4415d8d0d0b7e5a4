-- What lists of 100,000 users are read by. Indexes of ours on JupyterHub's tables; it neither sees nor minds them.
CREATE INDEX specola_spawners_running ON spawners (user_id) WHERE server_id IS NOT NULL;
CREATE INDEX specola_servers_active ON specola_servers (spawner_id) WHERE phase <> 'stopped' OR desired = 'running';
-- only sqlite
-- The rows of the table are wide: counting them, and skipping to a later page, is quicker along the ids alone.
CREATE INDEX specola_users_id ON users (id);
CREATE INDEX specola_users_last_activity ON users (last_activity, id);
-- only postgresql
CREATE INDEX specola_users_last_activity ON users (last_activity NULLS FIRST, id);
-- both
