-- How many servers can be used is asked with every reading of the metrics; the others do not count.
CREATE INDEX specola_servers_ready ON specola_servers (phase) WHERE phase = 'ready';
