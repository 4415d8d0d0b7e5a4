//! The proxy's process: found or started, watched, started again when it dies.
//!
//! The proxy runs in a session of its own and outlives the hub. Whether it lives is told by its admin socket, so that
//! it does not matter who its parent is: an open connection to it ends the instant the process does.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// How long a new proxy may take until its admin socket answers.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait between two attempts to start it.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// An answer of the admin socket takes no longer than this.
const ADMIN_PATIENCE: Duration = Duration::from_secs(5);

/// Where the proxy listens and what it needs to find the hub.
#[derive(Debug, Clone)]
pub struct ProxyProcess {
    /// The folder of sockets, token, log and route snapshot: `{data_dir}/proxy`.
    pub folder: PathBuf,
    /// The public address, `ip:port`.
    pub listen: String,
    /// Where requests go that no route matches: the hub.
    pub default_target: String,
    /// Where the hub tells routes, when it is on another machine.
    pub control_url: Option<String>,
    /// The file with the token that hub and proxy share, where it is not the one that is made here.
    pub token: Option<PathBuf>,
    /// Further arguments of `specola proxy`.
    pub more: Vec<String>,
    /// Stands for what a running proxy must have been started with to be kept; `None` for plain HTTP.
    pub mark: Option<String>,
}

/// What a running proxy tells of itself.
#[derive(Debug, serde::Deserialize)]
pub struct Status {
    /// Its process id.
    pub pid: i32,
    /// The public addresses it listens on.
    #[serde(default)]
    pub listen: Vec<String>,
    /// The mark it was started with.
    #[serde(default)]
    pub mark: Option<String>,
    /// The file of its program.
    #[serde(default)]
    pub program: Option<String>,
}

impl ProxyProcess {
    /// The hub's end of the route stream.
    pub fn control_socket(&self) -> PathBuf {
        self.folder.join("hub.sock")
    }

