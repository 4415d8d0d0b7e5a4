-- What is to be told once a server has stopped. A row goes when it was told, or when it was tried often enough.
CREATE TABLE specola_after_stop (
    id BIGSERIAL PRIMARY KEY,
    spawner_id INTEGER NOT NULL,
    generation BIGINT NOT NULL CHECK (generation >= 0),
    question TEXT NOT NULL,
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    due_at TIMESTAMP NOT NULL,
    CONSTRAINT specola_after_stop_once UNIQUE (spawner_id, generation)
);
CREATE INDEX specola_after_stop_due_at ON specola_after_stop (due_at);
