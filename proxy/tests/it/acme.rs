//! Certificates from an ACME authority: real Pebble.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use specola_proxy::secure::{AcmeOptions, CertificateSource, Challenge, Redirect, TlsOptions};

use crate::{
    client::{Raw, until},
    hub::route,
    pebble::{self, Pebble},
    secure::{browser, shown},
    upstream::Upstream,
    world::{World, world_with},
};

/// What is shown, whoever signed it: until there is a certificate, nobody but the proxy itself.
pub async fn served(address: SocketAddr) -> Option<Vec<u8>> {
    use std::sync::Arc;
    use tokio_rustls::{TlsConnector, rustls};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    shown(&TlsConnector::from(Arc::new(config)), address, "hub.example").await.ok()
}

/// Believes every certificate, to look at it.
#[derive(Debug)]
struct Anybody(std::sync::Arc<tokio_rustls::rustls::crypto::CryptoProvider>);

mod anybody {
    use tokio_rustls::rustls::{
        DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    };

    impl ServerCertVerifier for super::Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

pub fn ordered(pebble: &Pebble, folder: &Path, challenge: Challenge) -> AcmeOptions {
    AcmeOptions {
        directory: pebble.directory.clone(),
        domains: vec!["hub.example".to_owned(), "labs.example".to_owned()],
        email: Some("admin@hub.example".to_owned()),
        ca_file: Some(pebble.ca_file()),
        folder: folder.to_owned(),
        shared: None,
        challenge,
    }
}

/// A port that is free now and that the proxy listens on later: the authority has to know it before.
pub async fn port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

struct Ground {
    pebble: Pebble,
    world: World,
    folder: tempfile::TempDir,
}

async fn ground(challenge: Challenge, seconds: u32) -> Option<Ground> {
    let program = pebble::program().unwrap()?;
    let (http, tls) = (port().await, port().await);
    let pebble = Pebble::start(&program, http, tls, seconds).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let named = Upstream::named("x").await;
    let mut wanted = TlsOptions::new(CertificateSource::Acme(ordered(&pebble, folder.path(), challenge)));
    if challenge == Challenge::Http01 {
        wanted.redirect = Some(Redirect { listen: SocketAddr::from(([127, 0, 0, 1], http)), port: Some(tls) });
    }
    let world = world_with(vec![route("/", &format!("http://{}", named.address))], |options| {
        options.listen = vec![SocketAddr::from(([127, 0, 0, 1], tls))];
        options.tls = Some(wanted);
        options.limits.acme_pause = Duration::from_millis(100);
        options.limits.acme_retry = Duration::from_millis(100);
        options.limits.acme_retry_max = Duration::from_millis(400);
    })
    .await;
    Some(Ground { pebble, world, folder })
}

impl Ground {
    /// What is kept of the authority.
    fn kept(&self, file: &str) -> Option<std::path::PathBuf> {
        let own = std::fs::read_dir(self.folder.path()).ok()?.next()?.ok()?.path();
        Some(own.join(file)).filter(|path| path.exists())
    }

    /// Waits until the kept certificate is there, and shown.
    async fn certified(&self) -> Vec<u8> {
        self.certified_after(&[]).await
    }

    async fn certified_after(&self, before: &[u8]) -> Vec<u8> {
        use rustls_pki_types::{CertificateDer, pem::PemObject};
        let mut found = Vec::new();
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                let kept = self.kept("certificate.pem").and_then(|file| CertificateDer::from_pem_file(file).ok());
                if let Some(kept) = kept
                    && *kept != *before
                    && served(self.world.address).await.as_deref() == Some(&kept[..])
                {
                    found = kept.to_vec();
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(waited.await.is_ok(), "no certificate came:\n{}", self.pebble.log());
        found
    }
}

#[tokio::test]
async fn item_28_an_authority_gives_a_certificate_that_outlives_a_restart() {
    for challenge in [Challenge::TlsAlpn01, Challenge::Http01] {
        let Some(mut ground) = ground(challenge, 3600).await else { return };
        let first = ground.certified().await;
        // What browsers are to believe is the root; the proxy shows what leads to it.
        let believing = browser(&ground.pebble.root().await.unwrap(), None);
        assert!(shown(&believing, ground.world.address, "hub.example").await.unwrap() == first);
        for file in ["certificate.pem", "account.json"] {
            let mode = std::fs::metadata(ground.kept(file).unwrap()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let orders = ground.pebble.said("Added order ");
        ground.world.end().await;
        // Without the authority: nothing is asked of it, and what was kept is shown.
        ground.pebble.stop();
        ground.world.start().await;
        assert!(served(ground.world.address).await.unwrap() == first, "{challenge:?}");
        assert_eq!(orders, 1, "{}", ground.pebble.log());
        // Proofs are gone once they were seen.
        if let Some(redirect) = ground.world.redirect {
            let path = "/.well-known/acme-challenge/x";
            assert_eq!(crate::client::get(redirect, path).await.status, 404);
        }
    }
}

#[tokio::test]
async fn item_28_a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
    let Some(ground) = ground(Challenge::TlsAlpn01, 6).await else { return };
    let first = ground.certified().await;
    let mut open = Raw::connect(ground.world.address).await;
    let second = ground.certified_after(&first).await;
    assert!(first != second);
    // With the account it has.
    assert_eq!(ground.pebble.said(" accounts in memory"), 1, "{}", ground.pebble.log());
    open.send("x").await;
}

#[tokio::test]
async fn item_28_an_authority_that_is_away_is_asked_again_and_the_port_answers_meanwhile() {
    let Some(program) = pebble::program().unwrap() else { return };
    let (http, tls) = (port().await, port().await);
    let mut pebble = Pebble::start(&program, http, tls, 3600).await.unwrap();
    pebble.stop();
    let folder = tempfile::tempdir().unwrap();
    let named = Upstream::named("x").await;
    let mut order = ordered(&pebble, folder.path(), Challenge::TlsAlpn01);
    let world = world_with(vec![route("/", &format!("http://{}", named.address))], |options| {
        options.listen = vec![SocketAddr::from(([127, 0, 0, 1], tls))];
        options.tls = Some(TlsOptions::new(CertificateSource::Acme(order.clone())));
        options.limits.acme_retry = Duration::from_millis(50);
        options.limits.acme_retry_max = Duration::from_millis(200);
    })
    .await;
    let stopgap = served(world.address).await.unwrap();
    assert!(served(world.address).await.unwrap() == stopgap);
    drop(world);
    // An authority that sees somebody else's server at the names refuses.
    let other = port().await;
    let refusing = Pebble::start(&program, http, other, 3600).await.unwrap();
    order.directory.clone_from(&refusing.directory);
    order.ca_file = Some(refusing.ca_file());
    let world = world_with(vec![route("/", &format!("http://{}", named.address))], |options| {
        options.listen = vec!["127.0.0.1:0".parse().unwrap()];
        options.tls = Some(TlsOptions::new(CertificateSource::Acme(order)));
        options.limits.acme_retry = Duration::from_millis(50);
        options.limits.acme_retry_max = Duration::from_millis(200);
    })
    .await;
    let refused = async || refusing.asked("/order-plz") >= 2;
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !refused().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "never asked again:\n{}", refusing.log());
    let stopgap = served(world.address).await.unwrap();
    until("an answer", async || served(world.address).await.is_some_and(|now| now == stopgap)).await;
    // Nobody believes it, but it is there.
    assert!(shown(&browser(&refusing.ca_file(), None), world.address, "hub.example").await.is_err());
}
