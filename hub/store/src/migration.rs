//! JupyterHub's own migrations from the schemas of 4 and 5 to that of 6.1, as data: what each adds.
//!
//! Older ones rebuild tables and throw tokens away; those are left to JupyterHub (`jupyterhub upgrade-db`).
//! Source: `jupyterhub/alembic/versions`. A test compares the result with what the real JupyterHub makes.

use crate::schema::{self, ALEMBIC_HEAD};

/// One revision of JupyterHub's schema made of the one before.
pub(crate) struct Migration {
    pub from: &'static str,
    pub to: &'static str,
    pub columns: &'static [Column],
    /// What the new columns are filled with in rows that are there.
    pub fill: Option<&'static str>,
}

/// A column that a migration adds, in PostgreSQL's words.
pub(crate) struct Column {
    pub table: &'static str,
    pub name: &'static str,
    kind: &'static str,
}

const fn column(table: &'static str, name: &'static str, kind: &'static str) -> Column {
    Column { table, name, kind }
}

const MANAGED: &str = "BOOLEAN DEFAULT false NOT NULL";

/// In the order of their revisions: each begins where the one before ends.
pub(crate) const MIGRATIONS: [Migration; 6] = [
    Migration {
        // JupyterHub 3 and 4.
        from: "0eee8c825d24",
        to: "3c2384c5aae1",
        columns: &[
            column("services", "from_config", "BOOLEAN"),
            column("services", "url", "VARCHAR(2047)"),
            column("services", "oauth_client_allowed_scopes", "TEXT"),
            column("services", "info", "TEXT"),
            column("services", "display", "BOOLEAN"),
            column("services", "oauth_no_confirm", "BOOLEAN"),
            column("services", "command", "TEXT"),
            column("services", "cwd", "VARCHAR(2047)"),
            column("services", "environment", "TEXT"),
            column("services", "user", "VARCHAR(255)"),
        ],
        fill: Some("UPDATE services SET from_config = true"),
    },
    Migration {
        from: "3c2384c5aae1",
        to: "4621fec11365",
        columns: &[
            column("group_role_map", "managed_by_auth", MANAGED),
            column("roles", "managed_by_auth", MANAGED),
            column("service_role_map", "managed_by_auth", MANAGED),
            column("user_role_map", "managed_by_auth", MANAGED),
        ],
        fill: None,
    },
    Migration {
        // JupyterHub 5.
        from: "4621fec11365",
        to: "be8ecf03ddac",
        columns: &[column("services", "timeout", "INTEGER DEFAULT '30' NOT NULL")],
        fill: None,
    },
    Migration {
        from: "be8ecf03ddac",
        to: "afd65840b69e",
        columns: &[
            column("oauth_codes", "code_challenge", "VARCHAR(255)"),
            column("oauth_codes", "code_challenge_method", "VARCHAR(64)"),
        ],
        fill: None,
    },
    Migration {
        from: "afd65840b69e",
        to: "ff1860e38070",
        columns: &[column("users", "user_info", "TEXT")],
        fill: None,
    },
    Migration {
        from: "ff1860e38070",
        to: ALEMBIC_HEAD,
        columns: &[column("spawners", "display_name", "VARCHAR(255)")],
        fill: None,
    },
];

/// Tables that JupyterHub 5 and 6 make at their start where they are missing.
pub(crate) const LATER_TABLES: [&str; 2] = ["shares", "share_codes"];

impl Column {
    /// The statement that adds it. SQLAlchemy writes a false default as 0 for SQLite.
    pub(crate) fn add(&self, sqlite: bool) -> String {
        let kind = if sqlite { self.kind.replace("false", "0") } else { self.kind.to_owned() };
        format!("ALTER TABLE {} ADD COLUMN {} {kind}", self.table, quoted(self.name))
    }

    /// The statement that takes it away.
    pub(crate) fn drop(&self) -> String {
        format!("ALTER TABLE {} DROP COLUMN {}", self.table, quoted(self.name))
    }
}

/// The name as SQL writes it: `user` means something else to PostgreSQL.
pub(crate) fn quoted(name: &str) -> String {
    if name == "user" { format!("\"{name}\"") } else { name.to_owned() }
}

/// The migrations from a revision to the head; none of a revision that is not on the way.
pub(crate) fn from_revision(revision: &str) -> &'static [Migration] {
    let first = MIGRATIONS.iter().position(|migration| migration.from == revision);
    first.and_then(|first| MIGRATIONS.get(first..)).unwrap_or_default()
}

/// Whether a column of the present schema is there at a revision.
fn is_there(revision: &str, table: &str, name: &str) -> bool {
    let later = from_revision(revision);
    let added = later.iter().flat_map(|migration| migration.columns);
    let made_later = later.iter().any(|migration| migration.to == "4621fec11365") && LATER_TABLES.contains(&table);
    !made_later && !added.into_iter().any(|column| column.table == table && column.name == name)
}

/// The columns of JupyterHub's tables at a revision, as pairs of table and column.
pub(crate) fn columns_at(revision: &str) -> Vec<(&'static str, &'static str)> {
    schema::columns().filter(|(table, name)| is_there(revision, table, name)).collect()
}

/// The newest JupyterHub whose schema this is, for people.
pub(crate) fn release(revision: &str) -> &'static str {
    match revision {
        ALEMBIC_HEAD => "JupyterHub 6.1",
        "0eee8c825d24" => "JupyterHub 4",
        "3c2384c5aae1" | "4621fec11365" => "JupyterHub 5",
        _ if from_revision(revision).is_empty() => "JupyterHub 3 or older",
        _ => "a JupyterHub between 5 and 6.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_a_chain_to_the_head() {
        let ends: Vec<&str> = MIGRATIONS.iter().map(|migration| migration.to).collect();
        let begins: Vec<&str> = MIGRATIONS.iter().map(|migration| migration.from).collect();
        assert_eq!(ends[..5], begins[1..]);
        assert_eq!(ends[5], ALEMBIC_HEAD);
        assert_eq!(from_revision("0eee8c825d24").len(), 6);
        assert_eq!(from_revision(ALEMBIC_HEAD).len(), 0);
    }

    #[test]
    fn every_column_added_is_one_of_the_present_schema() {
        let present: Vec<_> = schema::columns().collect();
        for column in MIGRATIONS.iter().flat_map(|migration| migration.columns) {
            assert!(present.contains(&(column.table, column.name)), "{}.{}", column.table, column.name);
        }
        assert_eq!(columns_at(ALEMBIC_HEAD).len(), present.len());
        assert!(!columns_at("ff1860e38070").contains(&("spawners", "display_name")));
        assert!(columns_at("4621fec11365").contains(&("shares", "owner_id")));
        assert!(!columns_at("0eee8c825d24").contains(&("shares", "owner_id")));
    }
}
