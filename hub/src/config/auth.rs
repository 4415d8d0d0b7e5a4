//! `[auth]`: how people prove who they are, and who of them is let in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use hub_core::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::callout::CalloutConfig;
use super::provider::ProviderConfig;
use super::unit::Seconds;

/// How people prove who they are, and who of them is let in.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AuthConfig {
    /// The method for names and passwords: `password` (kept in the hub's database), `pam` (the machine's own accounts),
    /// `external` (a program or an address of your own), `demo` (anybody; for development on this machine only), or
    /// `oidc`: none, people log in with one of `providers` only.
    pub authenticator: Authenticator,
    /// Identity providers that people log in with, beside the method above: see [login.md](login.md).
    pub providers: Vec<ProviderConfig>,
    /// Sends people on to the provider without showing the login page, where there is one way to log in.
    pub auto_login: bool,
    /// Who may log in.
    pub allowed_users: BTreeSet<String>,
    /// Who may log in and administer the hub. Taking a name out takes away no right given before.
    pub admin_users: BTreeSet<String>,
    /// Who may not log in, whatever else is said.
    pub blocked_users: BTreeSet<String>,
    /// Names that are no person's: those of labs for working together.
    #[serde(skip)]
    pub reserved_users: BTreeSet<String>,
    /// Who may log in: members of these groups, as the login method tells them. `a/**` is the group `a` and all below it.
    pub allowed_groups: BTreeSet<String>,
    /// Members of these groups may log in and administer the hub. When set, losing the group loses the right.
    pub admin_groups: BTreeSet<String>,
    /// Lets in everybody who proves who they are. Without it: `true` for `demo` without `allowed_users`, else `false`.
    pub allow_all: Option<bool>,
    /// Lets in everybody the database knows. Without it: `true` for `password`, or when `allowed_users` is set.
    /// People of an identity provider are let in by it only where it is written: who loses a group is to lose access.
    pub allow_existing_users: Option<bool>,
    /// A regular expression that user names match from their beginning; end it with `$` to match all of the name.
    #[schemars(extend("format" = "pattern"))]
    pub username_pattern: Option<String>,
    /// Names at login, and the names they get in the hub.
    pub username_map: BTreeMap<String, String>,
    /// Gives people the roles that the login method names, and takes all others from them, at each login.
    pub manage_roles: bool,
    /// At start, takes away every role that the login method gave, until the next login.
    pub reset_managed_roles_on_startup: bool,
    /// Puts people into the groups the login method or the hook `post_auth` tells of, and takes them out of all others,
    /// at each login. Without it what they say of groups is passed over.
    pub manage_groups: bool,
    /// How often an identity provider is asked anew about people who are about: their groups, and whether they are let in.
    /// Without it: every 300 seconds; 0 asks only when their tokens are renewed.
    pub auth_refresh_age: Option<Seconds>,
    /// Refuses the API tokens of people whose provider takes their refresh token no more, until they log in again; their
    /// sessions end in any case, and tokens of running servers go on. Without it: `true`. Where `true` is written, that holds
    /// also of people whose provider gave no refresh token at all, when their access token ends.
    pub auth_refresh_strict: Option<bool>,
    /// Asks the identity provider about a person before a server of theirs starts, unless that was done within
    /// `auth_refresh_age`. Without it: `true`.
    pub refresh_pre_spawn: Option<bool>,
    /// Gives people's access tokens also to servers that they share with others, who could read them there.
    pub tokens_in_shared_servers: bool,
    /// Keeps what the login method tells of a person (`auth_state`), encrypted with `JUPYTERHUB_CRYPT_KEY`.
    pub enable_auth_state: bool,
    /// How guessing passwords is slowed down, whatever the method.
    pub throttle: ThrottleConfig,
    /// Options of the method `password`.
    pub password: PasswordConfig,
    /// Options of the method `pam`.
    pub pam: PamConfig,
    /// The method `external`: who is asked.
    pub external: CalloutConfig,
    /// Options of the method `demo`.
    pub demo: DemoConfig,
}

