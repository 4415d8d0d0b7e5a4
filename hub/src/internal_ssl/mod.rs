//! TLS between hub, proxy and servers: JupyterHub's `internal_ssl`.
//!
//! Three authorities sign for the hub, for proxies and for servers. Who listens asks for a certificate too: servers believe
//! hub and proxies and no other server; the hub believes all three. Nothing of it is in the database (record 15),
//! but for a fingerprint.

mod authority;
pub mod known;
pub mod share;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use hub_core::clock::Clock;
use hub_core::secret::Secret;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sha2::{Digest, Sha256};
use spawners::{Certify, Papers};

use crate::config::Config;
use authority::{Authority, Pair};

/// What signs, and what the hub itself shows.
pub struct InternalSsl {
    notebooks: Authority,
    /// The hub's own.
    of_hub: String,
    /// Those whom servers believe.
    of_servers: String,
    /// Everybody.
    all: String,
    own: Pair,
    /// Further authorities that the hub believes.
    more: Option<PathBuf>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for InternalSsl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InternalSsl").finish_non_exhaustive()
    }
}

/// The files from which a proxy reads what it shows, whom it believes of servers, and whom of the hub, in its folder.
pub fn files_of_proxy(folder: &Path) -> [PathBuf; 3] {
    ["internal-ssl.pem", "internal-ssl-trust.pem", "internal-ssl-hub.pem"].map(|name| folder.join(name))
}

impl InternalSsl {
    /// Reads or makes the authorities, and signs for hub and proxy; nothing where hub and servers speak plain HTTP.
    ///
    /// Errors: an authority is of no use, or a file cannot be written.
    pub fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Option<Arc<Self>>> {
        if !config.hub.internal_ssl {
            return Ok(None);
        }
        let (folder, now) = (config.hub.internal_certs_path(), clock.now());
        let obtain = |name| Authority::obtain(&folder, name, now).context("hub.internal_ssl");
        let (hub, proxy, notebooks) = (obtain("hub-ca")?, obtain("proxy-client-ca")?, obtain("notebooks-ca")?);
        let own = hub.sign("hub", &hub_names(config), now)?;
        let more = config.proxy.client_ca_file.clone();
        let ssl = Self {
            of_hub: hub.certificate().to_owned(),
            of_servers: [hub.certificate(), proxy.certificate()].concat(),
            all: [hub.certificate(), proxy.certificate(), notebooks.certificate()].concat(),
            notebooks,
            own,
            more,
            clock,
        };
        let pair = proxy.sign("proxy-client", &["localhost".to_owned()], now)?;
        ssl.equip_proxy(&config.hub.data_dir.join("proxy"), &pair).context("the certificate of the proxy")?;
        Ok(Some(Arc::new(ssl)))
    }

    fn equip_proxy(&self, folder: &Path, pair: &Pair) -> Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut trust = self.all.clone();
        if let Some(more) = &self.more {
            let context = || format!("proxy.client_ca_file, {}", more.display());
            trust.push_str(&std::fs::read_to_string(more).with_context(context)?);
        }
        let shown = format!("{}{}", pair.key, pair.certificate);
        for (file, content) in files_of_proxy(folder).iter().zip([shown, trust, self.of_hub.clone()]) {
            let draft = file.with_extension("draft");
            std::fs::remove_file(&draft).or_else(absent_is_fine)?;
            authority::private(&draft, content.as_bytes())?;
            std::fs::rename(&draft, file)?;
        }
        Ok(())
    }

    /// How the hub listens: nobody is heard without a certificate that one of the authorities signed.
    pub fn server(&self) -> Result<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&self.all)?), Arc::clone(&provider));
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let (chain, key) = shown(&self.own)?;
        Ok(builder.with_client_cert_verifier(clients.build()?).with_single_cert(chain, key)?)
    }

    /// How the hub asks servers, and services that speak TLS.
    pub fn client(&self) -> Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut believed = specola_proxy::tls::authorities(self.more.as_deref())?;
        believed.roots.extend(roots(&self.all)?.roots);
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let (chain, key) = shown(&self.own)?;
        Ok(builder.with_root_certificates(believed).with_client_auth_cert(chain, key)?)
    }

    /// Tells whether two hubs have the same authorities, and nothing of their keys.
    pub fn fingerprint(&self) -> Secret {
        Secret::new(hex::encode(Sha256::digest(&self.all)))
    }
}

impl Certify for InternalSsl {
    fn certify(&self, names: &[String]) -> Result<Papers, String> {
        // Not `trusted_alt_names`, which JupyterHub adds: each is reached by a name that is its own, and those are the hub's.
        let pair = self.notebooks.sign("notebook", names, self.clock.now()).map_err(|error| format!("{error:#}"))?;
        let authorities = self.of_servers.clone();
        Ok(Papers { key: Secret::new(pair.key), certificate: pair.certificate, authorities })
    }
}

/// The names under which servers and proxies reach the hub.
fn hub_names(config: &Config) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let url = url::Url::parse(&config.hub.hub_url()).ok();
    let reached = url.and_then(|url| url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()));
    let machine = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    for name in reached.into_iter().chain(machine).chain(config.hub.alt_names()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn roots(pem: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    Ok(roots)
}

fn shown(pair: &Pair) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<_, _>>()?;
    Ok((chain, PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?))
}

fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests;
