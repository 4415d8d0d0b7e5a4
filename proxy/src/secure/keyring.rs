//! The certificates in use. Handshakes read it, one task replaces it.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use rustls_pki_types::ServerName;
use tokio_rustls::rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{ACME_TLS, identity::Identity};

/// Certificates by the names they speak for, and proofs for ACME authorities.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    identities: ArcSwap<Vec<Identity>>,
    proofs: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
}

impl Keyring {
    /// Replaces all certificates; handshakes from now on use these.
    pub(super) fn set(&self, identities: Vec<Identity>) {
        self.identities.store(Arc::new(identities));
    }

    /// Shows a proof to an authority that asks for this name by `acme-tls/1`.
    pub(super) fn prove(&self, name: &str, proof: Arc<CertifiedKey>) {
        self.proofs.rcu(|proofs| {
            let mut proofs = HashMap::clone(proofs);
            proofs.insert(name.to_ascii_lowercase(), Arc::clone(&proof));
            proofs
        });
    }

    /// Takes all proofs away.
    pub(super) fn forget_proofs(&self) {
        self.proofs.store(Arc::default());
    }

    /// The first certificate.
    pub(super) fn first(&self) -> Option<Identity> {
        self.identities.load().first().cloned()
    }

    /// When the first of the certificates ends.
    pub(crate) fn ends(&self) -> Option<DateTime<Utc>> {
        self.identities.load().iter().map(|identity| identity.ends).min()
    }
}

impl ResolvesServerCert for Keyring {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.next() == Some(ACME_TLS) && protocols.next().is_none() {
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.proofs.load().get(&name).cloned();
        }
        let identities = self.identities.load();
        let named = match hello.server_name() {
            Some(name) if identities.len() > 1 => {
                ServerName::try_from(name).ok().and_then(|name| identities.iter().find(|one| one.is_for(&name)))
            }
            _ => None,
        };
        named.or(identities.first()).map(|identity| Arc::clone(&identity.certified))
    }
}
