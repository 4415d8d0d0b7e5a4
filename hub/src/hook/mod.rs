//! The operator's own programs and addresses, asked or told at four places: what they are asked, and what of their
//! answers counts. The protocol is in `docs/hooks.md`.
//!
//! Who asks when is said where it happens: `keeper/hook.rs` before a start, `task/after_stop.rs` after a stop,
//! `login/mod.rs` at a login.

pub mod auth_state;
pub mod before;
pub mod person;

use callout::Callout;
use hub_core::fernet::KeyError;

use crate::config::HooksConfig;
use auth_state::AuthStates;

/// People are told this when a hook that has to be asked gives no answer.
pub const SILENT: &str = "A check before the start of your server did not work. Ask the people who run this hub.";

/// The hooks that are configured.
#[derive(Debug, Default)]
pub struct Hooks {
    /// Before a start, with the `auth_state`.
    pub auth_state: Option<Callout>,
    /// Before a start, after `auth_state`.
    pub pre_spawn: Option<Callout>,
    /// After a stop.
    pub post_stop: Option<Callout>,
    /// How often `post_stop` is tried again.
    pub post_stop_retries: u32,
    /// Whether `pre_spawn` is told the `auth_state` too.
    pub send_auth_state: bool,
    /// Where the `auth_state` of people is read.
    pub auth_states: AuthStates,
}

impl Hooks {
    /// The hooks of the configuration; `keys` is `JUPYTERHUB_CRYPT_KEY`.
    pub fn new(config: &HooksConfig, keys: Option<&str>) -> Result<Self, KeyError> {
        Ok(Self {
            auth_state: config.auth_state.callout(),
            pre_spawn: config.pre_spawn.callout(),
            post_stop: config.post_stop.callout(),
            post_stop_retries: config.post_stop_retries,
            send_auth_state: config.send_auth_state,
            auth_states: AuthStates::new(keys)?,
        })
    }
}
