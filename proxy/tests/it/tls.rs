//! Upstreams that speak TLS.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use specola_proxy::secure::CertificateFiles;
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier},
};

use crate::{
    client::{DEADLINE, Raw, until},
    hub::{hub_route, route},
    secure::Authority,
    tunnels::{HANDSHAKE, SWITCH},
    upstream::Upstream,
    world::world_with,
};

/// What ends TLS in front of an upstream, with a certificate of its own for these names.
pub struct Front {
    address: SocketAddr,
    pub certificate: PathBuf,
    _folder: tempfile::TempDir,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    pub async fn before(upstream: SocketAddr, names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, certificate.pem()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        Self::with(upstream, config, file, folder).await
    }

    /// One that asks for a certificate of the authority, which vouches for it as well.
    pub async fn asking(upstream: SocketAddr, authority: &Authority) -> Self {
        let files = authority.sign("front", &["127.0.0.1"]);
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.file()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let config = builder.with_client_cert_verifier(verifier.unwrap()).with_single_cert(chain, key).unwrap();
        Self::with(upstream, config, authority.file(), tempfile::tempdir().unwrap()).await
    }

    async fn with(upstream: SocketAddr, config: ServerConfig, file: PathBuf, folder: tempfile::TempDir) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (peer, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A peer that does not believe the certificate breaks off.
                    let Ok(mut peer) = acceptor.accept(peer).await else { return };
                    let mut upstream = TcpStream::connect(upstream).await.unwrap();
                    let _ = copy_bidirectional(&mut peer, &mut upstream).await;
                });
            }
        });
        Self { address, certificate: file, _folder: folder, task }
    }

    pub fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }
}

#[tokio::test]
async fn requests_and_websockets_go_to_an_upstream_over_tls() {
    let named = Upstream::named("secure").await;
    let sockets = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        peer.send(format!("{SWITCH}\r\nhello")).await;
        let all = peer.rest().await;
        peer.send(format!("got {} bytes", all.len())).await;
    })
    .await;
    let front = Front::before(named.address, &["127.0.0.1", "localhost"]).await;
    let routes = vec![route("/a", &front.url("127.0.0.1")), route("/b", &front.url("localhost"))];
    let world = world_with(routes, |options| options.client_ca = Some(front.certificate.clone())).await;
    for path in ["/a/x", "/b/x"] {
        let mut raw = Raw::connect(world.address).await;
        for _ in 0..2 {
            raw.send(format!("GET {path} HTTP/1.1\r\nHost: hub.example\r\n\r\n")).await;
            let head = raw.head().await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert_eq!(raw.exact(6).await, b"secure");
        }
        assert_eq!(named.last().all("host"), ["hub.example"], "the browser's own, as without TLS");
    }
    assert_eq!(named.connections(), 2, "connections are kept");

    let front = Front::before(sockets.address, &["127.0.0.1"]).await;
    let routes = vec![route("/", &front.url("127.0.0.1"))];
    let world = world_with(routes, |options| options.client_ca = Some(front.certificate.clone())).await;
    let mut raw = Raw::connect(world.address).await;
    raw.send(format!("GET / HTTP/1.1\r\n{HANDSHAKE}")).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(raw.exact(5).await, b"hello");
    raw.send(vec![1; 100_000]).await;
    tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await.unwrap();
    assert_eq!(raw.rest().await, b"got 100000 bytes", "an end is passed on, and the other direction goes on");
}

