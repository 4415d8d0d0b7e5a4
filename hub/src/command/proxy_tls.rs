//! The arguments of `specola proxy` about TLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use futures_util::future::BoxFuture;
use spawner_kubernetes::SharedSecret;
use specola_proxy::secure::{
    AcmeOptions, CertificateFiles, CertificateSource, Challenge, ClientCertificates, Entries, Redirect, Storage,
    TlsOptions,
};

/// How browsers are spoken to.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub struct Tls {
    /// A certificate (PEM) to show; may be given several times, each with its key, for several host names.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["self_signed", "acme"])]
    ssl_cert: Vec<PathBuf>,
    /// The key of the certificate.
    #[arg(long, value_name = "FILE")]
    ssl_key: Vec<PathBuf>,
    /// Show a certificate made here and kept in this folder. Browsers warn.
    #[arg(long, value_name = "FOLDER", conflicts_with = "acme")]
    self_signed: Option<PathBuf>,
    /// A host name or address in that certificate; may be given several times.
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    self_signed_name: Vec<String>,
    /// Show a certificate ordered from an authority, and keep it in this folder.
    #[arg(long, value_name = "FOLDER", requires = "acme_domain")]
    acme: Option<PathBuf>,
    /// A host name to order it for; may be given several times.
    #[arg(long, value_name = "NAME")]
    acme_domain: Vec<String>,
    /// The authority's directory.
    #[arg(long, value_name = "URL", default_value = "https://acme-v02.api.letsencrypt.org/directory")]
    acme_directory: String,
    /// Where the authority may write to.
    #[arg(long, value_name = "ADDRESS")]
    acme_email: Option<String>,
    /// A file of certificate authorities (PEM) to believe when asking the authority.
    #[arg(long, value_name = "FILE")]
    acme_ca: Option<PathBuf>,
    /// Keep account and certificate in this secret of Kubernetes ([NAMESPACE/]NAME), which other proxies share; the folder has a
    /// copy of the certificate.
    #[arg(long, value_name = "NAME", requires = "acme")]
    acme_secret: Option<String>,
    /// How the authority sees that the names are ours.
    #[arg(long, value_enum, default_value_t = AcmeChallenge::TlsAlpn01)]
    acme_challenge: AcmeChallenge,
    /// Speak nothing but HTTP/1.1.
    #[arg(long)]
    no_http2: bool,
    /// A port on which plain HTTP is answered with the https address.
    #[arg(long, value_name = "PORT")]
    redirect_port: Option<u16>,
    /// The port of that https address, when it is another than the one listened on.
    #[arg(long, value_name = "PORT")]
    redirect_to: Option<u16>,
    /// How long browsers are told to use https only, in seconds.
    #[arg(long, value_name = "SECONDS")]
    hsts_max_age: Option<f64>,
    /// A file of certificate authorities (PEM): browsers have to show a certificate that one of them signed.
    #[arg(long, value_name = "FILE")]
    ssl_ca: Option<PathBuf>,
    /// Let browsers in as well that show none.
    #[arg(long, requires = "ssl_ca")]
    client_certificate_optional: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AcmeChallenge {
    /// In a handshake at port 443.
    #[value(name = "tls-alpn-01")]
    TlsAlpn01,
    /// At port 80, where the redirect listens.
    #[value(name = "http-01")]
    Http01,
}

/// A secret, as the proxy's place for what several share.
#[derive(Debug)]
struct Shared(SharedSecret);

impl Storage for Shared {
    fn read(&self) -> BoxFuture<'_, Result<Entries>> {
        Box::pin(async { self.0.read().await.map(|(version, entries)| Entries { version, entries }) })
    }

    fn write(&self, wanted: Entries) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(async move { self.0.write(&wanted.version, wanted.entries).await })
    }
}

impl Tls {
    /// What the arguments come to; `None` is plain HTTP. The redirect listens beside the first public address.
    pub fn options(self, listen: Option<&SocketAddr>) -> Result<Option<TlsOptions>> {
        let source = if let Some(folder) = self.self_signed {
            CertificateSource::SelfSigned { folder, names: self.self_signed_name }
        } else if let Some(folder) = self.acme {
            CertificateSource::Acme(AcmeOptions {
                directory: self.acme_directory,
                domains: self.acme_domain,
                email: self.acme_email,
                ca_file: self.acme_ca,
                folder,
                shared: self.acme_secret.map(|name| Arc::new(Shared(SharedSecret::here(&name))) as Arc<dyn Storage>),
                challenge: match self.acme_challenge {
                    AcmeChallenge::TlsAlpn01 => Challenge::TlsAlpn01,
                    AcmeChallenge::Http01 => Challenge::Http01,
                },
            })
        } else if !self.ssl_cert.is_empty() {
            if self.ssl_cert.len() != self.ssl_key.len() {
                bail!("each --ssl-cert needs its --ssl-key");
            }
            let pairs = self.ssl_cert.into_iter().zip(self.ssl_key);
            CertificateSource::Files(pairs.map(|(certificate, key)| CertificateFiles { certificate, key }).collect())
        } else if self.ssl_ca.is_some() || self.redirect_port.is_some() || !self.ssl_key.is_empty() {
            bail!("there is no certificate: give --ssl-cert and --ssl-key, --self-signed or --acme");
        } else {
            return Ok(None);
        };
        let mut options = TlsOptions::new(source);
        options.clients = match self.ssl_ca {
            None => ClientCertificates::Ignored,
            Some(file) if self.client_certificate_optional => ClientCertificates::Asked(file),
            Some(file) => ClientCertificates::Required(file),
        };
        options.http2 = !self.no_http2;
        options.hsts = self.hsts_max_age.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        options.redirect = self
            .redirect_port
            .zip(listen)
            .map(|(port, listen)| Redirect { listen: SocketAddr::new(listen.ip(), port), port: self.redirect_to });
        Ok(Some(options))
    }
}
