//! TLS towards browsers: which certificate is shown, to whom, and what plain HTTP is told.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use specola_proxy::{
    Options,
    secure::{CertificateFiles, CertificateSource, ClientCertificates, Redirect, TlsOptions, Versions},
    tls::client_config,
};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls};

use crate::{
    client::{Answer, Raw, until},
    hub::route,
    tunnels::{HANDSHAKE, SWITCH},
    upstream::Upstream,
    world::{World, world_with},
};

/// An authority of our own, and what it signed.
pub struct Authority {
    pub folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut wanted = CertificateParams::new(Vec::<String>::new()).unwrap();
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(wanted, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Signs one for these names and puts it into files.
    pub fn sign(&self, file: &str, names: &[&str]) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let files = CertificateFiles {
            certificate: self.folder.path().join(format!("{file}.crt")),
            key: self.folder.path().join(format!("{file}.key")),
        };
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        files
    }
}

/// How a browser that believes `ca` speaks, and what it shows.
pub fn browser(ca: &Path, shows: Option<&CertificateFiles>) -> TlsConnector {
    let mut config = client_config(Some(ca)).unwrap();
    if let Some(files) = shows {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        config = builder.unwrap().with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
    }
    TlsConnector::from(Arc::new(config))
}

/// A handshake for a name, or what went wrong.
pub async fn shake(connector: &TlsConnector, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
    shake_over(connector, TcpStream::connect(address).await?, name).await
}

/// The same on a connection that is there.
pub async fn shake_over(
    connector: &TlsConnector,
    socket: TcpStream,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    connector.connect(ServerName::try_from(name.to_owned()).unwrap(), socket).await
}

/// The certificate that is shown for a name.
pub async fn shown(connector: &TlsConnector, address: SocketAddr, name: &str) -> std::io::Result<Vec<u8>> {
    let stream = shake(connector, address, name).await?;
    Ok(stream.get_ref().1.peer_certificates().unwrap().first().unwrap().to_vec())
}

/// A byte client over TLS, by way of a plain connection in between.
async fn raw(connector: &TlsConnector, address: SocketAddr, name: &str) -> Raw {
    let mut secured = shake(connector, address, name).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let raw = Raw::connect(listener.local_addr().unwrap()).await;
    let (mut plain, _) = listener.accept().await.unwrap();
    plain.set_nodelay(true).unwrap();
    tokio::spawn(async move { copy_bidirectional(&mut plain, &mut secured).await });
    raw
}

async fn get(connector: &TlsConnector, address: SocketAddr, name: &str, path: &str) -> Answer {
    raw(connector, address, name).await.ask(format!("GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n")).await
}

pub fn files(list: Vec<CertificateFiles>) -> TlsOptions {
    TlsOptions::new(CertificateSource::Files(list))
}

async fn secured(upstream: SocketAddr, tls: TlsOptions, adjust: impl FnOnce(&mut Options)) -> World {
    world_with(vec![route("/", &format!("http://{upstream}"))], |options| {
        options.tls = Some(tls);
        adjust(options);
    })
    .await
}

#[tokio::test]
async fn item_28_requests_and_websockets_come_over_tls() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nStrict-Transport-Security: max-age=0\r\n\r\nsecure";
    let named = Upstream::fixed(answer).await;
    let authority = Authority::new();
    let mut tls = files(vec![authority.sign("one", &["hub.example"])]);
    tls.hsts = Some(Duration::from_secs(600));
    let world = secured(named.address, tls, |_| {}).await;
    let browser = browser(&authority.file(), None);
    let mut raw_one = raw(&browser, world.address, "hub.example").await;
    for _ in 0..2 {
        let answer = raw_one.ask("GET /a HTTP/1.1\r\nHost: hub.example\r\nX-Forwarded-Proto: http\r\n\r\n").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "secure"));
        assert_eq!(answer.one("strict-transport-security").as_deref(), Some("max-age=600"));
    }
    let seen = named.last();
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.all("x-forwarded-port"), ["443"]);

    let sockets = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send(format!("{SWITCH}\r\nhello")).await;
        let all = peer.rest().await;
        peer.send(format!("got {} bytes", all.len())).await;
    })
    .await;
    let world = secured(sockets.address, files(vec![authority.sign("one", &["hub.example"])]), |_| {}).await;
    let mut raw = raw(&browser, world.address, "hub.example").await;
    raw.send(format!("GET / HTTP/1.1\r\n{HANDSHAKE}")).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(raw.exact(5).await, b"hello");
    raw.send(vec![1; 1_000_000]).await;
    tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await.unwrap();
    assert_eq!(raw.rest().await, b"got 1000000 bytes", "an end is passed on, and the other direction goes on");
}

