-- Every request asks what is shared with its caller, and a server that is deleted takes its shares and codes along.
-- Indexes of ours on JupyterHub's tables; it neither sees nor minds them.
CREATE INDEX specola_shares_user ON shares (user_id);
CREATE INDEX specola_shares_group ON shares (group_id);
CREATE INDEX specola_shares_spawner ON shares (spawner_id);
CREATE INDEX specola_share_codes_spawner ON share_codes (spawner_id);
