-- Volumes of people who were deleted. Until they are removed or restored, no server has them.
CREATE TABLE specola_trash (
    volume TEXT PRIMARY KEY,
    entry TEXT NOT NULL,
    user_name TEXT NOT NULL,
    deleted_at TIMESTAMP NOT NULL,
    remove_at TIMESTAMP
);
