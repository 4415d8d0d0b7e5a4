//! `specola quickstart`: from nothing to a running hub, and again in no time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tests::{Kernel, Mark, Session, need, place, until};

/// What the admin chooses in place of the one-time password.
const OWN: &str = "a better one, my own";

struct Quickstart {
    process: Child,
    origin: String,
    output: PathBuf,
    folder: PathBuf,
    _mark: Mark,
}

/// Runs `specola quickstart` with a search path, and waits until it answers.
async fn quickstart(folder: &Path, port: u16, path: &str, patience: Duration) -> Result<Quickstart> {
    let (mark, output) = (Mark::default(), folder.join("output.txt"));
    let file = fs::File::create(&output)?;
    let mut command = Command::new(place::binary()?);
    command.arg("quickstart").arg("--data-dir").arg(folder.join("data")).args(["--port", &port.to_string()]);
    // Two tests, or a hub of the machine's own, may run at the same time.
    command.env("SPECOLA_HUB__HUB_PORT", place::free_port()?.to_string());
    command.env("PATH", path).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    mark.put_on(&mut command);
    let mut process = command.spawn()?;
    let origin = format!("http://127.0.0.1:{port}");
    let mut session = Session::new(&origin)?;
    let answer = until("answer of the quickstart", patience, async || {
        if process.try_wait()?.is_some() {
            return Ok(Some(false));
        }
        session.get("/hub/login").await?.expect(&[200])?;
        Ok(Some(true))
    });
    let answer = answer.await;
    let started = Quickstart { process, origin, output, folder: folder.to_owned(), _mark: mark };
    ensure!(answer.with_context(|| started.said())?, "it has ended: {}", started.said());
    Ok(started)
}

impl Quickstart {
    fn said(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// The word after `one-time password` in what it printed.
    fn password(&self) -> Result<String> {
        let said = self.said();
        let (_, rest) = said.split_once("one-time password ").with_context(|| said.clone())?;
        Ok(rest.split_whitespace().next().context("a password")?.to_owned())
    }

    fn stop(mut self) -> Result<()> {
        tests::mark::send(self.process.id().cast_signed(), Signal::SIGTERM);
        let ended = tests::wait::came_true(Duration::from_secs(30), || matches!(self.process.try_wait(), Ok(Some(_))));
        ensure!(ended, "it does not stop");
        Ok(())
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Its labs do not carry the mark; they live in its folder.
        for lab in tests::mark::processes() {
            if lab.variable("HOME").is_some_and(|home| Path::new(home).starts_with(&self.folder)) {
                lab.kill();
            }
        }
    }
}

fn path_with(python: &Path) -> Result<String> {
    let folder = python.parent().context("a folder")?.display().to_string();
    Ok(format!("{folder}:{}", std::env::var("PATH")?))
}

/// Logs in with the printed password, sets an own one, and runs a cell.
async fn works(started: &Quickstart) -> Result<()> {
    let mut admin = Session::new(&started.origin)?;
    let answer = admin.log_in("admin", &started.password()?).await?.expect(&[302, 303])?;
    let form = answer.location().context("a page after the log-in")?.to_owned();
    ensure!(form.starts_with("/hub/change-password"), "the one-time password leads to {form}");
    admin.get(&form).await?.expect(&[200])?;
    let fields = [("username", "admin"), ("password", OWN), ("password_confirm", OWN)];
    admin.submit(&form, &fields).await?.expect(&[302, 303])?;
    let again = Session::new(&started.origin)?.log_in("admin", &started.password()?).await?;
    ensure!(again.status == 403, "the one-time password works a second time");

    let mut admin = Session::logged_in(&started.origin, "admin", OWN).await?;
    let token = admin.new_token("admin").await?;
    admin.start_server("admin").await?;
    let mut kernel = Kernel::start(&started.origin, "/user/admin/", &token).await?;
    assert_eq!(kernel.run("6 * 7").await?, "42");
    Ok(())
}

#[tokio::test]
async fn a_second_quickstart_is_ready_in_under_a_second_and_keeps_everything() -> Result<()> {
    let python = need!(place::jupyterhub6(), "JupyterHub 6.1", "SPECOLA_JUPYTERHUB_PYTHON");
    let (folder, port) = (tempfile::tempdir()?, place::free_port()?);
    let path = path_with(&python)?;
    let first = quickstart(folder.path(), port, &path, Duration::from_secs(30)).await?;
    works(&first).await?;
    first.stop()?;

    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        let again = quickstart(folder.path(), port, &path, Duration::from_secs(30)).await?;
        fastest = fastest.min(began.elapsed());
        ensure!(again.password().is_err(), "a password is printed again: {}", again.said());
        Session::logged_in(&again.origin, "admin", OWN).await?;
        again.stop()?;
    }
    println!("the second start took {fastest:?}");
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    Ok(())
}

/// Needs the Python Package Index: `tests/run` says so by making the other environments from it.
#[tokio::test]
async fn a_quickstart_makes_its_own_python_environment() -> Result<()> {
    need!(place::jupyterhub6(), "a Python Package Index", "SPECOLA_JUPYTERHUB_PYTHON");
    let (folder, port) = (tempfile::tempdir()?, place::free_port()?);
    let started = quickstart(folder.path(), port, "/usr/sbin:/usr/bin:/sbin:/bin", Duration::from_secs(300)).await?;
    works(&started).await?;
    assert!(folder.path().join("data").read_dir()?.count() > 0);
    started.stop()
}

#[tokio::test]
async fn a_missing_python_or_venv_gives_one_clear_line() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let without_venv = folder.path().join("without-venv");
    fs::create_dir(&without_venv)?;
    let fake = without_venv.join("python3");
    fs::write(
        &fake,
        "#!/bin/sh\ncase \"$*\" in *venv*|*ensurepip*) echo 'No module named venv' >&2; exit 1;; esac\necho 3.11.2\n",
    )?;
    fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let empty = folder.path().join("empty");
    fs::create_dir(&empty)?;
    for (path, package) in [(&empty, "python3"), (&without_venv, "python3-venv")] {
        let mut command = Command::new(place::binary()?);
        command.arg("quickstart").arg("--data-dir").arg(folder.path().join(package));
        command.args(["--port", &place::free_port()?.to_string()]).env("PATH", path).stdin(Stdio::null());
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let lines: Vec<String> =
            BufReader::new(process.stderr.take().context("its words")?).lines().collect::<std::io::Result<_>>()?;
        assert!(!process.wait()?.success());
        let wanted: Vec<&String> =
            lines.iter().filter(|line| line.contains(&format!("apt install {package}"))).collect();
        assert_eq!(wanted.len(), 1, "no single line names {package}: {lines:?}");
    }
    Ok(())
}
