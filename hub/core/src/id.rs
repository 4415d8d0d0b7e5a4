//! Row identities as types, so that a user's id never stands where a server's is wanted.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// A row of `users`.
    UserId,
    /// A row of `groups`.
    GroupId,
    /// A row of `roles`.
    RoleId,
    /// A row of `services`.
    ServiceId,
    /// A row of `spawners`: one server of one user, running or not.
    SpawnerId,
    /// A row of `api_tokens`; `a5` in JupyterHub's JSON.
    TokenId,
    /// A row of `shares`.
    ShareId,
    /// A row of `share_codes`; `sc_5` in JupyterHub's JSON.
    ShareCodeId,
}

/// How often a server was started; written into labels and checked by every late write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub i64);

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