/// A way to prove who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Authenticator {
    /// A password kept, hashed, in the hub's database.
    #[default]
    Password,
    /// The machine's own accounts.
    Pam,
    /// A program or an address of the operator's.
    External,
    /// Anybody; for development.
    Demo,
    /// No names and passwords: identity providers only.
    Oidc,
}

impl Authenticator {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Pam => "pam",
            Self::External => "external",
            Self::Demo => "demo",
            Self::Oidc => "oidc",
        }
    }
}

impl AuthConfig {
    /// Whether everybody who proves who they are is let in.
    pub fn allows_all(&self) -> bool {
        self.allow_all.unwrap_or(self.authenticator == Authenticator::Demo && self.allowed_users.is_empty())
    }

    /// How old what an identity provider said of somebody may become.
    pub fn refresh_age(&self) -> std::time::Duration {
        self.auth_refresh_age.unwrap_or(Seconds(300.0)).duration()
    }

    /// Whether API tokens of somebody who has to log in anew at a provider are refused.
    pub fn refresh_is_strict(&self) -> bool {
        self.auth_refresh_strict.unwrap_or(true)
    }

    /// Whether everybody the database knows is let in. With `password` only an administrator makes people known.
    pub fn allows_existing_users(&self) -> bool {
        self.allow_existing_users
            .unwrap_or(self.authenticator == Authenticator::Password || !self.allowed_users.is_empty())
    }
}

/// Passwords kept in the hub's database.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PasswordConfig {
    /// The fewest characters of a new password.
    #[schemars(range(min = 1, max = 256))]
    pub minimum_length: usize,
    /// How long an invitation to set a password is good for.
    pub invite_lifetime: Seconds,
    /// How many passwords are checked at once; each takes about 20 MB for some hundredths of a second.
    #[schemars(range(min = 1, max = 256))]
    pub concurrent_checks: usize,
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self { minimum_length: 10, invite_lifetime: Seconds(7.0 * 86_400.0), concurrent_checks: 4 }
    }
}

/// How guessing passwords is slowed down, whatever the method.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ThrottleConfig {
    /// How many wrong passwords for one user name are free of consequence.
    #[schemars(range(min = 1))]
    pub failures_per_user: u32,
    /// How many wrong passwords from one address are free of consequence. A lecture room may share an address.
    #[schemars(range(min = 1))]
    pub failures_per_address: u32,
    /// How long the first wait is; each further wrong password doubles it.
    pub first_wait: Seconds,
    /// The longest wait for one user name, so that nobody can lock somebody else out for good.
    pub longest_wait: Seconds,
    /// After this time without a wrong password everything is forgotten.
    pub memory: Seconds,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self {
            failures_per_user: 5,
            failures_per_address: 30,
            first_wait: Seconds(2.0),
            longest_wait: Seconds(300.0),
            memory: Seconds(3600.0),
        }
    }
}

/// The machine's own accounts, through PAM.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PamConfig {
    /// The PAM service: a file below `/etc/pam.d`.
    pub service: String,
    /// Asks PAM whether the account may be used, beside the password.
    pub check_account: bool,
    /// Opens and closes a PAM session around each login check, for modules that make home folders.
    pub open_sessions: bool,
    /// System groups whose members administer the hub. When set, losing the group loses the right.
    pub admin_groups: BTreeSet<String>,
    /// How many logins PAM checks at once.
    #[schemars(range(min = 1, max = 256))]
    pub executor_threads: usize,
}

impl Default for PamConfig {
    fn default() -> Self {
        Self {
            service: "login".into(),
            check_account: true,
            open_sessions: false,
            admin_groups: BTreeSet::new(),
            executor_threads: 4,
        }
    }
}

/// Any user name, for development. Refuses to start on an address that others can reach.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DemoConfig {
    /// The one password of everybody. Without it any password will do.
    #[schemars(with = "Option<String>", extend("format" = "secret"))]
    pub password: Option<Secret>,
    /// A file whose content is `password`.
    #[schemars(extend("format" = "path"))]
    pub password_file: Option<PathBuf>,
}