#[tokio::test]
async fn item_28_a_tunnel_over_tls_echoes_small_and_large_messages() {
    let echo = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send(SWITCH.to_owned() + "\r\n").await;
        while peer.more().await {
            let bytes = std::mem::take(&mut peer.buffer);
            peer.send(bytes).await;
        }
    })
    .await;
    let authority = Authority::new();
    let world = secured(echo.address, files(vec![authority.sign("one", &["hub.example"])]), |_| {}).await;
    let browser = browser(&authority.file(), None);
    let mut raw = raw(&browser, world.address, "hub.example").await;
    raw.send(format!("GET / HTTP/1.1\r\n{HANDSHAKE}")).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    for size in [1, 100, 70_000, 3, 200_000, 1] {
        let message = vec![u8::try_from(size % 251).unwrap(); size];
        raw.send(&message).await;
        assert!(raw.exact(size).await == message, "{size} bytes come back as they went");
    }
}

#[tokio::test]
async fn item_28_the_certificate_with_the_name_is_shown() {
    let named = Upstream::named("x").await;
    let authority = Authority::new();
    let list = vec![authority.sign("one", &["hub.example", "127.0.0.1"]), authority.sign("two", &["*.labs.example"])];
    let der = |files: &CertificateFiles| CertificateDer::from_pem_file(&files.certificate).unwrap().to_vec();
    let world = secured(named.address, files(list.clone()), |_| {}).await;
    let browser = browser(&authority.file(), None);
    for (name, expected) in [("hub.example", 0), ("a.labs.example", 1), ("127.0.0.1", 0)] {
        let shown = shown(&browser, world.address, name).await.unwrap();
        assert!(shown == der(&list[expected]), "{name}");
    }
    // The first is for everybody else, who then does not believe it.
    assert!(shown(&browser, world.address, "other.example").await.is_err());
}

#[tokio::test]
async fn item_31_a_changed_certificate_is_shown_and_a_broken_one_is_not() {
    let named = Upstream::named("x").await;
    let authority = Authority::new();
    let first = authority.sign("one", &["hub.example"]);
    let look = |options: &mut Options| options.limits.certificate_look = Duration::from_millis(20);
    let world = secured(named.address, files(vec![first.clone()]), look).await;
    let browser = browser(&authority.file(), None);
    // Opened before the change, used after it.
    let mut old = raw(&browser, world.address, "hub.example").await;
    let before = shown(&browser, world.address, "hub.example").await.unwrap();
    authority.sign("one", &["hub.example"]);
    until("a new certificate", async || shown(&browser, world.address, "hub.example").await.unwrap() != before).await;
    let after = shown(&browser, world.address, "hub.example").await.unwrap();
    // A key alone, as when a renewal is half written.
    std::fs::write(&first.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let counted = world.options.reload.clone();
    counted.tell();
    std::fs::write(&first.certificate, "nonsense").unwrap();
    counted.tell();
    for _ in 0..20 {
        assert!(shown(&browser, world.address, "hub.example").await.unwrap() == after, "the old one stays");
    }
    assert_eq!(old.ask("GET / HTTP/1.1\r\nHost: hub.example\r\n\r\n").await.status, 200);
    authority.sign("one", &["hub.example"]);
    until("a good one again", async || shown(&browser, world.address, "hub.example").await.unwrap() != after).await;
}

#[tokio::test]
async fn item_31_being_told_to_reload_does_not_wait_for_the_next_look() {
    let named = Upstream::named("x").await;
    let authority = Authority::new();
    let first = authority.sign("one", &["hub.example"]);
    let look = |options: &mut Options| options.limits.certificate_look = Duration::from_secs(3600);
    let world = secured(named.address, files(vec![first]), look).await;
    let browser = browser(&authority.file(), None);
    let before = shown(&browser, world.address, "hub.example").await.unwrap();
    authority.sign("one", &["hub.example"]);
    world.options.reload.tell();
    until("a new certificate", async || shown(&browser, world.address, "hub.example").await.unwrap() != before).await;
}

#[tokio::test]
async fn item_28_a_certificate_of_the_client_is_asked_for_and_checked() {
    let named = Upstream::named("x").await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.sign("server", &["hub.example"]);
    let (good, bad) = (authority.sign("client", &["alice"]), stranger.sign("client", &["alice"]));
    for (required, without) in [(true, false), (false, true)] {
        let mut tls = files(vec![server.clone()]);
        let file = authority.file();
        tls.clients = if required { ClientCertificates::Required(file) } else { ClientCertificates::Asked(file) };
        let world = secured(named.address, tls, |_| {}).await;
        for (shows, let_in) in [(Some(&good), true), (Some(&bad), false), (None, without)] {
            let browser = browser(&authority.file(), shows);
            // With TLS 1.3 a refusal comes after the client's side of the handshake.
            let answered = match shake(&browser, world.address, "hub.example").await {
                Ok(mut stream) => {
                    use tokio::io::{AsyncReadExt, AsyncWriteExt};
                    let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: hub.example\r\n\r\n").await;
                    asked.is_ok() && stream.read_u8().await.is_ok()
                }
                Err(_) => false,
            };
            assert_eq!(answered, let_in, "required {required}, shows {shows:?}");
        }
    }
}

#[tokio::test]
async fn item_28_old_versions_and_silent_peers_are_turned_away() {
    let named = Upstream::named("x").await;
    let authority = Authority::new();
    let mut tls = files(vec![authority.sign("one", &["hub.example"])]);
    tls.versions = Versions::Only13;
    let world = secured(named.address, tls, |options| options.limits.tls_handshake = Duration::from_millis(50)).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let old = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let old = TlsConnector::from(Arc::new(old));
    assert!(shake(&old, world.address, "hub.example").await.is_err());
    // Where both are spoken, whoever knows the older one alone is served.
    let both = secured(named.address, files(vec![authority.sign("two", &["hub.example"])]), |_| {}).await;
    let stream = shake(&old, both.address, "hub.example").await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    let asked = "GET / HTTP/1.1\r\nHost: hub.example\r\n\r\n";
    assert_eq!(raw(&old, both.address, "hub.example").await.ask(asked).await.text(), "x");
    let mut silent = Raw::connect(world.address).await;
    assert_eq!(silent.rest().await, b"", "closed after the time for a handshake");
    // Whoever speaks plain HTTP gets an alert, not an answer.
    let mut plain = Raw::connect(world.address).await;
    plain.send("GET / HTTP/1.1\r\nHost: hub.example\r\n\r\n").await;
    let alert = plain.rest().await;
    assert_eq!(alert.first(), Some(&0x15), "{alert:?}");
}

#[tokio::test]
async fn item_28_plain_http_is_sent_to_https() {
    let named = Upstream::named("x").await;
    let authority = Authority::new();
    let mut tls = files(vec![authority.sign("one", &["hub.example"])]);
    tls.redirect = Some(Redirect { listen: "127.0.0.1:0".parse().unwrap(), port: Some(443) });
    let world = secured(named.address, tls, |_| {}).await;
    let address = world.redirect.unwrap();
    let answer = crate::client::get(address, "/user/a%20b/?x=%2F").await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.one("location").as_deref(), Some("https://hub.example/user/a%20b/?x=%2F"));
    let posted = crate::client::ask(address, "POST /x HTTP/1.1\r\nHost: hub.example:80\r\nContent-Length: 0\r\n\r\n");
    let posted = posted.await;
    assert_eq!((posted.status, posted.one("location").as_deref()), (308, Some("https://hub.example/x")));
    let evil = crate::client::ask(address, "GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n").await;
    assert_eq!(evil.status, 400);
    assert!(named.seen().is_empty());
}

