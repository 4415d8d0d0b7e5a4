//! The method `external`: a program or an address of the operator's is asked who somebody is.

use std::net::IpAddr;

use callout::Callout;
use hub_core::secret::Secret;
use serde_json::json;

use super::{Proof, Refusal};
use crate::config::CalloutConfig;
use crate::hook::person::{self, Said};

/// Who is asked.
#[derive(Debug)]
pub struct External(Option<Callout>);

impl External {
    /// Takes it out of the configuration.
    pub fn new(config: &CalloutConfig) -> Self {
        Self(config.callout())
    }

    /// Asks. An answer that is not understood proves nothing.
    pub async fn prove(&self, name: &str, password: &Secret, address: Option<IpAddr>) -> Proof {
        let Some(callout) = &self.0 else { return Proof::Unknown("[auth.external] names nobody to ask".into()) };
        let question = json!({
            "specola": callout::VERSION,
            "call": "authenticate",
            "username": name,
            "password": password.expose(),
            "address": address,
        });
        let answer = match callout.ask(&question).await {
            Ok(answer) => answer,
            Err(trouble) => return Proof::Unknown(format!("auth.external: {trouble}")),
        };
        match person::read(answer) {
            Ok(Said::Person(person)) if person.name.is_some() => Proof::Told(person),
            Ok(Said::Person(_)) => Proof::Unknown("auth.external: the answer names nobody and does not refuse".into()),
            Ok(Said::Refuse(None)) => Proof::Disproven(Refusal::Wrong),
            Ok(Said::Refuse(Some(sentence))) => Proof::Disproven(Refusal::Said(sentence)),
            Err(what) => Proof::Unknown(format!("auth.external: the answer is not understood ({what})")),
        }
    }
}
