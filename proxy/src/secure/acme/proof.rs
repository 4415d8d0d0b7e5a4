//! What an authority looks for to see that a name is ours.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use instant_acme::Identifier;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::{activity::lock, secure::provider};

/// What shows that one name is ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    /// A host name or an address.
    pub name: String,
    pub token: String,
    /// What is answered to the token (RFC 8555, 8.1).
    pub authorization: String,
}

impl Proof {
    /// How a handshake asks for it, and what it is shown.
    pub fn certificate(&self) -> anyhow::Result<(String, Arc<CertifiedKey>)> {
        let asked = self.name.parse().map_or_else(|_| self.name.clone(), reverse_name);
        let digest = ring::digest::digest(&ring::digest::SHA256, self.authorization.as_bytes());
        Ok((asked, proof_certificate(&self.name, digest.as_ref())?))
    }
}

/// What authorities find at port 80, by token.
#[derive(Clone, Default)]
pub(in crate::secure) struct Proofs(Arc<Mutex<HashMap<String, String>>>);

impl Proofs {
    pub(in crate::secure) fn get(&self, token: &str) -> Option<String> {
        lock(&self.0).get(token).cloned()
    }

    /// Shows these, and none of before.
    pub(super) fn set(&self, proofs: &[Proof]) {
        let by_token = proofs.iter().map(|proof| (proof.token.clone(), proof.authorization.clone()));
        *lock(&self.0) = by_token.collect();
    }
}

pub(super) fn identifier(name: &str) -> Identifier {
    name.parse().map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

/// How a handshake names an address (RFC 8738, 6).
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let digits = format!("{:032x}", address.to_bits());
            let turned: Vec<String> = digits.chars().rev().map(String::from).collect();
            format!("{}.ip6.arpa", turned.join("."))
        }
    }
}

/// The certificate that shows a proof in a handshake (RFC 8737, 3).
fn proof_certificate(name: &str, digest: &[u8]) -> anyhow::Result<Arc<CertifiedKey>> {
    let mut wanted = CertificateParams::new(vec![name.to_owned()])?;
    wanted.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = wanted.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    // Not by `from_der`, which reads the certificate and refuses the critical extension that makes it a proof.
    let key = provider().key_provider.load_private_key(key)?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_can_be_made_for_names_and_addresses() {
        for name in ["hub.example", "192.0.2.7"] {
            assert_eq!(proof_certificate(name, &[7; 32]).unwrap().cert.len(), 1, "{name}");
        }
    }

    #[test]
    fn addresses_are_named_in_reverse() {
        assert_eq!(reverse_name("192.0.2.7".parse().unwrap()), "7.2.0.192.in-addr.arpa");
        let six = reverse_name("2001:db8::1".parse().unwrap());
        assert_eq!(six, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    }
}
