//! TLS towards browsers: which certificate is shown, whose certificates are asked for, and what plain HTTP is told.
//!
//! Certificates come from files, are made here, or are ordered from an ACME authority. All three end up in a
//! [`Keyring`], which handshakes read and one task renews, so that no connection is dropped for a new certificate.

mod acme;
mod files;
mod identity;
mod keyring;
mod redirect;
mod self_signed;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use http::HeaderValue;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, SupportedProtocolVersion,
        crypto::{CryptoProvider, ring},
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
        version,
    },
    server::TlsStream,
};

use crate::{hand_over::Sockets, http2, listener, reload::Follower, state::Shared};
use keyring::Keyring;

pub use acme::{AcmeOptions, Challenge, Entries, Storage};
pub use files::CertificateFiles;
pub(crate) use files::watch;

/// The protocol that an ACME authority speaks to look for a proof (RFC 8737).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// How the public listeners speak TLS.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// Where certificates come from.
    pub source: CertificateSource,
    /// Whose certificates browsers may or must show.
    pub clients: ClientCertificates,
    /// The versions that are spoken.
    pub versions: Versions,
    /// Whether HTTP/2 is spoken beside HTTP/1.1.
    pub http2: bool,
    /// Where plain HTTP is answered with the https address.
    pub redirect: Option<Redirect>,
    /// How long browsers are told to use https only (`Strict-Transport-Security`); zero or None tells them nothing.
    pub hsts: Option<Duration>,
}

impl TlsOptions {
    /// Certificates from a source; nothing asked of clients, HTTP/1.1 alone, no redirect, no HSTS.
    pub fn new(source: CertificateSource) -> Self {
        Self {
            source,
            clients: ClientCertificates::default(),
            versions: Versions::default(),
            http2: false,
            redirect: None,
            hsts: None,
        }
    }
}

/// Where certificates come from.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// PEM files, read again when they change. The first is shown to whoever asks for none of the names.
    Files(Vec<CertificateFiles>),
    /// One for these names, signed by itself, kept in the folder and renewed before its end.
    SelfSigned {
        /// Where it is kept.
        folder: PathBuf,
        /// Host names and addresses.
        names: Vec<String>,
    },
    /// Ordered from an authority, and again when two thirds of its life are over.
    Acme(AcmeOptions),
}

/// Certificates of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// None are asked for.
    #[default]
    Ignored,
    /// One that is shown has to be signed by an authority in this PEM file.
    Asked(PathBuf),
    /// As [`Self::Asked`], and one has to be shown.
    Required(PathBuf),
}

/// Which versions of TLS are spoken. Older ones are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 alone.
    Only12,
    /// 1.3 alone.
    Only13,
}

impl Versions {
    fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
        match self {
            Self::Both => BOTH,
            Self::Only12 => BOTH.get(1..).unwrap_or_default(),
            Self::Only13 => BOTH.get(..1).unwrap_or_default(),
        }
    }
}

/// A plain HTTP listener that sends everybody to https.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The port of the https address; None is that of the first public listener.
    pub port: Option<u16>,
}

/// What handshakes need, and what keeps the certificates current.
pub(crate) struct Secure {
    acceptor: TlsAcceptor,
    pub(crate) keyring: Arc<Keyring>,
    source: CertificateSource,
    redirect: Option<Redirect>,
    /// What to say in `Strict-Transport-Security`.
    pub(crate) hsts: Option<HeaderValue>,
    reload: Follower,
}

