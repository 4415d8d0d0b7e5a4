//! TLS between hub, proxy and servers (JupyterHub's `internal_ssl`): what a server is given for it.

use hub_core::secret::Secret;

/// The files that a server reads, each after the variable that has its path, in JupyterHub's and KubeSpawner's words: key,
/// certificate, and whom it believes.
pub const FILES: [(&str, &str); 3] = [
    ("JUPYTERHUB_SSL_KEYFILE", "ssl.key"),
    ("JUPYTERHUB_SSL_CERTFILE", "ssl.crt"),
    ("JUPYTERHUB_SSL_CLIENT_CA", "notebooks-ca_trust.crt"),
];

/// Signs certificates of servers.
pub trait Certify: Send + Sync {
    /// A new key with a certificate for a server that is reached by these host names and addresses. Each call makes another.
    /// The error is for the operator.
    fn certify(&self, names: &[String]) -> Result<Papers, String>;
}

/// What a server shows, and whom it believes. All of it is PEM.
#[derive(Debug, Clone)]
pub struct Papers {
    /// Its private key.
    pub key: Secret,
    /// Its certificate.
    pub certificate: String,
    /// The authorities that sign for the hub and the proxy.
    pub authorities: String,
}

impl Papers {
    /// The files with what is in them.
    pub fn files(&self) -> [(&'static str, &'static str, &str); 3] {
        let [(key, of_key), (certificate, of_certificate), (authorities, of_authorities)] = FILES;
        [
            (key, of_key, self.key.expose()),
            (certificate, of_certificate, &self.certificate),
            (authorities, of_authorities, &self.authorities),
        ]
    }
}
