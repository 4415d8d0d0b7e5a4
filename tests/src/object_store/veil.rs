//! TLS before an object store, with a certificate of an authority that nobody else believes, as a house has its own.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

/// It lies over a store until it is dropped.
pub struct Veil {
    port: u16,
    folder: TempDir,
    task: JoinHandle<()>,
}

impl Veil {
    /// What comes to it over TLS goes on to this address of the machine, such as `http://127.0.0.1:9000`.
    pub async fn over(endpoint: &str) -> Result<Veil> {
        let to: http::uri::Authority = endpoint.trim_start_matches("http://").parse()?;
        let folder = tempfile::tempdir()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer has its own name for one that nobody else signed.
        authority.distinguished_name.push(DnType::CommonName, format!("authority of {}", folder.path().display()));
        let key = KeyPair::generate()?;
        fs::write(folder.path().join("ca.pem"), authority.self_signed(&key)?.pem())?;
        let own = KeyPair::generate()?;
        let names = vec!["127.0.0.1".to_owned()];
        let signed = CertificateParams::new(names)?.signed_by(&own, &Issuer::new(authority, key))?;
        let config = ServerConfig::builder_with_provider(ring::default_provider().into());
        let config = config.with_safe_default_protocol_versions()?.with_no_client_auth().with_single_cert(
            vec![CertificateDer::from_pem_slice(signed.pem().as_bytes())?],
            PrivateKeyDer::from_pem_slice(own.serialize_pem().as_bytes())?,
        )?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, to) = (acceptor.clone(), to.clone());
                tokio::spawn(async move {
                    // Who does not believe the certificate goes away by itself.
                    if let (Ok(mut from), Ok(mut to)) =
                        (acceptor.accept(socket).await, TcpStream::connect(to.as_str()).await)
                    {
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        Ok(Veil { port, folder, task })
    }

    pub fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Whom to believe.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

impl Drop for Veil {
    fn drop(&mut self) {
        self.task.abort();
    }
}
