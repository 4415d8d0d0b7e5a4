//! The driver's verbs, put together from search, launch, limits and logs. Blocking work runs off the async threads.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;
use spawners::{
    Abilities, Identity, News, Owned, Plan, Record, Sight, Spawner, StartError, Started, Stop, Unreachable,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::run::{Lock, Run};
use crate::search::{self, Found, state_of};
use crate::shared::Shared;
use crate::{Config, account, stop, watch};

/// How long a verb waits for another hub that starts or stops the same server.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How long a start waits for the end of what an older generation left, and a look for an exit code.
const GONE_PATIENCE: Duration = Duration::from_secs(5);
/// How often a condition is looked at again that nobody announces.
const AGAIN: Duration = Duration::from_millis(20);

/// Servers as processes of this machine. Clones share everything.
#[derive(Clone)]
pub struct Local {
    shared: Arc<Shared>,
}

impl Local {
    /// Opens the data folder. Fails when others could write in it.
    pub fn open(config: Config) -> io::Result<Self> {
        Ok(Self { shared: Arc::new(Shared::open(config)?) })
    }

    /// Runs blocking work. It goes on to its end when the future is dropped, so it must own what it relies on.
    async fn run<T, E>(&self, work: impl FnOnce(&Arc<Shared>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Unreachable> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || work(&shared)).await.map_err(Unreachable::new)?
    }

    async fn lock(&self, server: &Identity) -> Result<Lock, Unreachable> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            if let Some(lock) = self.shared.runs.try_lock(&server.hub, server.spawner).map_err(Unreachable::new)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(Unreachable(anyhow::anyhow!("another hub is starting or stopping the same server")));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Removes what carries an older generation, or this server's number for somebody else. A newer one means that this start comes too late.
    async fn clear_others(&self, server: &Identity) -> Result<(), StartError> {
        let deadline = Instant::now() + GONE_PATIENCE;
        loop {
            let mine = server.clone();
            let left = self.run(move |shared| shared.clear_others(&mine)).await?;
            if !left {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(StartError::failed("old_server", "The server that ran before does not end."));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Waits until the exit code of a child that has ended is noted.
    async fn settled(&self, run: &Run) {
        if let Some(mut child) = self.shared.child(run) {
            // The sender is dropped once the code is noted; the bound is for a disk that hangs.
            tokio::time::timeout(GONE_PATIENCE, child.changed()).await.ok();
        }
    }

    async fn arrived(&self, run: &Run, record: &dyn Record) -> Result<Started, StartError> {
        let state = state_of(run);
        record.save(&state).await?;
        Ok(Started { url: run.url.clone(), state })
    }
}

#[async_trait]
impl Spawner for Local {
    fn kind(&self) -> &'static str {
        "local"
    }

    fn abilities(&self) -> Abilities {
        // Only root can give a process a view of the machine of its own.
        let binds = nix::unistd::Uid::effective().is_root();
        Abilities { binds, gpus: self.shared.config.gpus, tls: true, ..Abilities::default() }
    }

    async fn start(&self, plan: &Plan, state: &Value, record: &dyn Record) -> Result<Started, StartError> {
        let server = &plan.identity;
        let (user, wanted) = (server.user.clone(), plan.clone());
        let account = self.run(move |shared| account::resolve(&user, &shared.config)).await?;
        let lock = self.lock(server).await?;
        let (mine, known) = (server.clone(), state.clone());
        match self.run(move |shared| shared.find(&mine, &known).map_err(Unreachable::new)).await? {
            Found::Live(run, _) => return self.arrived(&run, record).await,
            Found::Ended(run) => {
                self.settled(&run).await;
                self.run(move |shared| shared.clear(&run).map_err(Unreachable::new)).await?;
            }
            Found::Intended(_) | Found::Nothing => {}
        }
        record.progress(10, "Preparing the server").await;
        self.clear_others(server).await?;
        let uid = account.uid.as_raw();
        let (run, listen) = self.run(move |shared| shared.intend(&wanted, uid)).await?;
        if let Err(error) = record.save(&state_of(&run)).await {
            self.run(move |shared| shared.clear(&run).map_err(Unreachable::new)).await?;
            return Err(error.into());
        }
        record.progress(30, "Starting the server's process").await;
        let plan = plan.clone();
        let run = self.run(move |shared| shared.make(run, &plan, &account, &listen, lock)).await?;
        self.arrived(&run, record).await
    }

    async fn look(&self, server: &Identity, state: &Value) -> Result<Sight, Unreachable> {
        let (mine, known) = (server.clone(), state.clone());
        let (found, busy) = self.run(move |shared| shared.look(&mine, &known).map_err(Unreachable::new)).await?;
        Ok(match found {
            Found::Live(run, _) => self.run(move |shared| shared.living(run).map_err(Unreachable::new)).await?,
            Found::Ended(run) => {
                self.settled(&run).await;
                self.run(move |shared| shared.exited(&run).map_err(Unreachable::new)).await?
            }
            Found::Intended(_) | Found::Nothing if busy => Sight::Coming,
            Found::Intended(_) | Found::Nothing => Sight::Absent,
        })
    }

    async fn stop(&self, server: &Identity, state: &Value, how: Stop) -> Result<(), Unreachable> {
        let lock = self.lock(server).await?;
        let (mine, known) = (server.clone(), state.clone());
        let found = self.run(move |shared| shared.find(&mine, &known).map_err(Unreachable::new)).await?;
        if let Found::Ended(run) = &found {
            self.settled(run).await;
        }
        self.run(move |shared| {
            let _lock = lock;
            stop::step(shared, found, how.force).map_err(Unreachable::new)
        })
        .await
    }

    async fn forget(&self, server: &Identity, _state: &Value) -> Result<(), Unreachable> {
        let server = server.clone();
        self.run(move |shared| shared.forget(&server).map_err(Unreachable::new)).await
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, Unreachable> {
        let list = |shared: &Arc<Shared>| {
            search::owned(&shared.runs, &shared.config, &shared.config.hub).map_err(Unreachable::new)
        };
        let owned = |run: Run| Owned { identity: run.identity(), state: state_of(&run) };
        Ok(self.run(list).await?.into_iter().map(owned).collect())
    }

    async fn watch(&self, news: mpsc::Sender<News>, stop: CancellationToken) {
        watch::watch(&self.shared, news, stop).await;
    }

    async fn logs(&self, server: &Identity, _state: &Value, lines: usize) -> Result<String, Unreachable> {
        let server = server.clone();
        self.run(move |shared| shared.logs.tail(&server, lines).map_err(Unreachable::new)).await
    }
}