#[tokio::test]
async fn an_upstream_that_nobody_vouches_for_gets_no_request() {
    let upstream = Upstream::named("secure").await;
    let front = Front::before(upstream.address, &["other.example"]).await;
    let other = Front::before(upstream.address, &["127.0.0.1"]).await;
    let routes = vec![
        route("/name", &front.url("127.0.0.1")),
        route("/unknown", &other.url("127.0.0.1")),
        route("/plain", &format!("https://{}", upstream.address)),
    ];
    let world = world_with(routes, |options| options.client_ca = Some(front.certificate.clone())).await;
    for path in ["/name", "/unknown", "/plain"] {
        let mut raw = Raw::connect(world.address).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 503 "), "{path}: {head}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
}

#[tokio::test]
async fn who_has_a_server_is_not_taken_for_the_hub_at_its_address() {
    let (hub, lab) = (Upstream::named("hub").await, Upstream::named("lab").await);
    let hub_front = Front::before(hub.address, &["127.0.0.1"]).await;
    let lab_front = Front::before(lab.address, &["127.0.0.1"]).await;
    for (front, status) in [(&hub_front, "200"), (&lab_front, "503")] {
        let at = front.url("127.0.0.1");
        let routes = vec![route("/user/a", &lab_front.url("127.0.0.1")), hub_route("/hub", &at)];
        let world = world_with(routes, |options| {
            options.client_ca = Some(lab_front.certificate.clone());
            options.hub_ca = Some(hub_front.certificate.clone());
            options.default_target = Some(at);
        })
        .await;
        for (path, status) in [("/", status), ("/hub/login", status), ("/user/a/lab", "200")] {
            let mut raw = Raw::connect(world.address).await;
            raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: jupyterhub-hub-login=word\r\n\r\n")).await;
            let head = raw.head().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        }
    }
    assert_eq!((hub.seen().len(), lab.seen().len()), (2, 2), "{:?}", lab.seen());
}

/// Uploads until there is an answer, and gives its status.
pub async fn upload(address: SocketAddr) -> u16 {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let pouring = tokio::spawn(async move {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
        writer.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![0; 1 << 16];
        while writer.write_all(&piece).await.is_ok() {}
    });
    let mut begin = [0; 12];
    // Looked at and not read: the proxy may reset a connection whose upload it does not take.
    let looking = async { while reader.peek(&mut begin).await.unwrap() < begin.len() {} };
    tokio::time::timeout(DEADLINE, looking).await.expect("an answer");
    pouring.abort();
    std::str::from_utf8(&begin[9..]).unwrap().parse().unwrap()
}

#[tokio::test]
async fn item_21_a_server_over_tls_that_takes_nothing_is_cut() {
    let upstream = Upstream::raw(|_, mut peer, _| async move {
        peer.head().await;
        // It keeps its connection and reads nothing more.
        std::future::pending::<()>().await;
    })
    .await;
    let front = Front::before(upstream.address, &["127.0.0.1"]).await;
    let world = world_with(vec![route("/", &front.url("127.0.0.1"))], |options| {
        options.client_ca = Some(front.certificate.clone());
        options.limits.stalled = Duration::from_millis(300);
    })
    .await;
    assert_eq!(upload(world.address).await, 502);
}

/// The certificate that the proxy shows to upstreams, and the authorities that it believes, are renewed while it runs.
#[tokio::test]
async fn item_31_what_is_shown_to_upstreams_and_believed_of_them_follows_its_files() {
    let named = Upstream::named("inside").await;
    let (old, new) = (Authority::new(), Authority::new());
    let before = Front::asking(named.address, &old).await;
    let after = Front::asking(named.address, &new).await;
    let folder = tempfile::tempdir().unwrap();
    let (ca, shown) = (folder.path().join("ca.pem"), folder.path().join("shown.pem"));
    let write = |authority: &Authority| {
        let files = authority.sign("proxy", &["proxy"]);
        let both = [files.certificate, files.key].map(|file| std::fs::read_to_string(file).unwrap()).concat();
        std::fs::write(&shown, both).unwrap();
        std::fs::copy(authority.file(), &ca).unwrap();
    };
    write(&old);
    for told in [false, true] {
        write(&old);
        let routes = vec![route("/old/", &before.url("127.0.0.1")), hub_route("/new/", &after.url("127.0.0.1"))];
        let world = world_with(routes, |options| {
            let look = if told { Duration::from_secs(3600) } else { Duration::from_millis(20) };
            options.limits.certificate_look = look;
            options.limits.hub_wait = Duration::ZERO;
            options.limits.pool_size = 0;
            options.client_ca = Some(ca.clone());
            options.hub_ca = Some(ca.clone());
            options.client_certificate = Some(CertificateFiles { certificate: shown.clone(), key: shown.clone() });
        })
        .await;
        let status = async |path: &str| crate::client::get(world.address, path).await.status;
        assert_eq!((status("/old/").await, status("/new/").await), (200, 503), "told {told}");
        // As when a renewal is half written: what was read before is still good.
        std::fs::write(&shown, "nonsense").unwrap();
        world.options.reload.tell();
        assert_eq!(status("/old/").await, 200);
        write(&new);
        if told {
            world.options.reload.tell();
        }
        until("the new ones", async || (status("/old/").await, status("/new/").await) == (503, 200)).await;
    }
}
