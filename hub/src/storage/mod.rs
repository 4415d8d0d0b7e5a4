//! Keys of object stores for people: got with their token of an identity provider, and handed out from memory until half
//! of their life is over.
//!
//! One exchange of a person at a time, apart from the request that asked: programs of AWS give up after two seconds, and
//! what comes later is there for their next try. The role is chosen anew each time: who lost the group gets nothing, also
//! of what is at hand.

pub mod environment;
mod offer;
mod session_name;
pub mod sts;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::id::UserId;
use hub_store::{StoreError, User};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

pub use self::offer::Offer;
pub use self::session_name::session_name;
pub use self::sts::{Keys, Trouble};
use crate::app::App;
use crate::config::StorageConfig;
use crate::config::storage::TokenKind;
use crate::http::Problem;
use crate::login::Turns;
use crate::login::oidc::http::Client;
use crate::upstream::{self, Code, Want};

/// A token is to be good for so long when it is exchanged.
const TOKEN_LEFT: TimeDelta = TimeDelta::seconds(60);
/// Keys that end sooner are not handed out.
const LAST_MOMENTS: TimeDelta = TimeDelta::seconds(10);
/// An object store that gave nothing is asked again after so long: many may be waiting.
const AGAIN: TimeDelta = TimeDelta::seconds(2);
/// Who has keys that are good waits so long for better ones.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keys with the role they are of.
#[derive(Debug, Clone)]
struct Granted {
    role: String,
    keys: Keys,
    got: Time,
}

impl Granted {
    fn is_fresh(&self, now: Time) -> bool {
        now - self.got < (self.keys.ends - self.got) / 2
    }

    fn is_good(&self, now: Time) -> bool {
        self.keys.ends - now > LAST_MOMENTS
    }
}

/// What is remembered of one person.
#[derive(Default)]
struct Entry {
    granted: Option<Granted>,
    failed: Option<(Time, Trouble)>,
}

/// One object store.
struct Storage {
    offer: Offer,
    client: Client,
    turns: Turns,
    entries: Mutex<HashMap<UserId, Entry>>,
}

/// All of them.
pub struct Storages {
    all: Vec<Arc<Storage>>,
    tracker: TaskTracker,
    runtime: Handle,
}

/// Why there are no keys.
#[derive(Debug)]
pub enum Refused {
    /// There is no such storage.
    Unknown,
    /// None of the person's groups has a role there.
    NoRole,
    /// The person logged in at another provider than the one whose tokens are taken.
    OtherProvider,
    /// There is no token of the person to exchange.
    Token(upstream::Refused),
    /// The object store gives none.
    Store(Trouble),
    /// The hub itself failed.
    Problem(Problem),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Problem(error.into())
    }
}

impl Storages {
    /// Those of the configuration. It does its work where it is made. The error says which cannot be asked.
    pub fn new(configs: &[StorageConfig], tracker: TaskTracker) -> anyhow::Result<Self> {
        let storage = |config: &StorageConfig| {
            let client = Client::new(config.ca_file.as_deref(), config.timeout.duration());
            let client = client.map_err(|what| anyhow!("storage {:?}: {what}", config.name))?;
            Ok(Arc::new(Storage {
                offer: Offer::new(config.clone()),
                client: client.accepting("application/xml"),
                turns: Turns::default(),
                entries: Mutex::default(),
            }))
        };
        let all = configs.iter().map(storage).collect::<anyhow::Result<_>>()?;
        Ok(Self { all, tracker, runtime: Handle::current() })
    }

    /// What is offered to somebody in these groups, in the order of the configuration.
    pub fn of<'a>(&'a self, groups: &'a [String]) -> impl Iterator<Item = &'a Offer> {
        self.all.iter().map(|storage| &storage.offer).filter(|offer| offer.role_of(groups).is_some())
    }

    /// Keys of somebody. Good for at least half of the life that the object store gives, unless it is away.
    pub async fn keys(&self, app: &Arc<App>, user: &User, name: &str) -> Result<Keys, Refused> {
        let storage = self.all.iter().find(|storage| storage.offer.name() == name).ok_or(Refused::Unknown)?;
        if app.store.refusal(user.id).await?.is_some() {
            storage.forget(user.id);
            return Err(Refused::Token(upstream::Refused::NotAdmitted));
        }
        let at_hand = storage.at_hand(app, user).await?;
        if let Some(granted) = at_hand.as_ref().filter(|granted| granted.is_fresh(app.now())) {
            return Ok(granted.keys.clone());
        }
        let (app, storage, user) = (app.clone(), storage.clone(), user.clone());
        let work = self.tracker.spawn_on(async move { storage.turn(&app, &user).await }, &self.runtime);
        let outcome = match at_hand {
            None => work.await,
            Some(granted) => match tokio::time::timeout(PATIENCE, work).await {
                Ok(outcome) => outcome,
                Err(_) => return Ok(granted.keys),
            },
        };
        outcome.unwrap_or_else(|error| Err(Refused::Problem(Problem::internal("an exchange for keys", error))))
    }
}

