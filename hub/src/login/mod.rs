//! Logging in: a name and a password become an identity, or a refusal.
//!
//! Throttle first, then the method's own proof, then the allow rules. Nothing is written about the user here: the
//! caller makes the row, the groups and the cookies.

pub mod allow;
#[cfg(test)]
mod allow_groups;
mod demo;
mod external;
mod hash;
pub mod listed;
mod of_provider;
pub mod oidc;
mod outcome;
pub mod pam;
pub mod password;
mod post_auth;
#[cfg(test)]
mod tests;
mod throttle;
mod turn;

use std::net::IpAddr;
use std::time::Duration;

use hub_core::clock::Clock;
use hub_core::name::UserName;
use hub_core::secret::Secret;
use hub_store::Store;
use tokio::sync::Semaphore;

use self::allow::{Candidate, Rules, Verdict};
use self::demo::Demo;
use self::external::External;
pub use self::of_provider::roles_of;
use self::oidc::Provider;
pub use self::outcome::{Account, Identity, Outcome, Refusal};
use self::pam::Pam;
pub use self::password::Passwords;
use self::post_auth::PostAuth;
use self::throttle::Throttles;
pub use self::turn::{Turn, Turns};
use crate::collaboration;
use crate::config::auth::Authenticator;
use crate::config::{AuthConfig, HooksConfig};
use crate::hook::person::Person;

/// Longer passwords are refused unread: no method takes them, and hashing them is work.
const LONGEST_PASSWORD: usize = 1024;
/// Logins in progress; beyond, people are asked to come back.
const MOST_AT_ONCE: usize = 512;

/// What one method says of a name and a password.
#[derive(Debug, Clone, PartialEq)]
enum Proof {
    /// It is they. `admin` and `must_change` as in `Identity`.
    Proven { admin: Option<bool>, must_change: bool },
    /// It is they, as somebody else knows them: that one's name, rights and groups.
    Told(Person),
    /// It is not, or they may not.
    Disproven(Refusal),
    /// It could not be found out, for a reason to be logged.
    Unknown(String),
}

