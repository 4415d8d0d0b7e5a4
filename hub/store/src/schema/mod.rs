//! The tables: looks what a database holds, judges whether it may be used, and brings it to the present version.
//!
//! JupyterHub's tables are made when there are none, and never altered.

use crate::database::Tx;
use crate::error::{OpenError, Result, StoreError};
use crate::migration;
use crate::row::Row;
use crate::value::params;
use std::borrow::Cow;

/// JupyterHub 6.1's alembic head.
pub(crate) const ALEMBIC_HEAD: &str = "f460b0348206";

/// Revisions from before those that `migration` knows.
const OLDER_REVISIONS: [&str; 12] = [
    "19c0846f6344",
    "1cebaf56856c",
    "3ec6993fe20c",
    "4dc2d5a8c53c",
    "56cc5a70207e",
    "651f5419b74d",
    "833da8570507",
    "896818069c98",
    "99a28a4418e1",
    "af4cbdb2d13c",
    "d68c98b66cd4",
    "eeb276e51423",
];

const JUPYTERHUB: &str = include_str!("jupyterhub.sql");

/// What brings Specola's tables from one version to the next.
struct Step {
    sql: &'static str,
    /// Takes away or changes what hubs of versions before use, which must not run on it any more.
    contracts: bool,
}

impl Step {
    /// Only adds: hubs of versions before neither see nor mind it.
    const fn expands(sql: &'static str) -> Self {
        Self { sql, contracts: false }
    }
}

/// What brings Specola's tables from version n to n + 1. Only ever appended to. How hubs of two versions share a database:
/// docs/decisions/0012.
const STEPS: [Step; 21] = [
    Step::expands(include_str!("specola.sql")),
    Step::expands(include_str!("audit.sql")),
    Step::expands(include_str!("scale.sql")),
    Step::expands(include_str!("census.sql")),
    Step::expands(include_str!("sharing.sql")),
    Step::expands(include_str!("cull.sql")),
    Step::expands(include_str!("after_stop.sql")),
    Step::expands(include_str!("services.sql")),
    Step::expands(include_str!("announcement.sql")),
    Step::expands(include_str!("identity.sql")),
    Step::expands(include_str!("upstream.sql")),
    Step::expands(include_str!("admin.sql")),
    Step::expands(include_str!("reservation.sql")),
    Step::expands(include_str!("device.sql")),
    Step::expands(include_str!("trash.sql")),
    Step::expands(include_str!("volume.sql")),
    Step::expands(include_str!("memory.sql")),
    Step::expands(include_str!("hubs.sql")),
    Step::expands(include_str!("together.sql")),
    Step::expands(include_str!("sites.sql")),
    Step::expands(include_str!("keys.sql")),
];

/// The lowest version that may use a database on which these steps were done.
fn needed(steps: &[Step]) -> i64 {
    (1i64..).zip(steps).filter(|(_, step)| step.contracts).map(|(version, _)| version).last().unwrap_or(1)
}

/// Tables that only JupyterHub's schema has under these names together.
pub(crate) const JUPYTERHUB_TABLES: [&str; 16] = [
    "users",
    "groups",
    "roles",
    "user_role_map",
    "group_role_map",
    "service_role_map",
    "user_group_map",
    "services",
    "servers",
    "spawners",
    "api_tokens",
    "oauth_clients",
    "oauth_codes",
    "shares",
    "share_codes",
    "alembic_version",
];

/// What a database holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) tables: Vec<String>,
    pub(crate) alembic: Option<String>,
    pub(crate) specola: Option<i64>,
    /// The lowest version that may still use it, where a hub has noted that.
    pub(crate) needs: Option<i64>,
}

impl Survey {
    /// The version of Specola's tables, where it is newer than those that this hub knows.
    pub(crate) fn newer(&self) -> Option<i64> {
        self.specola.filter(|found| *found > STEPS.len() as i64)
    }

    /// Whether there is a table of this name.
    pub(crate) fn has(&self, table: &str) -> bool {
        self.tables.iter().any(|name| name == table)
    }
}

/// What is missing in a database that may be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    jupyterhub: bool,
    /// The version of Specola's tables, 0 for none.
    specola: i64,
}