impl Storage {
    /// The keys of somebody that are good, and of the role they have now.
    async fn at_hand(&self, app: &App, user: &User) -> Result<Option<Granted>, Refused> {
        let groups = app.store.groups_of(user.id).await?;
        let Some(role) = self.offer.role_of(&groups) else {
            self.forget(user.id);
            return Err(Refused::NoRole);
        };
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let granted = entries.get(&user.id).and_then(|entry| entry.granted.as_ref());
        Ok(granted.filter(|granted| granted.role == role && granted.is_good(app.now())).cloned())
    }

    async fn turn(&self, app: &Arc<App>, user: &User) -> Result<Keys, Refused> {
        let _turn = self.turns.wait(user.id.to_string()).await.ok_or_else(busy)?;
        // Whoever had the turn before may have brought them, or found out that there are none.
        let at_hand = self.at_hand(app, user).await?;
        if let Some(granted) = at_hand.as_ref().filter(|granted| granted.is_fresh(app.now())) {
            return Ok(granted.keys.clone());
        }
        let outcome = match self.failed_just_now(user.id, app.now()) {
            Some(trouble) => Err(Refused::Store(trouble)),
            None => self.exchange(app, user).await,
        };
        match (outcome, at_hand) {
            (Ok(keys), _) => Ok(keys),
            // What is good still is handed out while nobody says no.
            (Err(refused), Some(granted)) if refused.passes() && granted.is_good(app.now()) => Ok(granted.keys),
            (Err(refused), _) => {
                if !refused.passes() {
                    self.forget_keys(user.id);
                }
                Err(refused)
            }
        }
    }

    async fn exchange(&self, app: &Arc<App>, user: &User) -> Result<Keys, Refused> {
        let config = &self.offer.config;
        let want =
            Want { audience: config.audience.clone(), id_token: config.token == TokenKind::Id, ..Want::default() };
        let access = app.upstream.access(user.id, want, TOKEN_LEFT).await.map_err(Refused::Token)?;
        if config.provider.as_ref().is_some_and(|wanted| *wanted != access.provider) {
            return Err(Refused::OtherProvider);
        }
        // A token that was renewed may have brought other groups.
        let groups = app.store.groups_of(user.id).await?;
        let role = self.offer.role_of(&groups).ok_or(Refused::NoRole)?;
        let ask = sts::Ask {
            url: &config.sts_endpoint(),
            token: &access.token,
            role_arn: role,
            session: &session_name(&user.name),
            seconds: config.duration.duration().as_secs(),
        };
        let outcome = sts::assume(&self.client, &ask, app.now()).await;
        let now = app.now();
        match outcome {
            Ok(keys) => {
                tracing::debug!(user = user.name, storage = self.offer.name(), role, ends = %keys.ends, "fresh keys");
                let granted = Granted { role: role.to_owned(), keys: keys.clone(), got: now };
                self.remember(user.id, Entry { granted: Some(granted), failed: None }, now);
                Ok(keys)
            }
            Err(trouble) => {
                tracing::warn!(user = user.name, storage = self.offer.name(), role, "no keys: {trouble}");
                let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
                entries.entry(user.id).or_default().failed = Some((now, trouble.clone()));
                Err(Refused::Store(trouble))
            }
        }
    }

    fn failed_just_now(&self, user: UserId, now: Time) -> Option<Trouble> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, trouble) = entries.get(&user)?.failed.as_ref()?;
        (now - *at < AGAIN).then(|| trouble.clone())
    }

    fn remember(&self, user: UserId, entry: Entry, now: Time) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Of those who do not come any more nothing is kept.
        entries.retain(|_, entry| {
            let good = entry.granted.as_ref().is_some_and(|granted| granted.is_good(now));
            good || entry.failed.as_ref().is_some_and(|(at, _)| now - *at < AGAIN)
        });
        entries.insert(user, entry);
    }

    fn forget(&self, user: UserId) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(&user);
    }

    fn forget_keys(&self, user: UserId) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(&user) {
            entry.granted = None;
        }
    }
}

impl Refused {
    /// Whether it says nothing of the person, and trying again may help.
    fn passes(&self) -> bool {
        match self {
            Self::Store(trouble) => !matches!(trouble, Trouble::Denied { .. }),
            Self::Token(upstream::Refused::Failed(failure)) => failure.code == Code::Unreachable,
            Self::Token(upstream::Refused::Problem(_)) | Self::Problem(_) => true,
            Self::Token(_) | Self::Unknown | Self::NoRole | Self::OtherProvider => false,
        }
    }
}

fn busy() -> Refused {
    let status = actix_web::http::StatusCode::SERVICE_UNAVAILABLE;
    Refused::Problem(Problem::new(status, "The storage takes longer than usual. Try again.").retry_after(2))
}
