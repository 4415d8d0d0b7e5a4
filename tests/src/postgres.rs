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
    server: Child,
    port: u16,
    _folder: TempDir,
}

/// The folder of Debian's newest PostgreSQL programs.
pub fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|folder| folder.join("initdb").exists()).max()
}

impl Postgres {
    pub fn start(programs: &Path) -> Result<Postgres> {
        let folder = tempfile::tempdir()?;
        if place::is_root() {
            // It refuses to run as root.
            let user = nix::unistd::User::from_name("postgres")?.context("no system user postgres")?;
            chown(folder.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let data = folder.path().join("data");
        let made = Postgres::program(programs, "initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(&data)
            .output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = place::free_port()?;
        let mut command = Postgres::program(programs, "postgres");
        command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-F", "-k"]).arg(folder.path());
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("postgres")?;
        let postgres = Postgres { server, port, _folder: folder };
        let ready = || {
            let mut check = Postgres::program(programs, "pg_isready");
            check.args(["-h", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
            check.status().is_ok_and(|status| status.success())
        };
        ensure!(came_true(Duration::from_secs(30), ready), "postgres does not answer");
        Ok(postgres)
    }

    /// As JupyterHub is told it: with the driver it has.
    pub fn url(&self) -> String {
        format!("postgresql+psycopg2://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn program(programs: &Path, name: &str) -> Command {
        let program = programs.join(name);
        if !place::is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program).current_dir("/");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // "Fast": ends sessions and stops.
        send(self.server.id().cast_signed(), Signal::SIGINT);
        if !came_true(Duration::from_secs(10), || matches!(self.server.try_wait(), Ok(Some(_)))) {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
    }
}