/// Decides whether a database may be used.
pub(crate) fn judge(survey: &Survey) -> Result<Missing, OpenError> {
    let has = |table: &str| survey.has(table);
    let known = STEPS.len() as i64;
    let specola = survey.specola.unwrap_or(0);
    // Every newer hub notes which ones may stay.
    if specola > known && survey.needs.is_none_or(|needs| needs > known) {
        return Err(OpenError::NewerSpecola { found: specola, known });
    }
    match survey.alembic.as_deref() {
        Some(ALEMBIC_HEAD) => Ok(Missing { jupyterhub: !has("users"), specola }),
        Some(found) if !migration::from_revision(found).is_empty() => {
            Err(OpenError::OlderSchema { found: found.to_owned(), expected: ALEMBIC_HEAD })
        }
        Some(found) if OLDER_REVISIONS.contains(&found) => Err(OpenError::AncientSchema { found: found.to_owned() }),
        Some(found) => Err(OpenError::UnknownSchema { found: found.to_owned(), expected: ALEMBIC_HEAD }),
        None if JUPYTERHUB_TABLES.iter().any(|table| has(table)) => Err(OpenError::NoVersion),
        None => Ok(Missing { jupyterhub: true, specola }),
    }
}

/// Looks what a database holds.
pub(crate) async fn survey(tx: &mut Tx) -> Result<Survey> {
    let tables = match tx {
        Tx::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Tx::Postgres(_) => "SELECT CAST(tablename AS text) AS name FROM pg_tables WHERE schemaname = current_schema()",
    };
    let rows = tx.rows(tables, params![]).await?;
    let tables = rows.iter().map(|row| row.get("name")).collect::<Result<Vec<String>>>()?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    let text = |row: Row| row.get::<String>("version_num");
    let alembic = match has("alembic_version") {
        true => tx.row("SELECT version_num FROM alembic_version", params![]).await?.map(text).transpose()?,
        false => None,
    };
    let (mut specola, mut needs) = (None, None);
    if has("specola_meta") {
        specola = number(tx, "schema_version").await?;
        needs = number(tx, "schema_needs").await?;
    }
    Ok(Survey { specola, needs, alembic, tables })
}

/// A fact of `specola_meta` that is a number.
async fn number(tx: &mut Tx, name: &str) -> Result<Option<i64>> {
    let row = tx.row("SELECT value FROM specola_meta WHERE name = $1", params![name]).await?;
    let text: Option<String> = row.map(|row| row.get("value")).transpose()?;
    let unreadable = |_| StoreError::Corrupt(format!("specola_meta holds no readable {name}"));
    text.map(|text| text.parse().map_err(unreadable)).transpose()
}

async fn write_number(tx: &mut Tx, name: &str, number: i64) -> Result<()> {
    let sql = "INSERT INTO specola_meta (name, value) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.execute(sql, params![name, number.to_string()]).await.map(drop)
}

/// Creates what is missing. All or nothing: both databases roll back definitions too.
pub(crate) async fn complete(tx: &mut Tx, missing: &Missing) -> Result<()> {
    if missing.jupyterhub {
        tx.script(dialect(tx, JUPYTERHUB)).await?;
        let stamp = "INSERT INTO alembic_version (version_num) VALUES ($1) ON CONFLICT DO NOTHING";
        tx.execute(stamp, params![ALEMBIC_HEAD]).await?;
    }
    for (version, step) in (1i64..).zip(&STEPS).filter(|(version, _)| *version > missing.specola) {
        tx.script(dialect(tx, step.sql)).await?;
        write_number(tx, "schema_version", version).await?;
    }
    // A newer hub knows better.
    if missing.specola <= STEPS.len() as i64 {
        write_number(tx, "schema_needs", needed(&STEPS)).await?;
    }
    Ok(())
}

/// The columns of JupyterHub's tables, as pairs of table and column, in their order.
pub(crate) fn columns() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut table = "";
    JUPYTERHUB.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix("CREATE TABLE ") {
            table = name.trim_end_matches(" (");
        }
        let name = line.strip_prefix("    ")?.split(' ').next()?;
        (name != "CONSTRAINT").then_some((table, name.trim_matches('"')))
    })
}

/// Creates one of JupyterHub's tables, with its indexes.
pub(crate) async fn create_table(tx: &mut Tx, table: &str) -> Result<()> {
    let heads = [format!("CREATE TABLE {table} ("), format!("CREATE INDEX ix_{table}_")];
    let statements = JUPYTERHUB.split_inclusive(";\n").map(str::trim_start);
    let wanted: Vec<_> = statements.filter(|text| heads.iter().any(|head| text.starts_with(head))).collect();
    for statement in wanted {
        tx.script(dialect(tx, statement)).await?;
    }
    Ok(())
}

