-- Volumes of containers that are one person's alone, noted when a server is given them: they go into the trash with the
-- person, whatever has become of the server and of the configuration by then.
CREATE TABLE specola_volumes (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    volume TEXT NOT NULL,
    PRIMARY KEY (user_id, volume)
);

-- Whose it was, by number: somebody who is there still was not deleted after all. Absent for what was put there before.
ALTER TABLE specola_trash ADD COLUMN user_id INTEGER;
