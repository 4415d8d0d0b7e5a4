use hub_core::clock::SystemClock;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};

use super::*;

fn open(folder: &Path) -> Arc<InternalSsl> {
    let mut config = Config::default();
    config.hub.internal_ssl = true;
    config.hub.data_dir = folder.to_owned();
    config.hub.trusted_alt_names = vec!["DNS:hub.example.org".to_owned(), "IP:192.0.2.7".to_owned()];
    InternalSsl::open(&config, Arc::new(SystemClock)).unwrap().unwrap()
}

/// What a server is configured with that has these papers, as the single-user server is.
fn server(papers: &Papers) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let believed = Arc::new(roots(&papers.authorities).unwrap());
    let clients = WebPkiClientVerifier::builder_with_provider(believed, Arc::clone(&provider)).build().unwrap();
    let pair = Pair { key: papers.key.expose().to_owned(), certificate: papers.certificate.clone() };
    let (chain, key) = shown(&pair).unwrap();
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_client_cert_verifier(clients).with_single_cert(chain, key).unwrap()
}

fn client(believed: &str, shows: Option<Pair>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots(believed).unwrap());
    match shows {
        Some(pair) => {
            let (chain, key) = shown(&pair).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    }
}

fn shakes_hands(client: ClientConfig, server: ServerConfig, name: &str) -> Result<(), rustls::Error> {
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        server.read_tls(&mut sent.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut sent = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut sent).unwrap();
        }
        client.read_tls(&mut sent.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

fn of_proxy(folder: &Path) -> Pair {
    let [shown, ..] = files_of_proxy(&folder.join("proxy"));
    let text = std::fs::read_to_string(shown).unwrap();
    Pair { key: text.clone(), certificate: text }
}

fn of_lab(papers: Papers) -> Pair {
    Pair { key: papers.key.expose().to_owned(), certificate: papers.certificate }
}

#[test]
fn hub_and_proxy_are_heard_by_servers_and_servers_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let ssl = open(folder.path());
    let lab = || ssl.certify(&["127.0.0.1".to_owned(), "lab.example.org".to_owned()]).unwrap();
    assert_eq!(shakes_hands(ssl.client().unwrap(), server(&lab()), "127.0.0.1"), Ok(()));
    for name in ["127.0.0.1", "lab.example.org"] {
        assert_eq!(shakes_hands(client(&ssl.all, Some(of_proxy(folder.path()))), server(&lab()), name), Ok(()));
    }
    let other = client(&ssl.all, Some(of_lab(lab())));
    assert!(shakes_hands(other, server(&lab()), "127.0.0.1").is_err(), "another server");
    assert!(shakes_hands(client(&ssl.all, None), server(&lab()), "127.0.0.1").is_err(), "nobody");
    let elsewhere = client(&ssl.all, Some(of_proxy(folder.path())));
    assert!(shakes_hands(elsewhere, server(&lab()), "other.example.org").is_err(), "another name");
}

#[test]
fn a_server_is_not_taken_for_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let ssl = open(folder.path());
    let lab = ssl.certify(&["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let [_, servers, hub] = files_of_proxy(&folder.path().join("proxy")).map(|it| std::fs::read_to_string(it).unwrap());
    let proxy = |believed: &str| client(believed, Some(of_proxy(folder.path())));
    for name in ["127.0.0.1", "hub.example.org", "192.0.2.7"] {
        assert_eq!(shakes_hands(proxy(&hub), ssl.server().unwrap(), name), Ok(()));
        assert!(shakes_hands(proxy(&hub), server(&lab), name).is_err(), "{name}: who has a server is the hub");
    }
    assert_eq!(shakes_hands(proxy(&servers), server(&lab), "127.0.0.1"), Ok(()));
    for name in ["hub.example.org", "192.0.2.7"] {
        assert!(shakes_hands(proxy(&servers), server(&lab), name).is_err(), "{name}: a name of the hub's");
    }
}

#[test]
fn the_hub_hears_whom_its_authorities_signed_for() {
    let folder = tempfile::tempdir().unwrap();
    let ssl = open(folder.path());
    let papers = ssl.certify(&["127.0.0.1".to_owned()]).unwrap();
    let believed = papers.authorities.clone();
    for name in ["localhost", "hub.example.org"] {
        let lab = client(&believed, Some(of_lab(papers.clone())));
        assert_eq!(shakes_hands(lab, ssl.server().unwrap(), name), Ok(()));
    }
    assert!(shakes_hands(client(&believed, None), ssl.server().unwrap(), "localhost").is_err());
    let elsewhere = tempfile::tempdir().unwrap();
    let strange = of_lab(open(elsewhere.path()).certify(&["127.0.0.1".to_owned()]).unwrap());
    assert!(shakes_hands(client(&believed, Some(strange)), ssl.server().unwrap(), "localhost").is_err());
}

#[test]
fn authorities_stay_and_what_was_signed_before_counts_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let papers = first.certify(&["127.0.0.1".to_owned()]).unwrap();
    let again = open(folder.path());
    assert_eq!(first.fingerprint().expose(), again.fingerprint().expose());
    assert_eq!(shakes_hands(again.client().unwrap(), server(&papers), "127.0.0.1"), Ok(()));
    let key = folder.path().join("internal-ssl/hub-ca.pem");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    // A file of another authority, or a broken one, is refused, and nothing takes its place.
    let mut config = Config::default();
    (config.hub.internal_ssl, config.hub.data_dir) = (true, folder.path().to_owned());
    for content in [std::fs::read(folder.path().join("internal-ssl/notebooks-ca.pem")).unwrap(), b"nonsense".to_vec()] {
        std::fs::write(&key, &content).unwrap();
        let error = InternalSsl::open(&config, Arc::new(SystemClock)).unwrap_err();
        assert!(format!("{error:#}").contains("hub-ca.pem"), "{error:#}");
        assert_eq!(std::fs::read(&key).unwrap(), content);
    }
}
