-- What operators tell people on top of pages. The one that scripts write at the address of JupyterHub's example service
-- carries a name.
CREATE TABLE specola_announcements (
    id BIGSERIAL PRIMARY KEY,
    name TEXT UNIQUE,
    text TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'problem')),
    from_at TIMESTAMP NOT NULL,
    until_at TIMESTAMP,
    pages TEXT NOT NULL,
    groups TEXT NOT NULL,
    author TEXT NOT NULL,
    changed_at TIMESTAMP NOT NULL
);
