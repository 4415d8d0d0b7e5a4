//! Any name, for development. That it is reachable from this machine only is checked with the configuration.

use hub_core::secret::Secret;

use super::{Proof, Refusal};
use crate::config::auth::DemoConfig;

/// Lets in any name, with one password or any.
#[derive(Debug)]
pub struct Demo {
    password: Option<Secret>,
}

impl Demo {
    /// Takes the password out of the configuration.
    pub fn new(config: &DemoConfig) -> Self {
        Self { password: config.password.clone() }
    }

    /// Compares with the one password, if there is one.
    pub fn prove(&self, password: &Secret) -> Proof {
        match &self.password {
            Some(own) if !own.matches(password.expose()) => Proof::Disproven(Refusal::Wrong),
            _ => Proof::Proven { admin: None, must_change: false },
        }
    }
}
