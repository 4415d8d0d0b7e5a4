//! A PostgreSQL cluster of a test's own, on a loopback port, gone with the test.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::mark::send;
use crate::place;
use crate::wait::came_true;

pub struct Postgres {
    /// None while it is stopped.
    server: Option<Child>,
    port: u16,
    programs: PathBuf,
    folder: TempDir,
}

/// The folder of Debian's newest PostgreSQL programs.
pub fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|folder| folder.join("initdb").exists()).max()
}

impl Postgres {
    pub fn start(programs: &Path) -> Result<Postgres> {
        let folder = tempfile::tempdir()?;
        own(&folder)?;
        let mut postgres = Postgres { server: None, port: place::free_port()?, programs: programs.to_owned(), folder };
        let made = postgres
            .program("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(postgres.folder.path().join("data"))
            .output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        postgres.run()?;
        Ok(postgres)
    }

    /// A server at a port of its own that follows this one, and takes nothing but its word until it is promoted. From now on
    /// nothing counts as written here that is not there too.
    pub fn standby(&self) -> Result<Postgres> {
        let folder = tempfile::tempdir()?;
        own(&folder)?;
        let mut standby = Postgres { server: None, port: place::free_port()?, programs: self.programs.clone(), folder };
        let mut copy = self.program("pg_basebackup");
        copy.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            "postgres",
            "-c",
            "fast",
            "-X",
            "stream",
            "-R",
        ]);
        let made = copy.args(["--no-sync", "-D"]).arg(standby.folder.path().join("data")).output()?;
        ensure!(made.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&made.stderr));
        standby.run()?;
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")?;
        self.sql("SELECT pg_reload_conf()")?;
        let follows = || {
            self.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
                .is_ok_and(|count| count == "1")
        };
        ensure!(came_true(Duration::from_secs(30), follows), "the standby does not follow");
        Ok(standby)
    }

    /// A standby becomes the server.
    pub fn promote(&self) -> Result<()> {
        ensure!(self.sql("SELECT pg_promote()")? == "t", "it is not promoted");
        Ok(())
    }

    /// Its port of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, for the first time or again, and waits until it answers.
    pub fn run(&mut self) -> Result<()> {
        let port = self.port.to_string();
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.folder.path().join("data"));
        command.args(["-h", "127.0.0.1", "-p", &port, "-F", "-k"]).arg(self.folder.path());
        command.args(["-c", "max_connections=200"]);
        self.server = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("postgres")?);
        let ready = || {
            let mut check = self.program("pg_isready");
            check.args(["-h", "127.0.0.1", "-p", &port]).stdout(Stdio::null()).stderr(Stdio::null());
            check.status().is_ok_and(|status| status.success())
        };
        ensure!(came_true(Duration::from_secs(30), ready), "postgres does not answer");
        Ok(())
    }

    /// Dies as if the machine had: no session is told, nothing is written that was not (`immediate`).
    pub fn kill(&mut self) {
        self.end(Signal::SIGQUIT);
    }

    /// Runs SQL as its owner, and gives what is printed: rows in lines, columns with `|` between.
    pub fn sql(&self, text: &str) -> Result<String> {
        let mut command = self.program("psql");
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            "postgres",
            "-qtAX",
            "-v",
            "ON_ERROR_STOP=1",
        ]);
        let done = command.args(["-c", text, "postgres"]).output()?;
        ensure!(done.status.success(), "{text}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    /// As JupyterHub is told it: with the driver it has.
    pub fn url(&self) -> String {
        format!("postgresql+psycopg2://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        if !place::is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program).current_dir("/");
        command
    }

    fn end(&mut self, how: Signal) {
        let Some(mut server) = self.server.take() else { return };
        send(server.id().cast_signed(), how);
        if !came_true(Duration::from_secs(10), || matches!(server.try_wait(), Ok(Some(_)))) {
            let _ = server.kill();
        }
        let _ = server.wait();
    }
}

/// It refuses to run as root.
fn own(folder: &TempDir) -> Result<()> {
    if place::is_root() {
        let user = nix::unistd::User::from_name("postgres")?.context("no system user postgres")?;
        chown(folder.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    Ok(())
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // "Fast": ends sessions and stops.
        self.end(Signal::SIGINT);
    }
}
