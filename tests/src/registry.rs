//! Debian's registry of images on this machine, and a way to it that lets through only what it is told to.
//!
//! The tests of the driver have this file too, so it uses nothing else of this package.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream as Connection};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// The registry, with all that was put there until it is dropped.
pub struct Registry {
    pub port: u16,
    /// Who may pull and push, with the password; everybody where it is nobody.
    login: Option<(String, String)>,
    process: Child,
    folder: TempDir,
}

/// The program, where it is installed; with a login, the one that makes files of passwords too.
pub fn program(login: bool) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found =
        |name: &str| std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file());
    found("docker-registry").filter(|_| !login || found("htpasswd").is_some())
}

impl Registry {
    /// Starts it and waits until it listens.
    pub fn start(program: &Path, login: Option<(&str, &str)>) -> Result<Registry> {
        let folder = tempfile::tempdir()?;
        let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let root = folder.path().display();
        let mut config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {root}/data\nhttp:\n  addr: 127.0.0.1:{port}\n"
        );
        if let Some((user, password)) = login {
            let logins = Command::new("htpasswd").args(["-Bbn", user, password]).output().context("htpasswd")?.stdout;
            fs::write(folder.path().join("htpasswd"), logins)?;
            config.push_str(&format!("auth:\n  htpasswd:\n    realm: test\n    path: {root}/htpasswd\n"));
        }
        fs::write(folder.path().join("config.yml"), config)?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(program);
        command.arg("serve").arg(folder.path().join("config.yml")).stdin(Stdio::null());
        let process = command.stdout(log.try_clone()?).stderr(log).spawn().context("docker-registry")?;
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let registry = Registry { port, login, process, folder };
        let begun = Instant::now();
        while Connection::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if begun.elapsed() > PATIENCE {
                bail!("the registry does not listen: {}", registry.log());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(registry)
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// Puts an image there that nobody has yet, and takes it from the engine: so many megabytes that cannot be made
    /// smaller, beside what `lay` puts into its folder.
    pub fn publish(&self, name: &str, megabytes: u64, lay: impl FnOnce(&Path) -> Result<()>) -> Result<String> {
        let reference = self.reference(name);
        let content = self.folder.path().join("content");
        fs::create_dir_all(&content)?;
        lay(&content)?;
        let mut noise = File::create(content.join("noise"))?;
        std::io::copy(&mut File::open("/dev/urandom")?.take(megabytes << 20), &mut noise)?;
        noise.flush()?;
        let mut tar = Command::new("tar").arg("-C").arg(&content).args(["-c", "."]).stdout(Stdio::piped()).spawn()?;
        let packed = tar.stdout.take().context("what tar writes")?;
        let imported = Command::new("docker").args(["import", "-", &reference]).stdin(packed).output()?;
        ensure!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        ensure!(tar.wait()?.success(), "tar");
        let pushed = self.push(&reference);
        self.docker(&["rmi", &reference])?;
        pushed.map(|()| reference)
    }

    /// Puts an image of the engine's there.
    pub fn push(&self, reference: &str) -> Result<()> {
        if let Some((user, password)) = &self.login {
            self.docker(&["login", "-u", user, "-p", password, &self.host()])?;
        }
        self.docker(&["push", "-q", reference])
    }

    /// What it was asked, and what it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// With logins of its own.
    fn docker(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("docker");
        let output = command.env("DOCKER_CONFIG", self.folder.path().join("client")).args(arguments).output()?;
        ensure!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A way to the registry that lets through only so many bytes of its answers, as a slow line would.
pub struct Narrow {
    pub port: u16,
    bytes: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Narrow {
    /// Lets so many bytes through in all, until it is told otherwise.
    pub async fn before(registry: &Registry, bytes: u64) -> Result<Narrow> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (bytes, allowed) = watch::channel(bytes);
        let (to, (passed, _)) = (registry.port, watch::channel(0));
        let task = tokio::spawn(async move {
            while let Ok((engine, _)) = listener.accept().await {
                // Who is gone needs no answer.
                tokio::spawn(relay(engine, to, allowed.clone(), passed.clone()));
            }
        });
        Ok(Narrow { port, bytes, task })
    }

    /// Lets so many through in all.
    pub fn widen(&self, bytes: u64) {
        self.bytes.send_replace(bytes);
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(
    engine: TcpStream,
    to: u16,
    mut allowed: watch::Receiver<u64>,
    passed: watch::Sender<u64>,
) -> Result<()> {
    let registry = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
    let ((mut of_engine, mut to_engine), (mut of_registry, mut to_registry)) =
        (engine.into_split(), registry.into_split());
    let asking = tokio::spawn(async move { tokio::io::copy(&mut of_engine, &mut to_registry).await });
    let mut piece = vec![0; 16 << 10];
    loop {
        let read = of_registry.read(&mut piece).await?;
        if read == 0 {
            asking.abort();
            return Ok(());
        }
        allowed.wait_for(|allowed| *passed.borrow() < *allowed).await?;
        to_engine.write_all(piece.get(..read).unwrap_or_default()).await?;
        passed.send_modify(|passed| *passed += read as u64);
    }
}