    fn admin_socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }

    fn token_file(&self) -> PathBuf {
        self.token.clone().unwrap_or_else(|| self.folder.join("token"))
    }

    /// Where the proxy writes its log.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("proxy.log")
    }

    /// Makes the folder and, once, the token that hub and proxy share, unless it was made elsewhere. Returns the token.
    pub fn prepare(&self) -> Result<String> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .with_context(|| format!("cannot make the folder {}", self.folder.display()))?;
        let path = self.token_file();
        if self.token.is_some() {
            let token = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read proxy.token_file, {}", path.display()))?;
            anyhow::ensure!(!token.trim().is_empty(), "proxy.token_file, {}, is empty", path.display());
            return Ok(token.trim().to_owned());
        }
        match std::fs::read_to_string(&path) {
            Ok(token) if !token.trim().is_empty() => Ok(token.trim().to_owned()),
            // One that an older version did not come to write.
            Ok(_) => std::fs::remove_file(&path).map_err(Into::into).and_then(|()| write_token(&path)),
            Err(_) => write_token(&path),
        }
    }

    /// Adopts the running proxy or starts one; returns when its admin socket answers. One of another version or with
    /// another certificate is relieved: nobody is refused, and open websockets go on.
    pub async fn ensure(&self) -> Result<Status> {
        let Ok(status) = self.status().await else { return self.start(false).await };
        let there = status.listen.is_empty() || status.listen.contains(&self.listen);
        let program = crate::command::proxy_life::program_mark();
        if there && status.mark == self.mark && (status.program == program || program.is_none()) {
            tracing::info!(pid = status.pid, "found the running proxy");
            return Ok(status);
        }
        if status.program.is_some() {
            tracing::info!(
                pid = status.pid,
                "the running proxy is of another version, listens elsewhere or has another certificate; taking over"
            );
            match self.start(true).await {
                Err(error) => tracing::warn!("a new proxy cannot take over, replacing the running one: {error:#}"),
                started => return started,
            }
        }
        tracing::info!(pid = status.pid, "replacing the running proxy");
        self.stop().await;
        self.start(false).await
    }

    /// Starts one. With `takes_over` there is another, which answers until the new one does.
    async fn start(&self, takes_over: bool) -> Result<Status> {
        let mut command = self.command()?;
        command.args(takes_over.then_some("--take-over"));
        let mut child = command.spawn().context("cannot start the proxy")?;
        let deadline = tokio::time::Instant::now() + START_PATIENCE;
        loop {
            let answered = self.status().await.ok();
            if let Some(status) = answered.filter(|status| !takes_over || status.pid == child.id().cast_signed()) {
                tracing::info!(pid = status.pid, listen = %self.listen, "proxy started");
                // Reaped whenever it dies. Not by the runtime, whose end would wait for the proxy's.
                std::thread::spawn(move || child.wait());
                return Ok(status);
            }
            if let Some(exit) = child.try_wait().context("cannot wait for the proxy")? {
                bail!("the proxy ended at once ({exit}): {}", self.last_words());
            }
            if tokio::time::Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                bail!("the proxy did not answer within {} s: {}", START_PATIENCE.as_secs(), self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn command(&self) -> Result<Command> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.log_file())
            .with_context(|| format!("cannot open {}", self.log_file().display()))?;
        let mut command = self.program();
        command
            .env_remove(crate::keeper::breakpoint::VARIABLE)
            // The service of the hub is not the proxy's.
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the proxy's log")?)
            .stderr(log);
        // SAFETY: `setsid` is async-signal-safe and touches no memory of ours.
        unsafe {
            command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(Into::into));
        }
        Ok(command)
    }

    /// The command line, which begins with the command.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> =
            ["proxy", "--listen", &self.listen, "--default-target", &self.default_target].map(OsString::from).into();
        match &self.control_url {
            Some(url) => {
                // What it acknowledges is its own, also where another runs on the same machine.
                let host = nix::unistd::gethostname().unwrap_or_default();
                line.extend(["--hub-url".into(), url.into(), "--name".into()]);
                line.push(format!("{}:{}", host.to_string_lossy(), self.listen).into());
            }
            None => line.extend(["--hub-socket".into(), self.control_socket().into()]),
        }
        for (name, file) in [
            ("--token-file", self.token_file()),
            ("--admin-socket", self.admin_socket()),
            ("--snapshot", self.folder.join("routes.json")),
        ] {
            line.extend([name.into(), file.into()]);
        }
        line.extend(self.more.iter().map(OsString::from));
        line.extend(self.mark.iter().map(|mark| format!("--mark={mark}").into()));
        line
    }

    /// The program, with its arguments.
    fn program(&self) -> Command {
        let name = std::env::current_exe().unwrap_or_else(|_| "specola".into());
        // The running program itself, also when its file was replaced by an upgrade meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg0(name).args(self.arguments());
        command
    }

    /// Makes this process the proxy, for whoever keeps the proxy's process themselves. Returns only why it cannot.
    pub fn become_it(&self) -> Result<std::convert::Infallible> {
        self.prepare()?;
        Err(self.program().exec()).context("cannot run the proxy")
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        text.lines().last().unwrap_or("it left no message").to_owned()
    }

    /// Starts the proxy again whenever it dies, until told to stop.
    pub async fn watch(&self, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        loop {
            let died = async {
                tokio::time::sleep(pause).await;
                self.until_dead().await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = died => {}
            }
            tracing::warn!("the proxy is gone; starting it again");
            pause = match self.ensure().await {
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    tracing::error!("{error:#}");
                    (pause * 2).clamp(Duration::from_millis(100), RETRY_MAX)
                }
            };
        }
    }

    /// Returns when nothing listens at the admin socket any more.
    async fn until_dead(&self) {
        while let Ok(mut peer) = UnixStream::connect(self.admin_socket()).await {
            // The proxy closes idle connections from time to time; then the next connect decides.
            let mut nothing = [0; 1];
            let _ = peer.read(&mut nothing).await;
        }
    }

    /// Asks the running proxy about itself.
    pub async fn status(&self) -> Result<Status> {
        let body = self.admin(hyper::Method::GET, "/status").await?;
        serde_json::from_slice(&body).context("the proxy's status is not understood")
    }

    /// Asks the proxy to finish; returns when it is gone or after its drain has taken too long.
    pub async fn stop(&self) {
        if self.admin(hyper::Method::POST, "/stop").await.is_ok() {
            let _ = tokio::time::timeout(START_PATIENCE, self.until_dead()).await;
        }
    }

    async fn admin(&self, method: hyper::Method, path: &str) -> Result<Bytes> {
        let exchange = async {
            let peer = UnixStream::connect(self.admin_socket()).await?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(peer)).await?;
            let token = std::fs::read_to_string(self.token_file())?;
            let request = hyper::Request::builder()
                .method(method)
                .uri(path)
                .header("host", "proxy")
                .header("authorization", format!("token {}", token.trim()))
                .body(Empty::<Bytes>::new())?;
            // Ends by itself once the answer is read and the sender dropped.
            tokio::spawn(connection);
            let answer = sender.send_request(request).await?;
            anyhow::ensure!(answer.status().is_success(), "the proxy answered {}", answer.status());
            Ok(answer.into_body().collect().await?.to_bytes())
        };
        tokio::time::timeout(ADMIN_PATIENCE, exchange).await.context("the proxy does not answer")?
    }
}

/// Writes a new token. Of several processes that begin at once all get the same: the first one's.
fn write_token(path: &Path) -> Result<String> {
    use std::io::Write;
    let context = || format!("cannot write {}", path.display());
    let token = uuid::Uuid::new_v4().simple().to_string();
    let draft = path.with_extension(&token);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft).with_context(context)?;
    let written = file.write_all(token.as_bytes()).and_then(|()| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        other => other.with_context(context)?,
    }
    removed.with_context(context)?;
    Ok(std::fs::read_to_string(path).with_context(context)?.trim().to_owned())
}
