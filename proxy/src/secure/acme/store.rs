//! What is kept of an authority, and where: a folder of one proxy, or a place that several share.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{AcmeOptions, proof::Proof};
use crate::{activity::lock, secure::identity};

/// Key and chain.
pub(super) const CERTIFICATE: &str = "certificate.pem";
/// Who we are for the authority.
const ACCOUNT: &str = "account.json";
/// Whose turn it is to order.
const TURN: &str = "turn.json";
/// How long a shared place may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// A place that several proxies share, such as a secret of Kubernetes.
pub trait Storage: Send + Sync + Debug {
    /// What is there.
    fn read(&self) -> BoxFuture<'_, anyhow::Result<Entries>>;

    /// Writes entries over those that were read, if nobody wrote anything since. Returns the version then, and else None.
    fn write(&self, entries: Entries) -> BoxFuture<'_, anyhow::Result<Option<String>>>;
}

/// What is in a shared place, by name. Names have letters, digits, `-`, `_` and `.` only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// Another one after each change.
    pub version: String,
    /// Keys are among them: they are shown to nobody.
    pub entries: BTreeMap<String, Vec<u8>>,
}

/// Whose turn it is to order, which is known to all proxies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Turn {
    /// Which proxy orders; empty when none does.
    pub holder: String,
    /// Nobody else orders before.
    pub until: DateTime<Utc>,
    /// How many seconds were waited after the last refusal.
    pub pause: f64,
    /// What the authority looks for, at whichever proxy.
    pub proofs: Vec<Proof>,
}

/// All that is kept of an authority.
#[derive(Clone, Default)]
pub(super) struct Kept {
    pub account: Option<Vec<u8>>,
    pub certificate: Option<Vec<u8>>,
    pub turn: Turn,
    version: String,
}

/// Where it is kept.
pub(super) enum Store {
    /// Whose turn it is ends with the process.
    Folder {
        folder: PathBuf,
        turn: Mutex<Turn>,
    },
    Shared {
        storage: Arc<dyn Storage>,
        authority: String,
    },
}

impl Store {
    pub fn new(options: &AcmeOptions) -> Self {
        match &options.shared {
            Some(storage) => Self::Shared { storage: Arc::clone(storage), authority: options.authority() },
            None => Self::Folder { folder: options.own_folder(), turn: Mutex::default() },
        }
    }

    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Shared { .. })
    }

    pub async fn load(&self) -> anyhow::Result<Kept> {
        match self {
            Self::Folder { folder, turn } => {
                let read = |name| match std::fs::read(folder.join(name)) {
                    Ok(text) => Ok(Some(text)),
                    Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(problem) => {
                        Err(problem).with_context(|| format!("cannot read {}", folder.join(name).display()))
                    }
                };
                let turn = lock(turn).clone();
                Ok(Kept { account: read(ACCOUNT)?, certificate: read(CERTIFICATE)?, turn, version: String::new() })
            }
            Self::Shared { storage, authority } => {
                let Entries { version, mut entries } = in_time(storage.read()).await?;
                // An empty one is one that is not there: others make places before there is anything in them.
                let mut take = |name| entries.remove(&key(authority, name)).filter(|content| !content.is_empty());
                let turn = take(TURN).and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
                Ok(Kept { account: take(ACCOUNT), certificate: take(CERTIFICATE), turn, version })
            }
        }
    }

    /// Keeps it, unless another proxy changed something since it was loaded: false then.
    pub async fn save(&self, kept: &mut Kept) -> anyhow::Result<bool> {
        match self {
            Self::Folder { folder, turn } => {
                for (name, content) in [(ACCOUNT, &kept.account), (CERTIFICATE, &kept.certificate)] {
                    let file = folder.join(name);
                    if let Some(content) = content
                        && std::fs::read(&file).ok().as_ref() != Some(content)
                    {
                        identity::write_private(&file, content)?;
                    }
                }
                lock(turn).clone_from(&kept.turn);
                Ok(true)
            }
            Self::Shared { storage, authority } => {
                let turn = serde_json::to_vec(&kept.turn)?;
                let all =
                    [(ACCOUNT, kept.account.clone()), (CERTIFICATE, kept.certificate.clone()), (TURN, Some(turn))];
                let entries = all.into_iter().filter_map(|(name, content)| Some((key(authority, name), content?)));
                let entries = Entries { version: kept.version.clone(), entries: entries.collect() };
                let version = in_time(storage.write(entries)).await?;
                Ok(version.map(|version| kept.version = version).is_some())
            }
        }
    }
}

/// Each authority has entries of its own, as it has a folder.
fn key(authority: &str, name: &str) -> String {
    format!("{authority}.{name}")
}

async fn in_time<T>(asked: BoxFuture<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")))
}
