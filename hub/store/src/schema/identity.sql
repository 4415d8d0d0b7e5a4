-- Who people are at identity providers, by the provider's own number of them; and who was refused after having been let in.
CREATE TABLE specola_identities (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    provider TEXT NOT NULL,
    seen_at TIMESTAMP NOT NULL,
    PRIMARY KEY (user_id, issuer)
);
CREATE TABLE specola_refusals (
    user_id INTEGER PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    since TIMESTAMP NOT NULL,
    reason TEXT NOT NULL
);
