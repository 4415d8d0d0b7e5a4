//! The notebook software: what is on PATH, or a Python virtual environment of our own.
//!
//! A virtual environment counts only with a mark that is written last. One without it was interrupted, and is made anew.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::libc;
use tokio::process::Command;

use crate::config::Config;

const COMMAND: &str = "jupyterhub-singleuser";
const LAB: &str = "jupyter-lab";
/// What is installed: the releases this version was tested with.
const PACKAGES: [&str; 2] = ["jupyterhub>=6.1,<7", "jupyterlab>=4.4,<5"];
const MARK: &str = ".specola-complete";
const NO_PYTHON: &str = "Python 3 is needed to install JupyterLab. On Debian: apt install python3 python3-venv";
const NO_VENV: &str = "Python's venv module is needed to install JupyterLab. On Debian: apt install python3-venv";
/// Of what pip says when it fails, the last lines tell why.
const TAIL: usize = 12;
/// To tell a version; a broken installation may hang.
const VERSION_PATIENCE: Duration = Duration::from_secs(30);

/// Where the notebook software is.
#[derive(Debug, PartialEq, Eq)]
pub struct Software {
    /// The full path of `jupyterhub-singleuser`.
    pub command: PathBuf,
}

impl Software {
    /// Takes what is on PATH if it works, else installs into the folder.
    pub async fn find_or_install(folder: &Path) -> Result<Self> {
        if let Some(found) = Self::on_path(&std::env::var_os("PATH").unwrap_or_default()) {
            match found.version().await {
                Some(version) => {
                    println!("Using {} {version}", found.command.display());
                    return Ok(found);
                }
                None => println!("{} is there but does not run; installing another", found.command.display()),
            }
        }
        let own = Self::of_folder(folder);
        own.repair(folder).await?;
        Ok(own)
    }

    /// What the configuration names.
    pub fn named_by(config: &Config, folder: &Path) -> Self {
        let command = config.spawner.cmd.first().map(PathBuf::from);
        command.map_or_else(|| Self::of_folder(folder), |command| Self { command })
    }

    /// Installs what is missing, when it is ours. Costs nothing when all is there: two looks at the file system.
    pub async fn repair(&self, folder: &Path) -> Result<()> {
        let environment = folder.join("venv");
        let is_whole = environment.join(MARK).exists() && self.command.exists();
        if *self != Self::of_folder(folder) || is_whole {
            return Ok(());
        }
        install(&environment).await
    }

    fn of_folder(folder: &Path) -> Self {
        Self { command: folder.join("venv/bin").join(COMMAND) }
    }

    /// Both programs have to be in the same folder: a server finds its lab beside itself.
    fn on_path(path: &std::ffi::OsStr) -> Option<Self> {
        let folder = std::env::split_paths(path)
            .find(|folder| folder.is_absolute() && folder.join(COMMAND).is_file() && folder.join(LAB).is_file())?;
        Some(Self { command: folder.join(COMMAND) })
    }

    async fn version(&self) -> Option<String> {
        let mut command = Command::new(&self.command);
        let asked = command.arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(VERSION_PATIENCE, asked).await.ok()?.ok()?;
        let version = String::from_utf8(output.stdout).ok()?.trim().lines().last()?.to_owned();
        let numbered = version.starts_with(|c: char| c.is_ascii_digit()) && version.len() < 40;
        (output.status.success() && numbered).then_some(version)
    }
}

async fn install(environment: &Path) -> Result<()> {
    if environment.exists() {
        println!("Removing the unfinished Python environment in {}", environment.display());
        std::fs::remove_dir_all(environment).with_context(|| format!("cannot remove {}", environment.display()))?;
    }
    let shown = environment.display().to_string();
    check_python().await?;
    phase(&format!("Making a Python environment in {shown}"), run("python3", &["-m", "venv", &shown])).await?;
    let python = environment.join("bin/python").display().to_string();
    let mut arguments = vec!["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"];
    arguments.extend(PACKAGES);
    phase("Installing JupyterLab and JupyterHub's notebook server (a minute or two)", run(&python, &arguments)).await?;
    std::fs::write(environment.join(MARK), format!("{}\n", PACKAGES.join("\n")))
        .context("cannot finish the environment")
}

async fn check_python() -> Result<()> {
    let mut command = Command::new("python3");
    command.args(["-c", "import venv, ensurepip"]).stdin(Stdio::null()).kill_on_drop(true);
    match command.output().await {
        Ok(output) if output.status.success() => Ok(()),
        Ok(_) => Err(anyhow!(NO_VENV)),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(anyhow!(NO_PYTHON)),
        Err(error) => Err(error).context("cannot run python3"),
    }
}

/// One line a phase: what begins, and how long it took.
async fn phase(what: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
    let begun = Instant::now();
    println!("{what} …");
    work.await?;
    println!("  done in {} s", begun.elapsed().as_secs().max(1));
    Ok(())
}

/// Runs a program to its end; its last words are the error.
async fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = std::process::Command::new(program);
    // An environment of the caller's own would redirect what is installed here.
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .env_remove("PIP_USER");
    // SAFETY: prctl is async-signal-safe. A pip that outlived us would go on writing into what the next start removes.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let output = Command::from(command).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("cannot run {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    if said.contains("ensurepip is not available") {
        return Err(anyhow!(NO_VENV));
    }
    Err(anyhow!("{program} {} failed:\n{}", arguments.first().unwrap_or(&""), tail(&said)))
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(path: &Path, script: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn both_programs_have_to_be_in_one_folder_of_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let (half, whole) = (folder.path().join("half"), folder.path().join("whole"));
        program(&half.join(COMMAND), "");
        program(&whole.join(COMMAND), "");
        program(&whole.join(LAB), "");
        let path = std::env::join_paths([&half, &whole]).unwrap();
        assert_eq!(Software::on_path(&path), Some(Software { command: whole.join(COMMAND) }));
        assert_eq!(Software::on_path(half.as_os_str()), None);
    }

    #[tokio::test]
    async fn what_does_not_run_has_no_version() {
        let folder = tempfile::tempdir().unwrap();
        let software = Software { command: folder.path().join(COMMAND) };
        assert_eq!(software.version().await, None);
        for (script, version) in [("echo 6.1.1", Some("6.1.1")), ("echo 6.1.1; exit 1", None), ("echo oh", None)] {
            program(&software.command, script);
            assert_eq!(software.version().await.as_deref(), version, "{script}");
        }
    }

    #[tokio::test]
    async fn what_is_whole_or_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = Software { command: "/no/such/program".into() };
        foreign.repair(folder.path()).await.unwrap();
        assert!(!folder.path().join("venv").exists());
        let own = Software::of_folder(folder.path());
        program(&own.command, "");
        std::fs::write(folder.path().join("venv").join(MARK), "").unwrap();
        own.repair(folder.path()).await.unwrap();
        assert!(own.command.exists());
    }

    #[tokio::test]
    async fn the_end_of_what_a_program_says_is_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pip");
        program(&path, "seq 1 100; echo 'no matching distribution' >&2; exit 1");
        let error = run(path.to_str().unwrap(), &["install"]).await.unwrap_err().to_string();
        assert!(error.ends_with("100\nno matching distribution") && !error.contains("\n80\n"), "{error}");
    }
}
