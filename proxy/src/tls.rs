//! TLS towards upstreams: services and labs whose address begins with `https://`.
//!
//! What a connection says in clear goes through a pair of unix sockets, one end of which stands for the upstream, so that
//! pools and tunnels know sockets only. It costs one more copy, for the few upstreams that want TLS.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use arc_swap::ArcSwapOption;
use rustls_pki_types::{CertificateDer, IpAddr, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    },
};

use crate::{
    patient::PatientSocket,
    reload::Reload,
    secure::{self, CertificateFiles},
    state::Shared,
    stream,
    target::{Address, Target},
};

/// What an upstream has to end a connection whose other side is gone.
const LAST: Duration = Duration::from_secs(5);

/// Whom to believe: the authorities of this machine, and those of a file; or those of the file alone. Read when first needed,
/// and again when files change.
#[derive(Clone, Default)]
pub(crate) struct Trust {
    file: Option<PathBuf>,
    alone: bool,
    shows: Option<CertificateFiles>,
    insecure: bool,
    connector: Arc<ArcSwapOption<TlsConnector>>,
}

impl Trust {
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self { file, ..Self::default() }
    }

    /// Believes those of the file, and nobody else.
    pub(crate) fn alone(file: PathBuf) -> Self {
        Self { file: Some(file), alone: true, ..Self::default() }
    }

    /// The same, showing a certificate to who asks, and with `insecure` believing everybody.
    pub(crate) fn showing(self, shows: Option<CertificateFiles>, insecure: bool) -> Self {
        Self { shows, insecure, ..self }
    }

    /// Whether both are one, of which one was cloned.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.connector, &other.connector)
    }

    /// Shakes hands with the target over a connection. Whoever gets the socket speaks in clear, and ends the connection
    /// by dropping it.
    pub(crate) async fn wrap(&self, target: &Target, socket: TcpStream) -> io::Result<PatientSocket> {
        let connector = match self.connector.load_full() {
            Some(connector) => connector,
            None => self.read().map_err(io::Error::other)?,
        };
        let name = match &target.address {
            Address::Ip(address) => ServerName::IpAddress(IpAddr::from(address.ip())),
            Address::Name(name, _) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
            Address::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        socket.set_nodelay(true)?;
        stream::keep_alive(&socket);
        let mut secured = connector.connect(name, socket).await?;
        let (ours, mut theirs) = UnixStream::pair()?;
        let (ours, dropped) = PatientSocket::watched(ours);
        tokio::spawn(async move {
            let last = async {
                dropped.cancelled().await;
                tokio::time::sleep(LAST).await;
            };
            tokio::select! {
                copied = copy_bidirectional(&mut theirs, &mut secured) => {
                    if let Err(problem) = copied {
                        tracing::debug!(%problem, "a TLS connection ended");
                    }
                }
                () = last => tracing::debug!("an upstream did not end a TLS connection"),
            }
        });
        Ok(ours)
    }

    /// Reads the files again when they change, until the drain. What was read before is used until then.
    pub(crate) fn follow(&self, shared: &Arc<Shared>, reload: &Reload) {
        let shown = self.shows.as_ref().map(CertificateFiles::paths).into_iter().flatten();
        let files: Vec<PathBuf> = self.file.iter().cloned().chain(shown).collect();
        if files.is_empty() {
            return;
        }
        let trust = self.clone();
        // Whoever needs it first reads what is there then.
        let read = move || if trust.connector.load().is_some() { trust.read().map(drop) } else { Ok(()) };
        let (open, look, reload) = (Arc::clone(shared), shared.limits().certificate_look, reload.follow());
        shared.tasks.spawn(async move { open.drain.until(secure::watch(files, look, reload, read)).await });
    }

    fn read(&self) -> anyhow::Result<Arc<TlsConnector>> {
        let connector = Arc::new(self.make()?);
        self.connector.store(Some(Arc::clone(&connector)));
        Ok(connector)
    }

    fn make(&self) -> anyhow::Result<TlsConnector> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match self.insecure {
            true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
            false => {
                let mut roots = RootCertStore::empty();
                if !self.alone {
                    add_own(&mut roots);
                }
                self.file.as_deref().map_or(Ok(()), |file| add(&mut roots, file))?;
                builder.with_root_certificates(roots)
            }
        };
        let mut config = match &self.shows {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let context = || format!("{} with {}", files.certificate.display(), files.key.display());
                let chain: Result<Vec<_>, _> =
                    CertificateDer::pem_file_iter(&files.certificate).with_context(context)?.collect();
                let key = PrivateKeyDer::from_pem_file(&files.key).with_context(context)?;
                builder.with_client_auth_cert(chain.with_context(context)?, key).with_context(context)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// Believes every certificate, but has it prove that it is the sender's.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// How to speak TLS to a server: believes the authorities of this machine, and those in a PEM file.
///
/// Errors: those of [`authorities`]; there is nobody to believe.
pub fn client_config(file: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let roots = authorities(file)?;
    ensure!(!roots.is_empty(), "this machine knows no certificate authorities");
    believing(roots)
}

/// The authorities of this machine, as far as it has any, and those in a PEM file.
///
/// Errors: the file cannot be read, holds something else, or nothing.
pub fn authorities(file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    add_own(&mut roots);
    file.map_or(Ok(()), |file| add(&mut roots, file))?;
    Ok(roots)
}

fn add_own(roots: &mut RootCertStore) {
    // What of the machine's own cannot be read is no reason to believe nobody.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
}

fn add(roots: &mut RootCertStore, file: &Path) -> anyhow::Result<()> {
    let context = || format!("the authorities in {}", file.display());
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(file).with_context(context)? {
        roots.add(certificate.with_context(context)?).with_context(context)?;
    }
    ensure!(roots.len() > before, "there is no certificate in {}", file.display());
    Ok(())
}

/// How to speak TLS to a server that one of these vouches for.
pub fn believing(roots: RootCertStore) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
