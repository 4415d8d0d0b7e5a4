//! A real JupyterHub 6.1 with configurable-http-proxy, to compare with and to take databases over from and to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::mark::{Mark, send};
use crate::place;
use crate::session::Session;
use crate::wait::{came_true, until};

/// Where a hub keeps its things and listens; the same for both hubs, so that one can take over from the other.
#[derive(Clone)]
pub struct Ground {
    pub folder: PathBuf,
    pub port: u16,
    pub hub_port: u16,
}

impl Ground {
    pub fn new(folder: &Path) -> Result<Ground> {
        Ok(Ground { folder: folder.to_owned(), port: place::free_port()?, hub_port: place::free_port()? })
    }

    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// As JupyterHub writes it.
    pub fn database(&self) -> String {
        format!("sqlite:///{}/jupyterhub.sqlite", self.folder.display())
    }

    pub fn cookie_secret(&self) -> PathBuf {
        self.folder.join("jupyterhub_cookie_secret")
    }

    /// One folder a person, as SimpleLocalProcessSpawner and the local spawner lay them out.
    pub fn homes(&self) -> PathBuf {
        self.folder.join("home")
    }
}

pub const PASSWORD: &str = "the password of the tests";

pub struct JupyterHub {
    pub ground: Ground,
    mark: Mark,
    process: Child,
}

impl JupyterHub {
    /// Starts it on a ground, on which it may have been before, and waits until it answers through its proxy.
    /// Everybody may log in with `PASSWORD`; `admin` is an admin. Servers outlive it.
    pub async fn start(ground: Ground, python: &Path, proxy: &Path, mark: Mark) -> Result<JupyterHub> {
        JupyterHub::configured(ground, python, proxy, mark, "").await
    }

    /// The same with more lines of configuration.
    pub async fn configured(ground: Ground, python: &Path, proxy: &Path, mark: Mark, more: &str) -> Result<JupyterHub> {
        let config = ground.folder.join("jupyterhub_config.py");
        fs::write(&config, configuration(&ground, python, proxy, &mark)? + more)?;
        let log = File::options().create(true).append(true).open(ground.folder.join("jupyterhub.log"))?;
        let mut command = Command::new(python);
        command.args(["-m", "jupyterhub", "-f"]).arg(&config).current_dir(&ground.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        mark.put_on(&mut command);
        let process = command.spawn().context("JupyterHub")?;
        let mut hub = JupyterHub { ground, mark, process };
        hub.answers().await.with_context(|| hub.log())?;
        Ok(hub)
    }

    async fn answers(&mut self) -> Result<()> {
        let mut session = Session::new(&self.ground.origin())?;
        until("answer from JupyterHub", Duration::from_secs(60), async || {
            anyhow::ensure!(self.process.try_wait()?.is_none(), "it has ended");
            Ok(Some(session.get("/hub/login").await?.expect(&[200])?))
        })
        .await?;
        Ok(())
    }

    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.ground.folder.join("jupyterhub.log")).unwrap_or_default()
    }

    /// Stops hub and proxy, leaves the servers, and hands over the mark that is on them.
    pub fn stop(mut self) -> Mark {
        send(self.process.id().cast_signed(), Signal::SIGTERM);
        came_true(Duration::from_secs(30), || matches!(self.process.try_wait(), Ok(Some(_))));
        std::mem::take(&mut self.mark)
    }
}

impl Drop for JupyterHub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(ground: &Ground, python: &Path, proxy: &Path, mark: &Mark) -> Result<String> {
    let singleuser = python.with_file_name("jupyterhub-singleuser");
    let (variable, value) = mark.pair();
    let allow_root = if place::is_root() { "c.Spawner.args = ['--allow-root']" } else { "" };
    Ok(format!(
        "c = get_config()
c.JupyterHub.bind_url = '{origin}'
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.db_url = '{database}'
c.JupyterHub.cookie_secret_file = '{secret}'
c.JupyterHub.cleanup_servers = False
c.JupyterHub.redirect_to_server = False
c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{api_port}'
c.ConfigurableHTTPProxy.command = ['{proxy}']
c.JupyterHub.authenticator_class = 'dummy'
c.DummyAuthenticator.password = '{PASSWORD}'
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{'admin'}}
c.JupyterHub.spawner_class = 'simple'
c.SimpleLocalProcessSpawner.home_dir_template = '{homes}/{{username}}'
c.Spawner.cmd = ['{singleuser}']
c.Spawner.environment = {{'{variable}': '{value}'}}
{allow_root}
",
        origin = ground.origin(),
        hub_port = ground.hub_port,
        database = ground.database(),
        secret = ground.cookie_secret().display(),
        api_port = place::free_port()?,
        proxy = proxy.display(),
        homes = ground.homes().display(),
        singleuser = singleuser.display(),
    ))
}
