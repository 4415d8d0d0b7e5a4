//! The hub over https: certificates made here, from files and from an authority.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tests::jupyterhub::{Ground, PASSWORD};
use tests::mark::{Mark, send};
use tests::pebble::{self, Pebble};
use tests::specola::Options;
use tests::{Session, Specola, place, until};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const PATIENCE: Duration = Duration::from_secs(60);

/// Speaks TLS to the hub for clients that do not: believes the certificates of a file, read for each connection.
struct Bridge {
    origin: String,
    task: JoinHandle<()>,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bridge {
    async fn to(port: u16, believes: PathBuf) -> Result<Bridge> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let task = tokio::spawn(async move {
            while let Ok((mut plain, _)) = listener.accept().await {
                let believes = believes.clone();
                tokio::spawn(async move {
                    let Ok(mut secured) = shake(port, &believes).await else { return };
                    let _ = copy_bidirectional(&mut plain, &mut secured).await;
                });
            }
        });
        Ok(Bridge { origin, task })
    }
}

pub(crate) type Secured = tokio_rustls::client::TlsStream<TcpStream>;

pub(crate) async fn shake(port: u16, believes: &Path) -> Result<Secured> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(believes)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, socket).await?)
}

/// Waits until the hub answers over TLS.
async fn answers(specola: &mut Specola, origin: &str) -> Result<()> {
    let mut session = Session::new(origin)?;
    let up = until("answer over TLS", PATIENCE, async || {
        if specola.has_ended()?.is_some() {
            return Ok(Some(false));
        }
        let answer = session.get("/hub/api").await?.expect(&[200])?;
        Ok(answer.headers.contains_key("x-jupyterhub-version").then_some(true))
    });
    let alive = up.await.with_context(|| specola.log())?;
    ensure!(alive, "the hub has ended:\n{}", specola.log());
    Ok(())
}

fn sign(certificate: &Path, key: &Path) -> Result<()> {
    let pair = KeyPair::generate()?;
    let signed = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&pair)?;
    fs::write(key, pair.serialize_pem())?;
    fs::write(certificate, signed.pem())?;
    Ok(())
}

#[tokio::test]
async fn people_work_over_https_with_a_certificate_made_here_and_then_with_one_from_files() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (ground, redirect) = (Ground::new(folder.path())?, place::free_port()?);
    let port = ground.port;
    let options = Options::default()
        .small_lab("quick.py")?
        .set("proxy", "tls", "\"self-signed\"")
        .set("proxy", "redirect_port", &redirect.to_string())
        .set("proxy", "hsts_max_age", "600");
    let mut specola = Specola::on(ground, options.clone(), Mark::default());
    specola.launch(&[])?;
    let bridge = Bridge::to(port, folder.path().join("proxy/self-signed.crt")).await?;
    answers(&mut specola, &bridge.origin).await?;
    let mut alice = Session::logged_in(&bridge.origin, "alice", PASSWORD).await?;
    alice.start_server("alice").await?;
    let answer = alice.get("/user/alice/x").await?.expect(&[200])?;
    let header = |answer: &tests::Answer, name: &str| {
        answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    ensure!(header(&answer, "strict-transport-security") == "max-age=600");
    let login = Session::new(&bridge.origin)?.get("/hub/login").await?.expect(&[200])?;
    ensure!(header(&login, "set-cookie").contains("Secure"), "{:?}", login.headers);
    let sent = Session::new(&format!("http://127.0.0.1:{redirect}"))?.get("/hub/login?x").await?;
    ensure!(sent.location() == Some(&format!("https://127.0.0.1:{port}/hub/login?x")), "{:?}", sent.location());

    // Another certificate: the proxy is replaced with the hub's next start, the lab stays.
    let (certificate, key) = (folder.path().join("hub.crt"), folder.path().join("hub.key"));
    sign(&certificate, &key)?;
    let before = specola.proxy()?.id;
    specola.stop_hub()?;
    let text = |path: &Path| format!("{:?}", path.display().to_string());
    let options = options.set("proxy", "tls", "\"files\"").set("proxy", "ssl_cert", &text(&certificate)).set(
        "proxy",
        "ssl_key",
        &text(&key),
    );
    let ground = specola.ground.clone();
    let mut specola = Specola::on(ground, options, specola.leave());
    specola.launch(&[])?;
    let bridge = Bridge::to(port, certificate.clone()).await?;
    answers(&mut specola, &bridge.origin).await?;
    // The one before leaves when it has given its listeners away.
    let another = async || Ok(specola.proxy().is_ok_and(|proxy| proxy.id != before).then_some(()));
    until("another proxy", Duration::from_secs(30), another).await?;
    let mut alice = Session::logged_in(&bridge.origin, "alice", PASSWORD).await?;
    alice.get("/user/alice/x").await?.expect(&[200])?;

    // A renewed one is taken up by the proxy that runs.
    let proxy = specola.proxy()?.id;
    let shown = async || -> Result<Vec<u8>> {
        let stream = shake(port, &certificate).await?;
        let certificates = stream.get_ref().1.peer_certificates().context("a certificate")?;
        Ok(certificates.first().context("a certificate")?.to_vec())
    };
    let old = shown().await?;
    sign(&certificate, &key)?;
    send(proxy, Signal::SIGHUP);
    until("the new certificate", PATIENCE, async || Ok((shown().await? != old).then_some(()))).await?;
    ensure!(specola.proxy()?.id == proxy);
    alice.stop_server("alice").await
}

#[tokio::test]
async fn an_authority_gives_the_hub_its_certificate() -> Result<()> {
    let Some(program) = pebble::program()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (ground, redirect) = (Ground::new(folder.path())?, place::free_port()?);
    let port = ground.port;
    let pebble = Pebble::start(&program, redirect, port, 3600).await?;
    let options = Options::default()
        .small_lab("quick.py")?
        .set("proxy", "tls", "\"acme\"")
        .set("proxy", "acme_domains", "[\"localhost\"]")
        .set("proxy", "acme_email", "\"admin@example.org\"")
        .set("proxy", "acme_directory", &format!("{:?}", pebble.directory))
        .set("proxy", "acme_ca_file", &format!("{:?}", pebble.ca_file().display().to_string()))
        .set("proxy", "redirect_port", &redirect.to_string());
    let mut specola = Specola::on(ground, options, Mark::default());
    specola.launch(&[])?;
    let own = folder.path().join("proxy/acme");
    let kept = until("a certificate", PATIENCE, async || {
        let folder = fs::read_dir(&own)?.next().context("a folder of the authority")??;
        Ok(folder.path().join("certificate.pem").exists().then_some(()))
    });
    kept.await.with_context(|| format!("{}\n{}", specola.log(), pebble.log()))?;
    let bridge = Bridge::to(port, pebble.root().await?).await?;
    answers(&mut specola, &bridge.origin).await?;
    let mut alice = Session::logged_in(&bridge.origin, "alice", PASSWORD).await?;
    alice.start_server("alice").await?;
    alice.get("/user/alice/x").await?.expect(&[200])?;
    alice.stop_server("alice").await
}
