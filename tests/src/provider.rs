//! A real OpenID Connect provider of a test's own: the certified `oidc-provider` in `tests/provider`, behaving as
//! INDIGO IAM does, on loopback ports; gone with the test.
//!
//! ```ignore
//! let installed = need!(provider::installed(), "oidc-provider", "SPECOLA_REQUIRE_PROVIDER");
//! let provider = Provider::start(&installed).await?;
//! provider.set_user("anna", json!({"groups": ["users", "users/cygno"]})).await?;
//! let client = provider.register("hub", &[callback], "openid profile email offline_access").await?;
//! // … a hub configured with provider.issuer(), client.id and client.secret …
//! let (url, page) = provider.sign_in(&mut session, "/hub/oauth_login", "anna").await?;
//! provider.switch("reuse_refresh_token", false).await?;
//! provider.set_fault("refresh", &Fault::status(503).times(2)).await?;
//! assert_eq!(provider.counters().await?.user("anna").refreshes, 1);
//! ```
//!
//! The password of everybody is their name. `settings.mjs` lists what `switch` knows, `people.mjs` what a person has,
//! `faults.mjs` the faults. In Chromium the pages are plain forms: `#name`, `#password` and `#sign-in`; `#sign` for the
//! usage policy, `#allow` and `#deny` for consent (asked after `switch("consent", "ask")`), `#sign-out`.

mod client;
mod control;
mod visitor;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

pub use client::{Claims, Client, Paths, Tokens, claims, parameter, tokens};
pub use control::{Count, Counters, Fault, Issued, Kind, Request};
pub use visitor::Visitor;

use crate::mark::Mark;
use crate::place;
use crate::session::Session;

const PATIENCE: Duration = Duration::from_secs(180);

/// Where its parts are.
pub struct Installed {
    node: PathBuf,
    libraries: PathBuf,
}

/// None when node or the libraries are missing; `tests/run` installs both.
pub fn installed() -> Option<Installed> {
    let libraries = match std::env::var_os("SPECOLA_PROVIDER") {
        Some(folder) => PathBuf::from(folder),
        None => place::target().join("tests/provider"),
    };
    let node = place::command("node").or_else(|| Some(place::target().join("tests/node/bin/node")))?;
    (node.is_file() && libraries.join("node_modules/oidc-provider").is_dir()).then_some(Installed { node, libraries })
}

pub struct Provider {
    issuer: String,
    control: Session,
    process: Child,
    folder: TempDir,
    installed: (PathBuf, PathBuf),
    _mark: Mark,
}

/// What the program says when it listens.
#[derive(Deserialize)]
struct Listening {
    issuer: String,
    control: String,
}

impl Provider {
    /// Starts it and waits until it listens. Nobody can sign in and no client is known yet.
    pub async fn start(installed: &Installed) -> Result<Provider> {
        Provider::called("127.0.0.1", installed).await
    }

    /// The same under another name of the loopback address: `localhost` is another site than 127.0.0.1 to a browser.
    pub async fn called(host: &str, installed: &Installed) -> Result<Provider> {
        let (mark, folder) = (Mark::default(), tempfile::tempdir()?);
        let mut command = Command::new(&installed.node);
        command.arg(program("main.mjs")).args([place::free_port()?, place::free_port()?].map(|port| port.to_string()));
        command.arg(host).env("SPECOLA_PROVIDER", &installed.libraries);
        // It ends when this pipe closes, which it does even when the test program is killed.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(folder.path().join("provider.log"))?);
        mark.put_on(&mut command);
        let mut process = command.spawn().context("the provider")?;
        let output = process.stdout.take().context("the provider's output")?;
        let log = folder.path().join("provider.log");
        let line = first_line(output).with_context(|| std::fs::read_to_string(log).unwrap_or_default())?;
        let listening: Listening = serde_json::from_str(&line).context(line)?;
        let installed = (installed.node.clone(), installed.libraries.clone());
        let control = Session::new(&listening.control)?;
        Ok(Provider { issuer: listening.issuer, control, process, folder, installed, _mark: mark })
    }

    /// Its origin, without a slash at the end, as an administrator would write the issuer down.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// An HTTP session with it, without cookies.
    pub fn session(&self) -> Result<Session> {
        Session::new(&self.issuer)
    }

    /// What it has complained of.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("provider.log")).unwrap_or_default()
    }

    /// What another library makes of a token, by the keys the provider publishes now: its claims, or why it is
    /// refused. `jose` does it, which takes RS256 alone.
    pub fn verify(&self, token: &str, issuer: &str, audience: Option<&str>) -> Result<Result<Claims, String>> {
        let (node, libraries) = &self.installed;
        let mut command = Command::new(node);
        command.arg(program("verify.mjs")).args([&format!("{}/jwk", self.issuer), token, issuer]).args(audience);
        let output = command.env("SPECOLA_PROVIDER", libraries).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => Ok(Ok(serde_json::from_slice(&output.stdout)?)),
            Some(3) => Ok(Err(said)),
            _ => anyhow::bail!("verify.mjs: {said}"),
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program(file: &str) -> PathBuf {
    place::package().join(Path::new("provider")).join(file)
}

/// What a program says first, if it does so in time.
fn first_line(output: std::process::ChildStdout) -> Result<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        let _ = send.send(read.map(|_| line));
    });
    let line = receive.recv_timeout(PATIENCE).context("the provider does not say where it listens")??;
    ensure!(!line.is_empty(), "the provider has ended");
    Ok(line)
}
