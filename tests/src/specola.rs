//! The real binary on a ground of its own: started, killed, started again, and stopped with all that came of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::jupyterhub::{Ground, PASSWORD};
use crate::mark::{Mark, Process, send};
use crate::place;
use crate::session::Session;
use crate::wait::{came_true, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// What the configuration file says, by section and key; the values are TOML.
#[derive(Clone, Default)]
pub struct Options {
    values: BTreeMap<(String, String), String>,
    environment: Vec<(String, String)>,
    bare: bool,
    /// Another program than the one under test.
    program: Option<PathBuf>,
}

impl Options {
    /// There is no configuration file: variables say everything. Where the hub is and keeps its things is told it in
    /// variables too.
    pub fn bare() -> Options {
        Options { bare: true, ..Options::default() }
    }

    pub fn set(mut self, section: &str, key: &str, value: &str) -> Options {
        self.values.insert((section.to_owned(), key.to_owned()), value.to_owned());
        self
    }

    /// With all that others say; they win.
    pub fn and(mut self, others: Options) -> Options {
        self.values.extend(others.values);
        self.environment.extend(others.environment);
        self.program = others.program.or(self.program);
        self
    }

    /// With another program than the one under test.
    pub fn program(mut self, program: Option<&Path>) -> Options {
        self.program = program.map(Path::to_owned);
        self
    }

    /// Changes a value that is set.
    pub fn map(mut self, section: &str, key: &str, change: impl FnOnce(String) -> String) -> Options {
        if let Some(value) = self.values.get_mut(&(section.to_owned(), key.to_owned())) {
            *value = change(std::mem::take(value));
        }
        self
    }

    /// A variable for the hub's own environment.
    pub fn variable(mut self, name: &str, value: &str) -> Options {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Labs are the real single-user server of this interpreter.
    pub fn real_lab(self, python: &Path) -> Options {
        let program = python.with_file_name("jupyterhub-singleuser");
        let options = self.set("spawner", "cmd", &format!("[{:?}]", program.display().to_string()));
        let options = options.set("spawner", "start_timeout", "60").set("spawner", "http_timeout", "60");
        if place::is_root() { options.set("spawner", "args", "[\"--allow-root\"]") } else { options }
    }

    /// Labs are one of the small stand-ins in `tests/labs`.
    pub fn small_lab(self, script: &str) -> Result<Options> {
        let (python, script) = (place::plain_python()?, place::package().join("labs").join(script));
        Ok(self.set(
            "spawner",
            "cmd",
            &format!("[{:?}, {:?}]", python.display().to_string(), script.display().to_string()),
        ))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut current = "";
        for ((section, key), value) in &self.values {
            if section != current {
                text.push_str(&format!("\n[{section}]\n"));
                current = section;
            }
            text.push_str(&format!("{key} = {value}\n"));
        }
        text
    }
}

/// Everybody may log in with `PASSWORD`; `admin` is an admin; one home folder a person below the data directory.
pub struct Specola {
    pub ground: Ground,
    options: Options,
    hub: Option<Child>,
    // Fields are dropped in this order: nothing may run any more when the folder goes.
    mark: Mark,
    _folder: Option<TempDir>,
}

impl Specola {
    /// Starts hub and proxy in a new folder and waits until the hub answers through the proxy.
    pub async fn start(options: Options) -> Result<Specola> {
        let folder = tempfile::tempdir()?;
        let mut specola = Specola::on(Ground::new(folder.path())?, options, Mark::default());
        specola._folder = Some(folder);
        specola.run().await?;
        Ok(specola)
    }

    /// Makes a hub on a ground that exists, not started yet. The mark is that of the servers it is to adopt.
    pub fn on(ground: Ground, options: Options, mark: Mark) -> Specola {
        Specola { ground, options, hub: None, mark, _folder: None }
    }

    /// Starts the hub and waits until it answers through the proxy.
    pub async fn run(&mut self) -> Result<()> {
        self.launch(&[])?;
        self.answers().await
    }

    /// Stops the hub and starts it again with other options. Proxy and labs stay.
    pub async fn reconfigure(&mut self, options: Options) -> Result<()> {
        self.kill_hub();
        self.options = options;
        self.run().await
    }

    /// What is started next is this program, or the one under test.
    pub fn run_as(&mut self, program: Option<&Path>) {
        self.options.program = program.map(Path::to_owned);
    }

    /// Starts the hub with more variables in its environment, and does not wait.
    pub fn launch(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let mut command = Command::new(self.options.program.clone().map_or_else(place::binary, Ok)?);
        command.arg("serve").current_dir(&self.ground.folder);
        if self.options.bare {
            command.envs(self.whereabouts());
        } else {
            let config = self.ground.folder.join("specola.toml");
            fs::write(&config, self.configured().text())?;
            command.arg("--config").arg(&config);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        command.envs(environment.iter().copied());
        self.mark.put_on(&mut command);
        self.hub = Some(command.spawn().context("specola serve")?);
        Ok(())
    }

    /// Waits until the hub answers through the proxy; an early end of the hub is an error with its log.
    pub async fn answers(&mut self) -> Result<()> {
        let mut session = self.session()?;
        let alive = until("answer from Specola", PATIENCE, async || {
            if self.hub.as_mut().context("it was not started")?.try_wait()?.is_some() {
                return Ok(Some(false));
            }
            // A proxy that was left running answers too; only the hub's own answer counts.
            let answer = session.get("/hub/api").await?.expect(&[200])?;
            Ok(answer.headers.contains_key("x-jupyterhub-version").then_some(true))
        });
        match alive.await {
            Ok(true) => Ok(()),
            Ok(false) => bail!("the hub has ended:\n{}", self.log()),
            Err(error) => Err(error.context(self.log())),
        }
    }

    pub fn origin(&self) -> String {
        self.ground.origin()
    }

    pub fn session(&self) -> Result<Session> {
        Session::new(&self.origin())
    }

    pub async fn logged_in(&self, name: &str) -> Result<Session> {
        Session::logged_in(&self.origin(), name, PASSWORD).await
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub fn labs(&self) -> Vec<Process> {
        self.mark.labs()
    }

    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Hands over the mark that is on the servers; the hub is to be stopped before, and what it left running stays.
    pub fn leave(mut self) -> Mark {
        self.kill_hub();
        std::mem::take(&mut self.mark)
    }

    /// The hub dies without a word, as by `kill -9`. The proxy and the labs stay.
    pub fn kill_hub(&mut self) {
        if let Some(mut hub) = self.hub.take() {
            let _ = hub.kill();
            let _ = hub.wait();
        }
    }

    /// The hub does nothing until it is let go on, as on a machine that stands still.
    pub fn hold_hub(&self, is_held: bool) -> Result<()> {
        let hub = self.hub.as_ref().context("it was not started")?;
        send(hub.id().cast_signed(), if is_held { Signal::SIGSTOP } else { Signal::SIGCONT });
        Ok(())
    }

    /// Asks the hub to stop, as a service manager does, and waits for its end.
    pub fn stop_hub(&mut self) -> Result<ExitStatus> {
        self.ask_to_stop()?;
        self.ended()
    }

    /// Asks the hub to stop, and does not wait.
    pub fn ask_to_stop(&self) -> Result<()> {
        let hub = self.hub.as_ref().context("it was not started")?;
        send(hub.id().cast_signed(), Signal::SIGTERM);
        Ok(())
    }

    /// Forgets a hub that was seen to have ended.
    pub fn forget_ended(&mut self) {
        self.hub = None;
    }

    /// Waits for the hub to end by itself.
    pub fn ended(&mut self) -> Result<ExitStatus> {
        let hub = self.hub.as_mut().context("it was not started")?;
        let mut status = None;
        came_true(PATIENCE, || {
            status = hub.try_wait().ok().flatten();
            status.is_some()
        });
        let status = status.with_context(|| format!("the hub did not end within {PATIENCE:?}"))?;
        self.hub = None;
        Ok(status)
    }

    /// Whether the hub has ended by now, without waiting.
    pub fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.hub.as_mut().context("it was not started")?.try_wait()?)
    }

    /// The proxy: what listens on the public port.
    pub fn proxy(&self) -> Result<Process> {
        let own = place::binary()?.display().to_string();
        let found =
            self.mark.processes().into_iter().find(|process| {
                process.command.starts_with(&own) && process.command.split(' ').nth(1) == Some("proxy")
            });
        found.context("no proxy runs")
    }

    /// What the proxy tells on its admin socket.
    pub async fn proxy_status(&self) -> Result<serde_json::Value> {
        let socket = UnixStream::connect(self.ground.folder.join("proxy/admin.sock")).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        let request = hyper::Request::get("/status").header("host", "proxy").body(Empty::<Bytes>::new())?;
        Ok(serde_json::from_slice(&sender.send_request(request).await?.into_body().collect().await?.to_bytes())?)
    }

    fn log_file(&self) -> PathBuf {
        self.ground.folder.join("specola.log")
    }

    fn whereabouts(&self) -> Vec<(String, String)> {
        let (variable, value) = self.mark.pair();
        let path = |path: &Path| path.display().to_string();
        [
            ("HUB__BIND_URL", self.origin()),
            ("HUB__HUB_PORT", self.ground.hub_port.to_string()),
            ("HUB__DATA_DIR", path(&self.ground.folder)),
            ("SPAWNER__DRIVER", "local".to_owned()),
            ("SPAWNER__LOCAL__MODE", "folders".to_owned()),
            ("SPAWNER__LOCAL__ALLOW_ROOT", "true".to_owned()),
            ("SPAWNER__LOCAL__HOMES_DIR", path(&self.ground.homes())),
        ]
        .map(|(name, value)| (format!("SPECOLA_{name}"), value))
        .into_iter()
        .chain([(format!("SPECOLA_SPAWNER__ENVIRONMENT__{variable}"), value.to_owned())])
        .collect()
    }

    fn configured(&self) -> Options {
        let text = |path: &Path| format!("{:?}", path.display().to_string());
        let (variable, value) = self.mark.pair();
        let mut all = Options::default()
            .set("hub", "bind_url", &format!("{:?}", self.origin()))
            .set("hub", "hub_port", &self.ground.hub_port.to_string())
            .set("hub", "data_dir", &text(&self.ground.folder))
            .set("hub", "db_url", &format!("{:?}", self.ground.database()))
            .set("hub", "cookie_secret_file", &text(&self.ground.cookie_secret()))
            .set("auth", "authenticator", "\"demo\"")
            .set("auth", "allow_all", "true")
            .set("auth", "admin_users", "[\"admin\"]")
            .set("auth.demo", "password", &format!("{PASSWORD:?}"))
            .set("spawner.environment", variable, &format!("{value:?}"))
            // Labs are killed in the end, and their agents with them.
            .set("spawner.environment", "SPECOLA_TOKEN_DIR", &text(&self.ground.folder.join("tokens")))
            .set("spawner.local", "mode", "\"folders\"")
            .set("spawner.local", "allow_root", "true")
            .set("spawner.local", "homes_dir", &text(&self.ground.homes()));
        all.values.extend(self.options.values.clone());
        all
    }
}

impl Drop for Specola {
    fn drop(&mut self) {
        // Shown for failed tests only: cargo keeps what the others say.
        println!("--- the hub's log\n{}", self.log());
        // The hub first: it would start the others again.
        self.kill_hub();
    }
}
