//! A server as pages show it: its state in words, why its last start failed, and where its buttons lead.

use hub_core::clock::Time;
use hub_core::policy::amount;

use crate::folder::Folder;
use crate::inside::Inside;
use crate::words::fill;
use crate::{Href, Words};

/// One server of one person.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its name; empty for the default server.
    pub name: String,
    /// The name to show, if it is another.
    pub display_name: Option<String>,
    /// What it is doing.
    pub state: State,
    /// What it runs with: "Base image, 2 cores, 4 GB".
    pub summary: Option<String>,
    /// Its folders that are buckets of object stores.
    pub folders: Vec<Folder>,
    /// What it tells of itself, while it runs.
    pub inside: Option<Inside>,
    /// When it was last used.
    pub last_activity: Option<Time>,
    /// When it will be stopped because nobody uses it, or because of its age.
    pub ends: Option<Ending>,
    /// When a process of it was ended because its memory was full, while it runs on.
    pub memory_full: Option<MemoryFull>,
    /// Where it is used: `/user/alice/`.
    pub open: Href,
    /// Where its options are chosen: `/hub/spawn/alice`.
    pub start: Href,
    /// Where its start can be watched: `/hub/spawn-pending/alice`.
    pub pending: Href,
    /// Where it is shared, if the person may.
    pub share: Option<Href>,
}

/// When a running server will be stopped by the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// The earliest instant.
    pub at: Time,
    /// Whether using the server puts it off.
    pub unless_used: bool,
    /// Whether to offer to put it off.
    pub soon: bool,
}

/// The memory of a running server was full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryFull {
    /// The last time.
    pub at: Time,
    /// How much it may have, in bytes, if that is known.
    pub limit: Option<u64>,
}

impl MemoryFull {
    /// What happened, in words.
    pub fn says(&self, words: &Words) -> String {
        match self.limit {
            Some(limit) => fill(words.memory_full_of, amount::bytes(limit)),
            None => words.memory_full.to_owned(),
        }
    }
}

/// What a server is doing, and since when.
#[derive(Debug, Clone)]
pub enum State {
    /// It does not run.
    Stopped,
    /// It is on its way up.
    Starting {
        /// When it was asked to start.
        since: Time,
        /// The phase in a few words: "Fetching the image".
        step: Option<String>,
    },
    /// It can be used.
    Ready {
        /// When it was started.
        since: Time,
    },
    /// It is on its way down.
    Stopping {
        /// When it was asked to stop.
        since: Option<Time>,
    },
    /// It does not run because its last start failed or it ended by itself.
    Failed(Failure),
}

/// Why a server does not run although it should.
#[derive(Debug, Clone)]
pub struct Failure {
    /// When it was noticed.
    pub at: Time,
    /// The phase it got to, in words: "Waiting for the first answer".
    pub step: Option<String>,
    /// The cause in one sentence.
    pub cause: String,
    /// What the person can do.
    pub advice: String,
    /// The end of the server's log; may be empty.
    pub log: Vec<String>,
    /// What to quote when asking for help.
    pub reference: Option<String>,
}

impl Server {
    /// Whether this is the server without a name.
    pub fn is_default(&self) -> bool {
        self.name.is_empty()
    }

    /// The id of one of its buttons, as JupyterHub's pages have it: `start` of the default server, `start-NAME` of others.
    pub fn button_id(&self, action: &str) -> String {
        if self.is_default() { action.to_owned() } else { format!("{action}-{}", self.name) }
    }

    /// What people call it.
    pub fn label<'a>(&'a self, words: &'a Words) -> &'a str {
        match self.display_name.as_deref() {
            Some(name) if !name.is_empty() => name,
            _ if self.name.is_empty() => words.default_server,
            _ => &self.name,
        }
    }
}

impl State {
    /// The name of its style and of `data-state`.
    pub fn style(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting { .. } => "starting",
            Self::Ready { .. } => "ready",
            Self::Stopping { .. } => "stopping",
            Self::Failed(_) => "failed",
        }
    }

    /// The state in one word or two.
    pub fn word(&self, words: &'static Words) -> &'static str {
        match self {
            Self::Stopped => words.state_stopped,
            Self::Starting { .. } => words.state_starting,
            Self::Ready { .. } => words.state_ready,
            Self::Stopping { .. } => words.state_stopping,
            Self::Failed(_) => words.state_failed,
        }
    }

    /// Whether anything of the server may exist, so that stopping makes sense.
    pub fn active(&self) -> bool {
        matches!(self, Self::Starting { .. } | Self::Ready { .. } | Self::Stopping { .. })
    }

    /// Whether it will change by itself soon.
    pub fn pending(&self) -> bool {
        matches!(self, Self::Starting { .. } | Self::Stopping { .. })
    }

    /// The failure, if that is what it is.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}