impl Secure {
    /// Reads or makes the first certificate. Errors: it cannot be had, or an option is of no use.
    pub(crate) fn new(options: TlsOptions, reload: Follower) -> anyhow::Result<Self> {
        let keyring = Arc::new(Keyring::default());
        let proves = match &options.source {
            CertificateSource::Files(list) => {
                keyring.set(files::load(list)?);
                false
            }
            CertificateSource::SelfSigned { folder, names } => {
                keyring.set(vec![self_signed::obtain(folder, names)?]);
                false
            }
            CertificateSource::Acme(order) => {
                keyring.set(vec![acme::kept_or_stopgap(order)?]);
                order.challenge == Challenge::TlsAlpn01
            }
        };
        if let CertificateSource::Acme(order) = &options.source
            && order.challenge == Challenge::Http01
            && options.redirect.is_none()
        {
            bail!("the challenge http-01 is answered on the port of the redirect, and there is none");
        }
        let mut config = server_config(Arc::clone(&keyring), &options.clients, options.versions)?;
        let spoken = [options.http2.then_some(http2::ALPN), Some(b"http/1.1"), proves.then_some(ACME_TLS)];
        config.alpn_protocols = spoken.into_iter().flatten().map(<[u8]>::to_vec).collect();
        let seconds = options.hsts.map(|time| time.as_secs()).filter(|seconds| *seconds > 0);
        let hsts = seconds.and_then(|seconds| HeaderValue::from_str(&format!("max-age={seconds}")).ok());
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            keyring,
            source: options.source,
            redirect: options.redirect,
            hsts,
            reload,
        })
    }

    /// Shows the certificate that other proxies have already, where they share one.
    pub(crate) async fn look_among_others(&self) {
        if let CertificateSource::Acme(order) = &self.source
            && let Some(identity) = acme::shared(order).await
        {
            self.keyring.set(vec![identity]);
        }
    }

    /// Shakes hands with a client in time. Errors are the client's.
    pub(crate) async fn accept(&self, socket: TcpStream, within: Duration) -> io::Result<TlsStream<TcpStream>> {
        let shaken = tokio::time::timeout(within, self.acceptor.accept(socket)).await;
        let stream = shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) {
            return Err(io::Error::other("an authority looked for its proof"));
        }
        Ok(stream)
    }

    /// Binds the listener of the redirect, if there is one. `public` is the port of the https address; for `both` see
    /// [`listener::bind`].
    pub(crate) fn bind_redirect(
        &self,
        public: u16,
        sockets: &Sockets,
        both: bool,
    ) -> anyhow::Result<Option<(TcpListener, u16)>> {
        let Some(redirect) = &self.redirect else { return Ok(None) };
        Ok(Some((listener::bind(redirect.listen, sockets, both)?, redirect.port.unwrap_or(public))))
    }

    /// Starts what keeps certificates current, and the redirect.
    pub(crate) fn start(&self, shared: &Arc<Shared>, redirect: Option<(TcpListener, u16)>) {
        let (keyring, reload) = (Arc::clone(&self.keyring), self.reload.clone());
        let open = Arc::clone(shared);
        let look = shared.limits().certificate_look;
        let proofs = acme::Proofs::default();
        if let Some((listener, port)) = redirect {
            shared.tasks.spawn(redirect::serve(Arc::clone(shared), listener, port, proofs.clone()));
        }
        match self.source.clone() {
            CertificateSource::Files(list) => {
                let paths = list.iter().flat_map(CertificateFiles::paths).collect();
                let read = move || files::load(&list).map(|identities| keyring.set(identities));
                shared.tasks.spawn(async move { open.while_open(files::watch(paths, look, reload, read)).await });
            }
            CertificateSource::SelfSigned { folder, names } => {
                shared.tasks.spawn(async move { open.while_open(self_signed::keep(folder, names, keyring)).await });
            }
            CertificateSource::Acme(options) => {
                match acme::Keeper::new(options, keyring, proofs, reload, &shared.limits()) {
                    Ok(keeper) => drop(shared.tasks.spawn(async move { open.while_open(keeper.run()).await })),
                    Err(problem) => tracing::error!(problem = format!("{problem:#}"), "no certificate is ordered"),
                }
            }
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server_config(
    keyring: Arc<Keyring>,
    clients: &ClientCertificates,
    versions: Versions,
) -> anyhow::Result<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions.list())?;
    let builder = match clients {
        ClientCertificates::Ignored => builder.with_no_client_auth(),
        ClientCertificates::Asked(file) => builder.with_client_cert_verifier(verifier(file, false)?),
        ClientCertificates::Required(file) => builder.with_client_cert_verifier(verifier(file, true)?),
    };
    Ok(builder.with_cert_resolver(keyring))
}

fn verifier(file: &std::path::Path, required: bool) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let context = || format!("the authorities of clients in {}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).with_context(context)? {
        roots.add(certificate.with_context(context)?).with_context(context)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    builder.build().with_context(context)
}
