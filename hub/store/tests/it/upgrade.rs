//! Databases of JupyterHub 4 and 5: upgraded as the real JupyterHub 6.1 upgrades them, backed up, looked at, put back.

use crate::harness::{at, impatient, options};
use crate::open::outside;
use hub_store::{Backup, Candidate, OpenError, Store, StoreError};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const OLD: [&str; 2] = ["SPECOLA_JUPYTERHUB4_PYTHON", "SPECOLA_JUPYTERHUB5_PYTHON"];

/// Runs a part of `older.py` on some databases. `None`, with a line that says so, where there is no such JupyterHub.
fn python<const N: usize>(interpreter: &str, part: &str, urls: [&str; N]) -> Option<[Value; N]> {
    let Some(python) = std::env::var_os(interpreter) else {
        eprintln!("skipped: {interpreter} names no Python");
        return None;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/older.py");
    let output = Command::new(python).args([script, part]).args(urls).output().expect("Python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{part} of {interpreter} failed: {errors}");
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    Some(answers.try_into().expect("an answer for each"))
}

fn assert_same(left: &Value, right: &Value, what: &str) {
    let (left, right) = (left.as_object().unwrap(), right.as_object().unwrap());
    assert!(left.keys().eq(right.keys()), "{what}: {:?} {:?}", left.keys(), right.keys());
    for (table, content) in left {
        assert_eq!(content, &right[table], "{what}: {table}");
    }
}

/// A kind of database: where a new one is, and a copy of one.
struct Kind {
    directory: TempDir,
    postgres: bool,
}

impl Kind {
    fn new(postgres: bool) -> Kind {
        Kind { directory: TempDir::new().unwrap(), postgres }
    }

    fn file(&self, name: &str) -> String {
        format!("sqlite:///{}", self.directory.path().join(name).display())
    }

    fn empty(&self, name: &str) -> Option<String> {
        if self.postgres { crate::postgres::new_database() } else { Some(self.file(name)) }
    }

    fn copy(&self, url: &str, name: &str) -> String {
        if self.postgres {
            let name =
                url.split_once("@/").and_then(|(_, rest)| rest.split('?').next()).expect("a URL of new_database");
            return crate::postgres::made_of(name).expect("PostgreSQL is there");
        }
        let copy = self.file(name);
        std::fs::copy(&url["sqlite:///".len()..], &copy["sqlite:///".len()..]).unwrap();
        copy
    }
}

async fn becomes_what_jupyterhub_makes_of_it(kind: Kind) {
    for (number, old) in OLD.into_iter().enumerate() {
        let Some(ours) = kind.empty(&format!("ours{number}.sqlite")) else { return };
        if python(old, "fill", [&ours]).is_none() {
            continue;
        }
        let theirs = kind.copy(&ours, &format!("theirs{number}.sqlite"));
        let before = kind.copy(&ours, &format!("before{number}.sqlite"));
        if python("SPECOLA_JUPYTERHUB_PYTHON", "upgrade", [&theirs]).is_none() {
            return;
        }
        let upgraded = Store::upgrade(&ours, &options()).await.unwrap().expect("an upgrade");
        assert_eq!(Store::upgrade(&ours, &options()).await.unwrap(), None, "nothing to do any more");
        let after = kind.copy(&ours, &format!("after{number}.sqlite"));
        let store = Store::open(&ours, options()).await.unwrap();
        assert_eq!(store.tokens_by_prefix("toke", at(0)).await.unwrap().len(), 2);
        store.close().await;
        Store::restore(&ours, &upgraded.backup.to_string(), &options()).await.unwrap();

        let all = python("SPECOLA_JUPYTERHUB_PYTHON", "content", [&before, &after, &theirs, &ours]);
        let [before, after, theirs, restored] = all.unwrap();
        assert_same(&after, &theirs, old);
        assert_same(&before, &restored, &format!("{old}: put back from {}", upgraded.backup));
        assert_ne!(before, after);
        assert_eq!(after.as_object().unwrap().len(), 16);
        if let Backup::File(path) = &upgraded.backup {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

#[tokio::test]
async fn an_older_sqlite_database_becomes_what_jupyterhub_makes_of_it_and_can_be_put_back() {
    becomes_what_jupyterhub_makes_of_it(Kind::new(false)).await;
}

#[tokio::test]
async fn an_older_postgresql_database_becomes_what_jupyterhub_makes_of_it_and_can_be_put_back() {
    becomes_what_jupyterhub_makes_of_it(Kind::new(true)).await;
}

#[tokio::test]
async fn a_look_counts_everything_and_leaves_no_trace() {
    let kind = Kind::new(false);
    for (old, release) in OLD.into_iter().zip(["JupyterHub 4", "JupyterHub 5"]) {
        let url = kind.file(&format!("{old}.sqlite"));
        if python(old, "fill", [&url]).is_none() {
            continue;
        }
        let path = Path::new(&url["sqlite:///".len()..]);
        let before = std::fs::read(path).unwrap();
        let mut look = Candidate::open(&url, &options()).await.unwrap();
        assert_eq!((look.schema().1, look.is_older(), look.knows_specola()), (release, true, false));
        assert_eq!(look.faults().await.unwrap(), Vec::<String>::new());
        let inventory = look.inventory(at(0)).await.unwrap();
        let shares = i64::from(release == "JupyterHub 5");
        assert_eq!(inventory.users, ["ann", "bob"]);
        assert_eq!((inventory.admins, inventory.memberships, inventory.tokens, inventory.oauth_tokens), (1, 2, 2, 0));
        assert_eq!((inventory.shares, inventory.share_codes, inventory.stopped), (shares, shares.min(0), 1));
        assert_eq!(inventory.running[0].state, serde_json::json!({"pid": 9}));
        assert!(inventory.running[0].tls, "with internal_ssl");
        assert_eq!(inventory.named, [("ann".to_owned(), "lab".to_owned())]);
        assert_eq!(look.auth_states().await.unwrap(), [("ann".to_owned(), b"\x00secret\xff".to_vec())]);
        look.close().await;
        assert!(std::fs::read(path).unwrap() == before, "the file was changed");
        assert_eq!(std::fs::read_dir(kind.directory.path()).unwrap().count(), 1);
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn a_look_finds_missing_columns_and_rows_that_refer_to_nothing() {
    let kind = Kind::new(false);
    let url = kind.file("hub.sqlite");
    Store::open(&url, options()).await.unwrap().close().await;
    outside(
        &url,
        "PRAGMA foreign_keys = OFF; ALTER TABLE spawners DROP COLUMN display_name;
         INSERT INTO spawners (id, user_id, name) VALUES (1, 99, '')",
    )
    .await;
    let mut look = Candidate::open(&url, &options()).await.unwrap();
    let faults = look.faults().await.unwrap();
    assert_eq!(
        faults,
        ["the column spawners.display_name is missing", "1 rows of spawners refer to rows that are gone"]
    );
    look.close().await;
}

#[tokio::test]
async fn what_cannot_be_upgraded_is_left_as_it_is() {
    let kind = Kind::new(false);
    let url = kind.file("hub.sqlite");
    let missing = Candidate::open(&url, &options()).await.err();
    assert!(matches!(missing, Some(OpenError::Nothing(_))), "{missing:?}");
    let ancient = "CREATE TABLE alembic_version (version_num VARCHAR(32)); CREATE TABLE users (id INTEGER);
                   INSERT INTO alembic_version VALUES ('651f5419b74d')";
    outside(&url, ancient).await;
    let refused = Store::upgrade(&url, &options()).await.err();
    assert!(matches!(refused, Some(OpenError::AncientSchema { .. })), "{refused:?}");
    // Of the right revision, and not what it says: the upgrade fails in its midst, and leaves no half of it.
    outside(&url, "UPDATE alembic_version SET version_num = '4621fec11365'; CREATE TABLE services (id INTEGER)").await;
    let broken = Store::upgrade(&url, &options()).await.err();
    assert!(matches!(broken, Some(OpenError::Store(_))), "{broken:?}");
    let unchanged = "INSERT INTO services (id) VALUES (1); ALTER TABLE services ADD COLUMN timeout INTEGER";
    outside(&url, unchanged).await;
}

#[tokio::test]
async fn a_file_that_somebody_writes_to_is_not_upgraded() {
    use sqlx::{Connection, Executor};
    let kind = Kind::new(false);
    let url = kind.file("hub.sqlite");
    Store::open(&url, options()).await.unwrap().close().await;
    outside(&url, "UPDATE alembic_version SET version_num = 'ff1860e38070'").await;
    let connect = sqlx::sqlite::SqliteConnectOptions::new().filename(&url["sqlite:///".len()..]);
    let mut other = sqlx::SqliteConnection::connect_with(&connect).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let refused = Store::upgrade(&url, &impatient()).await.err();
    assert!(matches!(refused, Some(OpenError::Store(StoreError::Busy(_)))), "{refused:?}");
    other.execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn what_a_killed_program_left_half_written_is_rolled_back_at_the_first_look() {
    use sqlx::{Connection, Executor};
    let kind = Kind::new(false);
    let url = kind.file("hub.sqlite");
    Store::open(&url, options()).await.unwrap().close().await;
    let connect = sqlx::sqlite::SqliteConnectOptions::new().filename(&url["sqlite:///".len()..]);
    let mut other = sqlx::SqliteConnection::connect_with(&connect).await.unwrap();
    // As JupyterHub writes: with a journal, here with so little memory that the file is written before the end.
    other.execute("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN IMMEDIATE").await.unwrap();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                INSERT INTO groups (name) SELECT 'group ' || i FROM n";
    other.execute(many).await.unwrap();
    for name in ["looked", "opened"] {
        for suffix in ["", "-journal"] {
            let from = kind.directory.path().join(format!("hub.sqlite{suffix}"));
            std::fs::copy(from, kind.directory.path().join(format!("{name}{suffix}"))).unwrap();
        }
    }
    other.execute("ROLLBACK").await.unwrap();
    let half = std::fs::read(kind.directory.path().join("looked")).unwrap();
    assert!(half.windows(10).any(|bytes| bytes == b"group 1000"), "the file was written to");

    let mut look = Candidate::open(&kind.file("looked"), &options()).await.unwrap();
    assert_eq!(look.faults().await.unwrap(), Vec::<String>::new());
    assert_eq!(look.inventory(at(0)).await.unwrap().groups, Vec::<String>::new());
    look.close().await;
    Store::open(&kind.file("opened"), options()).await.unwrap().close().await;
}
