//! Pebble, Let's Encrypt's own small ACME authority for tests, and a name server that leads every name here.
//!
//! The proxy's own tests have this file too, so it uses nothing else of this package.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Where `tests/run` has put the program; None, with a note, when there is none and none was promised.
pub fn program() -> Result<Option<PathBuf>> {
    let given = std::env::var_os("SPECOLA_PEBBLE").map(PathBuf::from);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tests/go/bin/pebble");
    let found = given.into_iter().chain([kept]).find(|path| path.is_file());
    if found.is_none() {
        if std::env::var_os("SPECOLA_REQUIRE_PEBBLE").is_some() {
            bail!("Pebble is missing, though SPECOLA_REQUIRE_PEBBLE is set");
        }
        eprintln!("SKIPPED: Pebble is missing");
    }
    Ok(found)
}

/// A running authority.
pub struct Pebble {
    pub directory: String,
    /// Its address, which its own certificate names, and the port where it tells about itself.
    host: IpAddr,
    management: u16,
    folder: TempDir,
    process: Child,
    names: JoinHandle<()>,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        self.names.abort();
    }
}

async fn free_port(host: IpAddr) -> Result<u16> {
    Ok(TcpListener::bind((host, 0)).await?.local_addr()?.port())
}

impl Pebble {
    /// Starts one that looks for proofs at these ports and signs for so many seconds.
    pub async fn start(program: &Path, http: u16, tls: u16, seconds: u32) -> Result<Pebble> {
        Pebble::start_at(Ipv4Addr::LOCALHOST.into(), program, http, tls, seconds).await
    }

    /// The same at another address of this machine, such as the one that containers reach.
    pub async fn start_at(host: IpAddr, program: &Path, http: u16, tls: u16, seconds: u32) -> Result<Pebble> {
        let folder = tempfile::tempdir()?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![host.to_string()])?.self_signed(&key)?;
        let path = |name: &str| folder.path().join(name);
        fs::write(path("ca.pem"), certificate.pem())?;
        fs::write(path("key.pem"), key.serialize_pem())?;
        let (port, management) = (free_port(host).await?, free_port(host).await?);
        let address = SocketAddr::new(host, port);
        let config = serde_json::json!({"pebble": {
            "listenAddress": address,
            "managementListenAddress": SocketAddr::new(host, management),
            "certificate": path("ca.pem"),
            "privateKey": path("key.pem"),
            "httpPort": http,
            "tlsPort": tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "retryAfter": {"authz": 1, "order": 1},
            "profiles": {"default": {"description": "for tests", "validityPeriod": seconds}},
        }});
        fs::write(path("pebble.json"), config.to_string())?;
        let (server, names) = name_server().await?;
        let log = File::create(path("pebble.log"))?;
        let process = Command::new(program)
            .arg("-config")
            .arg(path("pebble.json"))
            .args(["-dnsserver", &server.to_string()])
            // Its tricks, such as refusing good nonces now and then, are left on; only its wait is not.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .context("Pebble")?;
        let pebble = Pebble { directory: format!("https://{address}/dir"), host, management, folder, process, names };
        let up = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), up).await.with_context(|| pebble.log())?;
        Ok(pebble)
    }

    /// Whom to believe when asking it.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The root that its certificates lead to, which it makes at each start: a file to believe.
    pub async fn root(&self) -> Result<PathBuf> {
        let mut believed = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(self.ca_file()).context("its own certificate")?;
        believed.add(own)?;
        let builder = ClientConfig::builder_with_provider(ring::default_provider().into());
        let config = builder.with_safe_default_protocol_versions()?.with_root_certificates(believed);
        let socket = TcpStream::connect((self.host, self.management)).await?;
        let name = ServerName::from(self.host);
        let mut asked = TlsConnector::from(Arc::new(config.with_no_client_auth())).connect(name, socket).await?;
        asked.write_all(b"GET /roots/0 HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        asked.read_to_string(&mut answer).await?;
        let (head, pem) = answer.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.contains(" 200 "), "{head}");
        let file = self.folder.path().join("root.pem");
        fs::write(&file, pem)?;
        Ok(file)
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("pebble.log")).unwrap_or_default()
    }

    /// How often it was asked for this path.
    pub fn asked(&self, path: &str) -> usize {
        let words = format!("POST {path} ");
        self.log().lines().filter(|line| format!("{line} ").contains(&words)).count()
    }

    /// How often its log has these words. It turns one request in twenty away on purpose, which is then asked again.
    pub fn said(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    /// Ends it, as a machine that is gone.
    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Answers every question for an IPv4 address with this machine, and says of all others that there is nothing. Pebble
/// asks over TCP, where each message has its length before it (RFC 1035, 4.2.2).
async fn name_server() -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        // Ends with this task.
        let mut open = JoinSet::new();
        while let Ok((peer, _)) = listener.accept().await {
            // Whoever asks wrongly gets no answer.
            open.spawn(async move { converse(peer).await.ok() });
        }
    });
    Ok((address, task))
}

async fn converse(mut peer: TcpStream) -> Result<()> {
    loop {
        let mut asked = vec![0; usize::from(peer.read_u16().await?)];
        peer.read_exact(&mut asked).await?;
        let answer = answer(&asked).context("no question")?;
        peer.write_u16(u16::try_from(answer.len())?).await?;
        peer.write_all(&answer).await?;
    }
}

fn answer(asked: &[u8]) -> Option<Vec<u8>> {
    let name = asked.get(12..)?.iter().position(|&byte| byte == 0)?;
    let question = asked.get(12..12 + name + 5)?;
    let is_ipv4 = question.get(name + 1..name + 3)? == [0, 1];
    let mut answer = asked.get(..2)?.to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]);
    answer.extend(question);
    if is_ipv4 {
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