/// Definitions are written for PostgreSQL; SQLite has its own words for a few types, those SQLAlchemy uses there.
fn dialect(tx: &Tx, text: &'static str) -> Cow<'static, str> {
    match tx {
        Tx::Postgres(_) => without(text, "sqlite"),
        Tx::Sqlite(_) => without(text, "postgresql")
            .replace("BIGSERIAL PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT")
            .replace("SERIAL NOT NULL", "INTEGER NOT NULL")
            .replace("TIMESTAMP WITHOUT TIME ZONE", "DATETIME")
            .replace("TIMESTAMP", "DATETIME")
            .replace("BYTEA", "BLOB")
            .into(),
    }
}

/// Leaves out what stands between `-- only OTHER` and the next such line or `-- both`: triggers have no common words.
fn without(text: &'static str, other: &str) -> Cow<'static, str> {
    if !text.contains("-- only ") {
        return text.into();
    }
    let mut kept = String::with_capacity(text.len());
    let mut keep = true;
    for line in text.lines() {
        match line.strip_prefix("-- only ") {
            Some(database) => keep = database != other,
            None if line == "-- both" => keep = true,
            None if keep => kept.extend([line, "\n"]),
            None => {}
        }
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_reads_its_own_part_of_a_step() {
        let text = "a\n-- only sqlite\nb\n-- only postgresql\nc\n-- both\nd\n";
        assert_eq!(without(text, "postgresql"), "a\nb\nd\n");
        assert_eq!(without(text, "sqlite"), "a\nc\nd\n");
    }

    fn holds(tables: &[&str], alembic: Option<&str>, specola: Option<i64>) -> Survey {
        let tables = tables.iter().map(|table| table.to_string()).collect();
        Survey { tables, alembic: alembic.map(str::to_owned), specola, needs: None }
    }

    #[test]
    fn a_hub_stays_until_a_step_takes_away_what_it_uses() {
        let newer = |needs| Survey { needs, ..holds(&["alembic_version", "users"], Some(ALEMBIC_HEAD), Some(99)) };
        let known = STEPS.len() as i64;
        for needs in [1, known] {
            let survey = newer(Some(needs));
            assert_eq!(judge(&survey).unwrap(), Missing { jupyterhub: false, specola: 99 });
            assert_eq!(survey.newer(), Some(99));
        }
        for needs in [Some(known + 1), Some(99), None] {
            assert!(matches!(judge(&newer(needs)), Err(OpenError::NewerSpecola { found: 99, .. })), "{needs:?}");
        }
        let (expands, contracts) = (|| Step::expands(""), || Step { sql: "", contracts: true });
        assert_eq!(needed(&[expands(), expands()]), 1);
        assert_eq!(needed(&[expands(), contracts(), expands()]), 2);
        assert_eq!(needed(&[contracts(), expands(), contracts(), expands()]), 3);
    }

    #[test]
    fn an_empty_or_a_present_database_is_used() {
        let new = judge(&holds(&[], None, None)).unwrap();
        assert_eq!(new, Missing { jupyterhub: true, specola: 0 });
        let stamped_only = judge(&holds(&["alembic_version"], Some(ALEMBIC_HEAD), None)).unwrap();
        assert_eq!(stamped_only, Missing { jupyterhub: true, specola: 0 });
        let jupyterhub = judge(&holds(&["alembic_version", "users"], Some(ALEMBIC_HEAD), None)).unwrap();
        assert_eq!(jupyterhub, Missing { jupyterhub: false, specola: 0 });
        let ours = judge(&holds(&["alembic_version", "users", "specola_meta"], Some(ALEMBIC_HEAD), Some(1))).unwrap();
        assert_eq!(ours, Missing { jupyterhub: false, specola: 1 });
    }

    #[test]
    fn every_refusal_has_a_reason_of_its_own() {
        let users = ["alembic_version", "users"];
        for revision in ["0eee8c825d24", "4621fec11365", "afd65840b69e"] {
            assert!(matches!(judge(&holds(&users, Some(revision), None)), Err(OpenError::OlderSchema { .. })));
        }
        assert!(matches!(judge(&holds(&users, Some("651f5419b74d"), None)), Err(OpenError::AncientSchema { .. })));
        assert!(matches!(judge(&holds(&users, Some("ffffffffffff"), None)), Err(OpenError::UnknownSchema { .. })));
        assert!(matches!(judge(&holds(&["users"], None, None)), Err(OpenError::NoVersion)));
        assert!(matches!(judge(&holds(&users, None, None)), Err(OpenError::NoVersion)));
        assert!(matches!(judge(&holds(&users, Some(ALEMBIC_HEAD), Some(99))), Err(OpenError::NewerSpecola { .. })));
    }
}
