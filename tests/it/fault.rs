//! What goes wrong around the hub: each fault ends in a clear page and a line in the log, and the hub goes on.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use tests::jupyterhub::{Ground, PASSWORD};
use tests::specola::Options;
use tests::{Body, Mark, Session, Specola, place, until};

/// Starts a lab that cannot come up, and looks at what the person and the log are told.
async fn fails(lab: &str, page_says: &[&str]) -> Result<()> {
    let options = Options::default().set("spawner", "start_timeout", "3").set("spawner", "http_timeout", "3");
    let options = options
        .set("spawner.local", "interrupt_timeout", "1")
        .set("spawner.local", "term_timeout", "1")
        .small_lab(lab)?;
    let specola = Specola::start(options).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.api(Method::POST, "/users/alice/server", Body::Empty).await?;
    alice.server_stopped("alice").await?;
    until("end of the lab", Duration::from_secs(10), async || Ok(specola.labs().is_empty().then_some(()))).await?;

    let (_, page) = alice.follow("/hub/spawn-pending/alice").await?;
    let text = page.text();
    for words in page_says {
        assert!(text.contains(words), "the page does not say {words:?}: {text}");
    }
    assert!(!text.contains("<script>alert"), "what the lab sent came through unescaped");
    let log = specola.log();
    ensure!(
        log.lines().any(|line| line.contains("alice") && (line.contains("WARN") || line.contains("ERROR"))),
        "{log}"
    );
    alice.get("/hub/home").await?.expect(&[200])?;
    Ok(())
}

#[tokio::test]
async fn a_lab_that_dies_at_start_is_explained_with_its_last_words() -> Result<()> {
    fails("dies.py", &["ended before it was ready", "the observatory has no roof"]).await
}

#[tokio::test]
async fn a_lab_that_never_listens_is_given_up() -> Result<()> {
    fails("deaf.py", &["within 3 seconds", "this lab listens to nobody"]).await
}

#[tokio::test]
async fn a_lab_that_never_answers_is_given_up() -> Result<()> {
    fails("silent.py", &["within 3 seconds", "this lab answers nobody"]).await
}

#[tokio::test]
async fn a_lab_that_answers_garbage_is_given_up() -> Result<()> {
    fails("garbage.py", &["within 3 seconds", "this lab talks nonsense"]).await
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_named() -> Result<()> {
    let specola = Specola::start(Options::default().set("spawner", "cmd", "[\"/no/such/program\"]")).await?;
    let mut alice = specola.logged_in("alice").await?;
    alice.api(Method::POST, "/users/alice/server", Body::Empty).await?;
    alice.server_stopped("alice").await?;
    let (_, page) = alice.follow("/hub/spawn-pending/alice").await?;
    assert!(page.text().contains("/no/such/program"), "{}", page.text());
    Ok(())
}

/// Holds the only writing right of an SQLite database until dropped.
struct Lock {
    holder: std::process::Child,
}

impl Lock {
    fn hold(database: &Path) -> Result<Lock> {
        const HOLD: &str = "import sqlite3, sys\n\
            connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)\n\
            connection.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()\n";
        let mut command = Command::new(place::plain_python()?);
        command.args(["-c", HOLD]).arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().context("its output")?).read_line(&mut line)?;
        ensure!(line == "held\n", "the database was not locked: {line:?}");
        Ok(Lock { holder })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[tokio::test]
async fn a_locked_database_gives_a_clear_answer_and_is_used_again_when_free() -> Result<()> {
    let specola = Specola::start(Options::default().small_lab("quick.py")?).await?;
    let mut alice = specola.logged_in("alice").await?;
    let lock = Lock::hold(&specola.ground.folder.join("jupyterhub.sqlite"))?;
    let answer = alice.api(Method::POST, "/users/alice/server", Body::Empty).await?.expect(&[503])?;
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    assert!(answer.json()?["message"].as_str().is_some_and(|text| text.contains("database")), "{}", answer.text());
    // Reading goes on all the time.
    alice.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?;
    let log = specola.log();
    assert!(log.contains("locked") || log.contains("busy"), "{log}");
    drop(lock);
    alice.start_server("alice").await
}

/// A small file system of its own, gone with the test. Needs root.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn mount(folder: &Path) -> Result<SmallDisk> {
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(folder).status()?;
        ensure!(status.success(), "mount: {status}");
        Ok(SmallDisk { folder: folder.to_owned() })
    }

    /// Writes a file as large as what is left.
    fn fill(&self) -> Result<PathBuf> {
        let path = self.folder.join("filler");
        let mut file = fs::File::create(&path)?;
        // First in large pieces, then in single bytes, until not one more fits.
        for piece in [vec![0; 65536], vec![0; 1]] {
            while file.write_all(&piece).is_ok() {}
        }
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

#[tokio::test]
async fn a_full_disk_gives_a_clear_answer_and_the_hub_lives_on() -> Result<()> {
    if !place::is_root() {
        eprintln!("SKIPPED: needs root to mount a small disk");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let disk = SmallDisk::mount(folder.path())?;
    let mut specola =
        Specola::on(Ground::new(folder.path())?, Options::default().small_lab("quick.py")?, Mark::default());
    specola.run().await?;
    let mut alice = specola.logged_in("alice").await?;
    let filler = disk.fill()?;
    let mut refused = false;
    // SQLite has some room in its files still, so the first writes may go through.
    for number in 0..200 {
        let answer = alice.new_token("alice").await;
        if let Err(error) = answer {
            let text = format!("{error:#}");
            assert!(text.contains("507") || text.contains("503"), "at token {number}: {text}");
            assert!(text.contains("disk") || text.contains("space"), "{text}");
            refused = true;
            break;
        }
    }
    assert!(refused, "the disk was not full");
    alice.api(Method::GET, "/user", Body::Empty).await?.expect(&[200])?;
    fs::remove_file(filler)?;
    alice.new_token("alice").await?;
    alice.start_server("alice").await?;
    alice.stop_server("alice").await?;
    Ok(())
}

#[tokio::test]
async fn hostile_requests_are_refused_and_harm_nobody() -> Result<()> {
    let specola = Specola::start(Options::default()).await?;
    let mut session = specola.session()?;
    let long = format!("/hub/{}", "a".repeat(5000));
    let paths =
        ["/hub/api/users/%00", "/hub/api/users/%ff%fe", "/hub/user/..%2f..%2fetc", "/hub/%", "/hub/api/users/a%2Fb"];
    for path in paths.into_iter().chain([long.as_str()]) {
        let answer = session.get(path).await?;
        assert!(answer.status.as_u16() < 500, "{path}: {}", answer.status);
    }
    let mut alice: Session = specola.logged_in("alice").await?;
    for body in ["[]", "{\"note\": 5}", "{\"expires_in\": -1}", "{\"scopes\": {}}", "{\"scopes\": [\"nonsense\"]}"] {
        let body = Body::Json(serde_json::from_str(body)?);
        alice.api(Method::POST, "/users/alice/tokens", body).await?.expect(&[400])?;
    }
    let name = "x".repeat(100_000);
    let answer = session.log_in(&name, PASSWORD).await?;
    assert!((400..500).contains(&answer.status.as_u16()), "{}", answer.status);
    assert!(specola.log().lines().all(|line| line.len() < 5000), "the name is in the log at full length");
    session.get("/hub/api").await?.expect(&[200])?;
    Ok(())
}
