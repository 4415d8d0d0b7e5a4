-- What a deleted address, OAuth client or token is looked for by in the rows that refer to it: without an index each start and
-- stop of a server reads all servers there are. Two are on JupyterHub's tables; it neither sees nor minds them.
CREATE INDEX specola_spawners_server_id ON spawners (server_id) WHERE server_id IS NOT NULL;
CREATE INDEX specola_spawners_oauth_client_id ON spawners (oauth_client_id) WHERE oauth_client_id IS NOT NULL;
CREATE INDEX specola_servers_token_id ON specola_servers (token_id) WHERE token_id IS NOT NULL;
-- Who starts at the moment, which every start counts.
CREATE INDEX specola_servers_starting ON specola_servers (phase, spawner_id)
    WHERE desired = 'running' AND phase NOT IN ('ready', 'stopping');
