//! A proxy with a folder of its own, as on another machine: of the hub it has an address and a token.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::{Session, place, until};

const SOON: Duration = Duration::from_secs(30);

/// It ends when it is dropped.
pub struct Elsewhere {
    child: Child,
    /// Where browsers find it.
    pub origin: String,
    metrics: String,
}

impl Elsewhere {
    /// Starts one in a new folder of this name; `hub` and `control` are addresses like `http://127.0.0.1:8081`.
    pub fn start(name: &str, folder: &Path, token: &str, hub: &str, control: &str) -> Result<Elsewhere> {
        Elsewhere::at(place::free_port()?, name, folder, token, hub, control, "")
    }

    /// The same, with what a hub with `internal_ssl` gave its own proxy, in the folder `of_proxy`.
    pub fn secured(
        name: &str,
        folder: &Path,
        token: &str,
        hub: &str,
        control: &str,
        of_proxy: &Path,
    ) -> Result<Elsewhere> {
        Elsewhere::begin(place::free_port()?, name, folder, token, hub, control, "", Some(of_proxy))
    }

    /// The same, with those files in a folder that is mounted, where they may come later.
    pub fn mounted(
        name: &str,
        folder: &Path,
        token: &str,
        hub: &str,
        control: &str,
        mounted: &Path,
    ) -> Result<Elsewhere> {
        let more = format!("internal_ssl_folder = {:?}\n", mounted.display().to_string());
        Elsewhere::begin(place::free_port()?, name, folder, token, hub, control, &more, Some(mounted))
    }

    /// The same at a port; `more` is what its configuration says besides, in its section `[proxy]` and after it.
    pub fn at(
        port: u16,
        name: &str,
        folder: &Path,
        token: &str,
        hub: &str,
        control: &str,
        more: &str,
    ) -> Result<Elsewhere> {
        Elsewhere::begin(port, name, folder, token, hub, control, more, None)
    }

    #[allow(clippy::too_many_arguments, reason = "what a proxy is told")]
    fn begin(
        port: u16,
        name: &str,
        folder: &Path,
        token: &str,
        hub: &str,
        control: &str,
        more: &str,
        of_proxy: Option<&Path>,
    ) -> Result<Elsewhere> {
        let folder = folder.join(name);
        fs::create_dir(&folder)?;
        if let Some(of_proxy) = of_proxy.filter(|_| more.is_empty()) {
            fs::create_dir(folder.join("proxy"))?;
            for file in ["internal-ssl.pem", "internal-ssl-trust.pem", "internal-ssl-hub.pem"] {
                fs::copy(of_proxy.join(file), folder.join("proxy").join(file))?;
            }
        }
        let metrics = format!("127.0.0.1:{}", place::free_port()?);
        let origin = format!("http://127.0.0.1:{port}");
        let (file, config) = (folder.join("token"), folder.join("specola.toml"));
        fs::write(&file, token)?;
        let text = format!(
            "[hub]\nbind_url = {origin:?}\nhub_connect_url = {hub:?}\ninternal_ssl = {}\ndata_dir = {:?}\n\n[proxy]\nshould_start = false\n\
             control_url = {control:?}\ntoken_file = {:?}\nmetrics_address = {metrics:?}\n{more}",
            of_proxy.is_some(),
            folder.display().to_string(),
            file.display().to_string()
        );
        fs::write(&config, text)?;
        let log = fs::File::create(folder.join("log"))?;
        let mut command = Command::new(place::binary()?);
        command.args(["serve", "--proxy", "--config"]).arg(&config).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Elsewhere { child: command.spawn()?, origin, metrics: format!("http://{metrics}") })
    }

    /// It dies at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it answers to those who look after it.
    pub async fn says(&self, path: &str) -> Result<u16> {
        Ok(Session::new(&self.metrics)?.get(path).await?.status.as_u16())
    }

    /// Waits until it has its routes.
    pub async fn is_ready(&self) -> Result<()> {
        until("a proxy that is ready", SOON, async || Ok((self.says("/ready").await.ok() == Some(200)).then_some(())))
            .await
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.kill();
    }
}
