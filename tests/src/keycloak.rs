//! A real Keycloak of a test's own, on a loopback port, with the realm of `tests/keycloak/realm.json`; gone with the
//! test. The password of everybody is their name, and so is the secret of the client `hub`. Refresh tokens rotate.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::mark::Mark;
use crate::place;
use crate::provider::{Client, Paths};
use crate::session::Session;
use crate::wait::until;

/// It is a big program, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(240);
const REALM: &str = "/realms/institute";
const DATABASE: &str = "keycloakdb.mv.db";
const PATHS: Paths = Paths {
    authorize: "/realms/institute/protocol/openid-connect/auth",
    token: "/realms/institute/protocol/openid-connect/token",
    userinfo: "/realms/institute/protocol/openid-connect/userinfo",
    introspect: "/realms/institute/protocol/openid-connect/token/introspect",
    revoke: "/realms/institute/protocol/openid-connect/revoke",
};

pub struct Keycloak {
    origin: String,
    process: Child,
    folder: TempDir,
    _mark: Mark,
}

/// Its folder, if `tests/run` has installed it.
pub fn installed() -> Option<PathBuf> {
    let home = match std::env::var_os("SPECOLA_KEYCLOAK") {
        Some(home) => PathBuf::from(home),
        None => {
            let mut entries = fs::read_dir(place::target().join("tests/keycloak")).ok()?.flatten();
            entries.find(|entry| entry.path().is_dir())?.path()
        }
    };
    home.join("data/h2").join(DATABASE).is_file().then_some(home)
}

impl Keycloak {
    /// Starts it and waits until it answers.
    pub async fn start(home: &Path) -> Result<Keycloak> {
        let (mark, folder, port) = (Mark::default(), tempfile::tempdir()?, place::free_port()?);
        fs::copy(home.join("data/h2").join(DATABASE), folder.path().join(DATABASE))?;
        let origin = format!("http://127.0.0.1:{port}");
        let log = File::create(folder.path().join("keycloak.log"))?;
        let mut command = Command::new("sh");
        command.arg(home.join("bin/kc.sh")).args(["start", "--optimized", "--http-enabled=true"]);
        command.args(["--http-host=127.0.0.1", &format!("--http-port={port}"), &format!("--hostname={origin}")]);
        let database = folder.path().join("keycloakdb");
        command.env("KC_DB_URL", format!("jdbc:h2:file:{};NON_KEYWORDS=VALUE", database.display()));
        command.env("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx512m").env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        mark.put_on(&mut command);
        let process = command.spawn().context("Keycloak")?;
        let mut keycloak = Keycloak { origin, process, folder, _mark: mark };
        keycloak.answers().await.with_context(|| keycloak.log())?;
        Ok(keycloak)
    }

    async fn answers(&mut self) -> Result<()> {
        let mut session = self.session()?;
        until("answer from Keycloak", PATIENCE, async || {
            anyhow::ensure!(self.process.try_wait()?.is_none(), "it has ended");
            Ok(Some(session.get(REALM).await?.expect(&[200])?))
        })
        .await?;
        Ok(())
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn issuer(&self) -> String {
        format!("{}{REALM}", self.origin)
    }

    pub fn session(&self) -> Result<Session> {
        Session::new(&self.origin)
    }

    /// Its client `hub`, which may have any address on 127.0.0.1.
    pub fn client(&self, redirect_uri: &str) -> Result<Client> {
        Ok(Client::new(self.session()?, PATHS, "hub", "hub", redirect_uri))
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("keycloak.log")).unwrap_or_default()
    }
}

impl Drop for Keycloak {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