/// Why logins cannot be offered at all. The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// `auth.username_pattern` does not parse.
    #[error("auth.username_pattern is not a regular expression: {0}")]
    Pattern(#[from] regex::Error),
    /// libpam is missing.
    #[error("{0}")]
    Pam(#[from] pam::PamError),
    /// An identity provider's settings cannot be used.
    #[error("auth.providers, {0:?}: {1}")]
    Provider(String, String),
    /// A password could not be hashed, for lack of memory or of randomness.
    #[error("passwords cannot be hashed here: {0}")]
    Hash(String),
}

#[derive(Debug)]
enum Method {
    Password(Passwords),
    Pam(Pam),
    External(Box<External>),
    Demo(Demo),
    /// Identity providers only.
    None,
}

/// The configured way to log in.
#[derive(Debug)]
pub struct Login {
    method: Method,
    rules: Rules,
    throttles: Throttles,
    turns: Turns,
    room: Semaphore,
    post_auth: PostAuth,
    manage_groups: bool,
    providers: Vec<Provider>,
}

impl Login {
    /// Prepares the configured method. Takes some hundredths of a second of CPU time.
    pub fn new(auth: &AuthConfig) -> Result<Self, LoginError> {
        let method = match auth.authenticator {
            Authenticator::Password => Method::Password(Passwords::new(&auth.password)?),
            Authenticator::Pam => Method::Pam(Pam::new(&auth.pam)?),
            Authenticator::External => Method::External(Box::new(External::new(&auth.external))),
            Authenticator::Demo => Method::Demo(Demo::new(&auth.demo)),
            Authenticator::Oidc => Method::None,
        };
        let provider = |config| {
            Provider::new(config, auth.enable_auth_state)
                .map_err(|what| LoginError::Provider(config.name.clone(), what))
        };
        Ok(Self {
            method,
            rules: Rules::new(auth)?,
            throttles: Throttles::new(&auth.throttle),
            turns: Turns::default(),
            room: Semaphore::new(MOST_AT_ONCE),
            post_auth: PostAuth::default(),
            manage_groups: auth.manage_groups,
            providers: auth.providers.iter().map(provider).collect::<Result<_, _>>()?,
        })
    }

    /// The same with the hook `post_auth` of the configuration.
    pub fn with_hooks(self, hooks: &HooksConfig) -> Self {
        Self { post_auth: PostAuth::new(hooks), ..self }
    }

    /// Whether what is known of a person comes from elsewhere at each login.
    pub fn tells_auth_state(&self) -> bool {
        matches!(self.method, Method::External(_))
    }

    /// The passwords in the hub's database, when they are what people log in with.
    pub fn passwords(&self) -> Option<&Passwords> {
        match &self.method {
            Method::Password(passwords) => Some(passwords),
            Method::Pam(_) | Method::External(_) | Method::Demo(_) | Method::None => None,
        }
    }

    /// Whether people can log in with a name and a password.
    pub fn takes_passwords(&self) -> bool {
        !matches!(self.method, Method::None)
    }

    /// The identity providers, in the order of the configuration.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// One of them by its name in the configuration; without a name, the only or the first one.
    pub fn provider(&self, name: Option<&str>) -> Option<&Provider> {
        self.providers.iter().find(|provider| name.is_none_or(|name| provider.name() == name))
    }

    /// Whether a name, normalised before, can be a user's: as names are, and fitting `username_pattern`.
    pub fn is_user_name(&self, name: &str) -> bool {
        UserName::parse(name).is_ok_and(|name| self.rules.fits(&name))
    }

    /// Whether any password lets in any name, so that the login page can say so.
    pub fn is_demo(&self) -> bool {
        matches!(self.method, Method::Demo(_))
    }

    /// Whether somebody could have this name.
    pub fn is_possible(&self, name: &str) -> bool {
        self.rules.names(name).is_some()
    }

    /// Finds out whether `name` and `password` let somebody in. `address` is the browser's, as far as it is known.
    pub async fn authenticate(
        &self,
        store: &Store,
        clock: &dyn Clock,
        name: &str,
        password: &Secret,
        address: Option<IpAddr>,
    ) -> Outcome {
        let Ok(_room) = self.room.try_acquire() else {
            tracing::warn!("{MOST_AT_ONCE} logins are in progress already: one more was turned away");
            return Outcome::Throttled { retry_after: Duration::from_secs(5) };
        };
        let Some(names) = self.rules.names(name) else {
            tracing::warn!(name = shown(name), "login refused: this cannot be a user name");
            return Outcome::Refused(Refusal::Wrong);
        };
        match self.try_login(store, clock, &names, password, address).await {
            Ok(outcome) => outcome,
            Err(cause) => {
                tracing::error!(name = shown(name), "login not possible: {cause}");
                Outcome::Unavailable
            }
        }
    }

    async fn try_login(
        &self,
        store: &Store,
        clock: &dyn Clock,
        names: &allow::Names,
        password: &Secret,
        address: Option<IpAddr>,
    ) -> Result<Outcome, String> {
        // One at a time for each name: guesses sent at once would all be made before the first is counted.
        let Some(_turn) = self.turns.wait(names.typed.clone()).await else {
            return Ok(Outcome::Throttled { retry_after: Duration::from_secs(5) });
        };
        let keys = self.throttles.keys(&names.typed, address);
        if let Some(retry_after) = self.throttles.wait(store, &keys, clock.now()).await.map_err(said)? {
            return Ok(Outcome::Throttled { retry_after });
        }
        let proof = match password.expose().len() {
            1..=LONGEST_PASSWORD => self.prove(store, names, password, address).await,
            0 if self.is_demo() => self.prove(store, names, password, address).await,
            _ => Proof::Disproven(Refusal::Wrong),
        };
        let (person, must_change) = match proof {
            Proof::Unknown(cause) => return Err(cause),
            Proof::Disproven(refusal) => {
                tracing::warn!(name = shown(&names.typed), ?address, ?refusal, "login refused");
                self.throttles.failed(store, &keys, clock.now()).await.map_err(said)?;
                return Ok(Outcome::Refused(refusal));
            }
            Proof::Proven { admin, must_change } => (Person { admin, ..Person::default() }, must_change),
            Proof::Told(person) => (person, false),
        };
        self.throttles.succeeded(store, &keys).await.map_err(said)?;
        let Some(name) = self.name_of(names, &person) else {
            return Err("the login method told a name that cannot be a user's".to_owned());
        };
        let known = store.user(name.as_str()).await.map_err(said)?;
        if let Some(user) = &known
            && collaboration::is_account(store, user).await.map_err(said)?
        {
            tracing::warn!(name = user.name, "login refused: it is the account of a lab for working together");
            return Ok(Outcome::Refused(Refusal::NotAllowed));
        }
        let outcome = match self.admit(name, known.is_some(), person, must_change) {
            Outcome::Welcome(identity) => self.post_auth.ask(identity, address).await?,
            refused => refused,
        };
        Ok(self.without_foreign_groups(outcome))
    }

    /// The name in the hub: what the method told, or what was typed.
    fn name_of(&self, names: &allow::Names, person: &Person) -> Option<UserName> {
        match &person.name {
            Some(told) => self.rules.names(told).map(|names| names.hub),
            None => Some(names.hub.clone()),
        }
    }

    /// Groups are the hub's own unless `manage_groups` says otherwise.
    fn without_foreign_groups(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Welcome(identity) if !self.manage_groups => {
                Outcome::Welcome(Identity { groups: None, ..identity })
            }
            outcome => outcome,
        }
    }

    fn admit(&self, name: UserName, known: bool, person: Person, must_change: bool) -> Outcome {
        let groups = person.groups.as_deref();
        let verdict = self.rules.verdict(&Candidate { name: &name, known, admin: person.admin, groups, account: None });
        match verdict {
            Verdict::Allowed { admin } => Outcome::Welcome(Identity {
                name,
                admin,
                groups: person.groups,
                roles: person.roles,
                must_change_password: must_change,
                auth_state: person.auth_state,
                account: None,
            }),
            Verdict::Blocked | Verdict::NotListed => {
                tracing::warn!(name = shown(name.as_str()), ?verdict, "login refused by the allow rules");
                Outcome::Refused(Refusal::NotAllowed)
            }
        }
    }

    async fn prove(&self, store: &Store, names: &allow::Names, password: &Secret, address: Option<IpAddr>) -> Proof {
        match &self.method {
            Method::Password(passwords) => passwords.prove(store, names.hub.as_str(), password).await,
            Method::Pam(pam) => pam.prove(&names.typed, password).await,
            Method::External(external) => external.prove(&names.typed, password, address).await,
            Method::Demo(demo) => demo.prove(password),
            Method::None => Proof::Disproven(Refusal::Wrong),
        }
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A name as it may stand in the log: what is typed into the wrong field may be a password, so not much of it.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(32).collect();
    if short.len() < name.len() { format!("{short}… ({} characters)", name.chars().count()) } else { short }
}
