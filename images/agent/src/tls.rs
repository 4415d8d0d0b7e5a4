//! How the hub is spoken to that speaks TLS with its labs (`hub.internal_ssl`): what it gave this one for that.

use std::path::Path;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// The variables with the paths of key, certificate, and authorities; JupyterHub's.
const VARIABLES: [&str; 3] = ["JUPYTERHUB_SSL_KEYFILE", "JUPYTERHUB_SSL_CERTFILE", "JUPYTERHUB_SSL_CLIENT_CA"];

/// Reads what the variables lead to; nothing where one of them is not set. Errors: a file is of no use.
pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<ClientConfig>> {
    match VARIABLES.map(variable) {
        [Some(key), Some(certificate), Some(authorities)] => {
            read(Path::new(&key), Path::new(&certificate), Path::new(&authorities)).map(Some)
        }
        _ => Ok(None),
    }
}

fn read(key: &Path, certificate: &Path, authorities: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(authorities).with_context(|| authorities.display().to_string())? {
        roots.add(root.with_context(|| authorities.display().to_string())?)?;
    }
    let shown = CertificateDer::pem_file_iter(certificate).with_context(|| certificate.display().to_string())?;
    let chain = shown.collect::<Result<Vec<_>, _>>().with_context(|| certificate.display().to_string())?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| key.display().to_string())?;
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    Ok(builder.with_client_auth_cert(chain, key)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_all_three_the_hub_is_spoken_to_as_ever_and_a_broken_file_is_told() {
        assert!(of_environment(|_| None).unwrap().is_none());
        let some = |name: &str| (name != VARIABLES[2]).then(|| "/nowhere".to_owned());
        assert!(of_environment(some).unwrap().is_none());
        let error = of_environment(|_| Some("/nowhere".to_owned())).unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere"), "{error:#}");
    }
}