#[tokio::test]
async fn item_28_a_self_signed_certificate_is_the_same_after_a_restart() {
    let named = Upstream::named("x").await;
    let folder = tempfile::tempdir().unwrap();
    let names = vec!["hub.example".to_owned(), "127.0.0.1".to_owned()];
    let source = CertificateSource::SelfSigned { folder: folder.path().join("proxy"), names };
    let mut world = secured(named.address, TlsOptions::new(source), |_| {}).await;
    let browser = browser(&folder.path().join("proxy/self-signed.crt"), None);
    let first = shown(&browser, world.address, "hub.example").await.unwrap();
    world.end().await;
    world.start().await;
    assert!(shown(&browser, world.address, "127.0.0.1").await.unwrap() == first);
    assert_eq!(get(&browser, world.address, "hub.example", "/").await.status, 200);
}

#[tokio::test]
async fn item_28_a_proxy_without_a_good_certificate_does_not_start() {
    let authority = Authority::new();
    let (one, two) = (authority.sign("one", &["a.example"]), authority.sign("two", &["b.example"]));
    let crossed = CertificateFiles { certificate: one.certificate.clone(), key: two.key };
    let missing = CertificateFiles { certificate: "/nonexistent".into(), key: one.key };
    let named = Upstream::named("x").await;
    let world = secured(named.address, files(vec![authority.sign("one", &["a.example"])]), |_| {}).await;
    for (broken, says) in [(crossed, "one.crt with"), (missing, "/nonexistent")] {
        let mut options = world.options.clone();
        options.admin_socket = None;
        options.tls = Some(files(vec![broken]));
        let problem = specola_proxy::Proxy::bind(options).await.err().map(|problem| format!("{problem:#}"));
        assert!(problem.as_ref().is_some_and(|problem| problem.contains(says)), "{problem:?}");
    }
}
