//! What becomes of a login: somebody with a name, or a refusal in a sentence for people.

use std::time::Duration;

use hub_core::name::UserName;

use crate::config::hub::RoleConfig;
use crate::hook::auth_state::AuthState;

/// Who somebody turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name in the hub: normalised, mapped and valid.
    pub name: UserName,
    /// Whether to administer the hub; `None` leaves what the database says.
    pub admin: Option<bool>,
    /// The groups to be in; `None` leaves what the database says.
    pub groups: Option<Vec<String>>,
    /// The roles to have, and no others, where `auth.manage_roles` is set; `None` leaves what the database says.
    pub roles: Option<Vec<RoleConfig>>,
    /// Whether a new password has to be chosen before anything else.
    pub must_change_password: bool,
    /// What the method tells for later; not kept unless `auth.enable_auth_state`.
    pub auth_state: Option<AuthState>,
    /// The account at an identity provider that it comes from.
    pub account: Option<Account>,
}

/// An account at an identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The provider, by its name in the configuration.
    pub provider: String,
    /// The provider's own name.
    pub issuer: String,
    /// The provider's own number of the person.
    pub subject: String,
    /// What people call them.
    pub display: Option<String>,
}

/// What became of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Proven and allowed.
    Welcome(Identity),
    /// Not proven, or not allowed.
    Refused(Refusal),
    /// Too many wrong passwords. Nothing was looked at.
    Throttled {
        /// How long to wait, rounded up to seconds.
        retry_after: Duration,
    },
    /// It could not be found out. The cause is in the log.
    Unavailable,
}

/// Why a login was refused. `Display` is the sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Name or password is wrong; which of them is not told.
    #[error("Invalid username or password")]
    Wrong,
    /// The account was closed, has expired, or must not be used now.
    #[error("Your account cannot be used at present. Ask the operator of this machine.")]
    Account,
    /// The password was right and has expired.
    #[error("Your password has expired. Change it on the machine itself, then log in here.")]
    Expired,
    /// The person is who they say, and may not use this hub.
    #[error("Your account may not use this hub. Ask its operators for access.")]
    NotAllowed,
    /// The person is who they say, and is in none of the groups that may use this hub.
    #[error("Your account is not in a group that may use this hub.")]
    NoGroup,
    /// The name belongs to another account of the same provider.
    #[error("Your user name belongs to somebody else on this hub. Ask its operators.")]
    NameTaken,
    /// The provider tells a name that nobody can have here.
    #[error("Your user name cannot be used on this hub. Ask its operators.")]
    BadName,
    /// For a reason that a program of the operator's gave, in a sentence for people.
    #[error("{0}")]
    Said(String),
}
