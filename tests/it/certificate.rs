//! One certificate of an authority for several proxies, in a secret of Kubernetes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tests::fake_kubernetes::{FakeKubernetes, NAMESPACE, Pace};
use tests::mark::Mark;
use tests::pebble::{self, Pebble};
use tests::{place, until};

use crate::tls::shake;

const PATIENCE: Duration = Duration::from_secs(90);
const SECRET: &str = "proxy-acme";

/// What all proxies stand on.
struct Ground {
    kubernetes: FakeKubernetes,
    pebble: Pebble,
    folder: tempfile::TempDir,
    mark: Mark,
}

/// A proxy of a machine of its own. No hub is needed for a certificate.
struct Proxy {
    process: std::process::Child,
    port: u16,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ground {
    fn proxy(&self, name: &str, port: u16, redirect: u16) -> Result<Proxy> {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder)?;
        let (token, config) = (folder.join("token"), folder.join("specola.toml"));
        fs::write(&token, "a token")?;
        let text = json!({
            "hub": { "bind_url": format!("https://127.0.0.1:{port}"), "data_dir": folder },
            "proxy": {
                "should_start": false, "control_url": "http://127.0.0.1:9", "token_file": token, "tls": "acme",
                "acme_domains": ["localhost"], "acme_email": "admin@example.org", "acme_directory": self.pebble.directory,
                "acme_ca_file": self.pebble.ca_file(), "acme_secret": format!("{NAMESPACE}/{SECRET}"),
                "redirect_port": redirect,
            },
        });
        fs::write(&config, toml::to_string(&text)?)?;
        let log = fs::File::create(folder.join("log"))?;
        let mut command = Command::new(place::binary()?);
        command.args(["serve", "--proxy", "--config"]).arg(&config).current_dir(&folder);
        command.env("KUBECONFIG", self.kubernetes.kubeconfig());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.mark.put_on(&mut command);
        Ok(Proxy { process: command.spawn()?, port })
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name).join("log")).unwrap_or_default()
    }

    /// What is in the secret, by the end of the name.
    async fn kept(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let secrets = self.kubernetes.objects("secrets").await?;
        let secret = secrets.iter().find(|secret| secret["metadata"]["name"] == SECRET).context("the secret")?;
        let mut data = secret["data"].as_object().into_iter().flatten();
        let found = data.find(|(key, _)| key.ends_with(name)).and_then(|(_, value)| value.as_str());
        found.map(|value| Ok(BASE64_STANDARD.decode(value)?)).transpose()
    }
}

/// What a proxy shows to somebody who believes the authority.
async fn shown(proxy: &Proxy, root: &Path) -> Option<Vec<u8>> {
    let stream = shake(proxy.port, root).await.ok()?;
    Some(stream.get_ref().1.peer_certificates()?.first()?.to_vec())
}

#[tokio::test]
async fn proxies_share_a_certificate_in_a_secret_and_serve_on_without_the_api_server() -> Result<()> {
    let Some(program) = pebble::program()? else { return Ok(()) };
    let ports = [0; 6].map(|_| place::free_port());
    let [Ok(tls), Ok(http), Ok(other_tls), Ok(other_http), Ok(late_tls), Ok(late_http)] = ports else {
        anyhow::bail!("no free ports");
    };
    let mut ground = Ground {
        kubernetes: FakeKubernetes::start(Pace::default()).await?,
        pebble: Pebble::start(&program, http, tls, 3600).await?,
        folder: tempfile::tempdir()?,
        mark: Mark::default(),
    };
    // As the chart makes it.
    let labels = json!({ "component": "proxy" });
    let secret = json!({ "metadata": { "name": SECRET, "namespace": NAMESPACE, "labels": labels }, "type": "Opaque" });
    ground.kubernetes.put("secrets", secret).await?;
    // The API server is away when they start: they answer nevertheless, and order once it is there.
    ground.kubernetes.away(true).await?;
    let one = ground.proxy("one", tls, http)?;
    let other = ground.proxy("other", other_tls, other_http)?;
    for port in [tls, other_tls] {
        let answers = async || Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok());
        until("a proxy that answers", PATIENCE, answers).await.with_context(|| ground.log("one"))?;
    }
    ensure!(ground.pebble.said("Added order ") == 0, "nobody orders without the others knowing");
    ground.kubernetes.away(false).await?;
    let root = ground.pebble.root().await?;
    for proxy in [&one, &other] {
        let certified = until("the certificate", PATIENCE, async || Ok(shown(proxy, &root).await));
        certified.await.with_context(|| format!("{}\n{}", ground.log("one"), ground.log("other")))?;
    }
    let first = shown(&one, &root).await.context("a certificate")?;
    ensure!(shown(&other, &root).await.as_ref() == Some(&first), "both show the same");
    let kept = ground.kept(".certificate.pem").await?.context("the certificate in the secret")?;
    ensure!(CertificateDer::from_pem_slice(&kept)?.to_vec() == first);
    ensure!(ground.kept(".account.json").await?.is_some());
    assert_eq!(ground.pebble.said("Added order "), 1, "{}", ground.pebble.log());

    // One that comes later has it at once, also without the authority; it goes on without the API server, and starts again.
    ground.pebble.stop();
    let late = ground.proxy("late", late_tls, late_http)?;
    let answers = async || Ok(tokio::net::TcpStream::connect(("127.0.0.1", late_tls)).await.ok());
    until("a proxy that answers", PATIENCE, answers).await?;
    ensure!(shown(&late, &root).await.as_ref() == Some(&first), "{}", ground.log("late"));
    let copied = async || {
        let own = ground.folder.path().join("late/proxy/acme");
        let mut folders = fs::read_dir(own).into_iter().flatten().flatten();
        Ok(folders.any(|folder| folder.path().join("certificate.pem").exists()).then_some(()))
    };
    until("a copy of it", PATIENCE, copied).await?;
    ground.kubernetes.away(true).await?;
    drop(late);
    let late = ground.proxy("late", late_tls, late_http)?;
    let again = until("the certificate", PATIENCE, async || Ok(shown(&late, &root).await)).await;
    ensure!(again.with_context(|| ground.log("late"))? == first);
    ensure!(shown(&one, &root).await.as_ref() == Some(&first));
    // Nothing was asked that the chart gives no right to.
    ensure!(!ground.kubernetes.log().contains("not among the rights"), "{}", ground.kubernetes.log());
    let counts = ground.kubernetes.counts().await?;
    let verbs: Vec<&str> = counts.keys().map(String::as_str).collect();
    ensure!(verbs == ["get secrets", "patch secrets"], "{counts:?}");
    let secrets: Vec<Value> = {
        ground.kubernetes.away(false).await?;
        ground.kubernetes.objects("secrets").await?
    };
    ensure!(
        secrets.iter().all(|secret| secret["metadata"]["labels"] == json!({ "component": "proxy" })),
        "as it was made"
    );
    Ok(())
}
