//! What the keeper knows about the places where servers run: one trait, its types, and what every driver must pass.
//!
//! No driver lives here but [`fake`], which tests of the keeper script. A driver is stateless: what it must
//! remember is in the state the hub stores for it, and in the labels of what it made.

pub mod ability;
pub mod contract;
pub mod error;
pub mod fake;
pub mod identity;
pub mod news;
pub mod plan;
pub mod sight;
pub mod sites;
pub mod tls;

use std::time::Duration;

use async_trait::async_trait;
use hub_core::secret::Secret;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use ability::Abilities;
pub use error::{RenameError, SaveError, StartError, Unreachable};
pub use identity::{Identity, Marker, Renaming};
pub use news::{MemoryFull, News};
pub use plan::{Bind, Mount, ObjectStore, Plan};
pub use sight::{Owned, Sight, Started};
pub use sites::{OwnSite, Site, Sites};
pub use tls::{Certify, Papers};

/// How a server is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stop {
    /// Ends it at once, without giving it time to save.
    pub force: bool,
}

/// A place where servers run. Every verb may be repeated, by this process or another, without a second effect.
#[async_trait]
pub trait Spawner: Send + Sync {
    /// Tells the driver's name as the server's row keeps it, such as `local`.
    fn kind(&self) -> &'static str;

    /// Tells what it can do beside the usual; plans that ask for more are refused before it hears of them.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// Creates the server, or adopts what carries the same identity; returns once it has an address.
    ///
    /// `state` is what was saved last. Whatever carries an older generation of the same server is removed first.
    /// Dropping the future at any point is safe: a later `look`, `start` or `stop` finds what was made.
    async fn start(&self, plan: &Plan, state: &Value, record: &dyn Record) -> Result<Started, StartError>;

    /// Tells the token that a stopped server was left with, where it is kept to be started again as it is: the next start
    /// has to give it the same. The state is not needed, as every start begins with a new one.
    async fn kept_token(&self, _server: &Identity) -> Result<Option<Secret>, Unreachable> {
        Ok(None)
    }

    /// As `kept_token`, where the next start is at this site.
    async fn kept_token_at(&self, server: &Identity, _site: Option<&str>) -> Result<Option<Secret>, Unreachable> {
        self.kept_token(server).await
    }

    /// What people call the site of a server with this state, if it is given up: then it is absent for that reason.
    fn given_up(&self, _state: &Value) -> Option<String> {
        None
    }

    /// Looks at one server, without changing it.
    async fn look(&self, server: &Identity, state: &Value) -> Result<Sight, Unreachable>;

    /// Asks a server to stop, and returns without waiting for its end.
    ///
    /// The caller repeats it until `look` says [`Sight::Absent`]: each call takes the step that is due by then, so
    /// the signals escalate also when another hub carries on. It clears away what an exited server left.
    async fn stop(&self, server: &Identity, state: &Value, how: Stop) -> Result<(), Unreachable>;

    /// Removes what outlives a stopped server, such as its log, when the server itself is deleted for good.
    async fn forget(&self, server: &Identity, state: &Value) -> Result<(), Unreachable>;

    /// Makes sure that what outlives servers stays a user's under another name, and is not found by somebody new of the old
    /// one. Called before the name is changed, which it may forbid.
    async fn rename(&self, _renaming: &Renaming<'_>) -> Result<(), RenameError> {
        Ok(())
    }

    /// Lists everything that carries this hub's mark, exited servers included.
    async fn list_owned(&self) -> Result<Vec<Owned>, Unreachable>;

    /// Runs until `stop`, and tells what happens to servers, such as one that died.
    ///
    /// It only saves waiting: news may be lost or superfluous. Drivers also do their chores in it.
    async fn watch(&self, news: mpsc::Sender<News>, stop: CancellationToken);

    /// How long ago what is watched for news has said anything, if only that there are none. `None` where nothing is.
    fn heard(&self) -> Option<Duration> {
        None
    }

    /// Returns the last `lines` lines the server wrote; empty when there are none.
    async fn logs(&self, server: &Identity, state: &Value, lines: usize) -> Result<String, Unreachable>;
}

/// Where a start writes down what it does, given by the keeper.
#[async_trait]
pub trait Record: Send + Sync {
    /// Stores the state durably, under the generation being started. Called before each creating act.
    async fn save(&self, state: &Value) -> Result<(), SaveError>;

    /// Tells the waiting user how far it is: 0 to 100 percent of the start, and a sentence.
    async fn progress(&self, percent: u8, message: &str);

    /// Puts the deadline of the start off: what follows may take this long, and after it the start has its usual time
    /// again. For what is no fault of the server, such as the pull of an image.
    async fn patience(&self, _at_most: Duration) {}
}
