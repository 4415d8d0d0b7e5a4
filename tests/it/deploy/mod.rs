//! What is deployed: images, compose, units, the TOSCA template. All on a real engine, with nothing from a registry of
//! images: bases are made of Debian's packages.

mod compose;
mod helm;
mod images;
mod infn;
mod systemd;
mod together;
mod tosca;
mod units;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tests::place;

/// A file of the repository.
fn file(path: &str) -> PathBuf {
    place::package().parent().unwrap_or(Path::new("/")).join(path)
}

/// Runs a command to its end and gives what it printed; an end that is no success is an error with all it said.
fn run(command: &mut Command) -> Result<String> {
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    ensure!(done.status.success(), "{command:?}: {} {} {}", done.status, text(&done.stdout), text(&done.stderr));
    Ok(text(&done.stdout))
}

/// Runs `docker` with arguments.
fn docker(arguments: &[&str]) -> Result<String> {
    run(Command::new("docker").args(arguments))
}

/// The image that others are built on, where there is an engine.
fn base() -> Option<String> {
    std::env::var("SPECOLA_DOCKER_IMAGE").ok().filter(|name| !name.is_empty())
}

/// The image `lab` that `tests/prepare.sh` built with `images/build`.
fn lab() -> Option<String> {
    tests::docker::built_lab()
}

/// Builds an image of this repository on the base.
fn build(image: &str, more: &[&str]) -> Result<String> {
    let mut command = Command::new(file("images/build"));
    command.arg(image).args(["--name", "specola-test"]).args(more);
    if let Some(base) = base() {
        command.args(["--base", &base]);
    }
    // Where packages come from over TLS, this machine may trust more than an image does.
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    if Path::new(bundle).exists() {
        command.args(["--ca", bundle]);
    }
    run(&mut command)
}

/// The image `lab-hub` with the binary under test.
fn hub() -> Result<String> {
    let agent = tests::docker::static_agent().context("the image lab, with the agent")?;
    let agent_file = agent.display().to_string();
    build("lab-hub", &["--binary", &place::binary()?.display().to_string(), "--agent", &agent_file])
}
