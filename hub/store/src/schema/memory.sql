-- When the memory of a server was full, in its present run, and a process of it was ended; with its limit in bytes.
ALTER TABLE specola_servers ADD COLUMN memory_full_at TIMESTAMP;
ALTER TABLE specola_servers ADD COLUMN memory_full_limit BIGINT;
