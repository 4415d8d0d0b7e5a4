//! The spawner around another: folders are there before a server starts, and stay until all is uploaded.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use hub_core::clock::Clock;
use hub_core::id::SpawnerId;
use hub_core::secret::Secret;
use serde_json::Value;
use spawners::{
    Abilities, Bind, Identity, Mount, News, Owned, Plan, Record, RenameError, Renaming, SaveError, Sight, Spawner,
    StartError, Started, Stop, Unreachable,
};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::health::{Health, State};
use crate::helper::Task;
use crate::note::{Note, Stage};
use crate::place::{self, Lock, Place};
use crate::tend::Memo;
use crate::{Config, Credentials, work};

/// How long a verb waits for somebody else who changes the folders of the same server.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(50);

/// A spawner whose servers see buckets as folders. Clones share everything.
#[derive(Clone)]
pub struct Mounted(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub driver: Arc<dyn Spawner>,
    pub config: Config,
    pub credentials: Arc<dyn Credentials>,
    pub clock: Arc<dyn Clock>,
    /// What is known of each folder. Nothing in it is needed after a restart.
    memory: Mutex<HashMap<SpawnerId, HashMap<String, Memo>>>,
    /// Tells that there is something to tend to at once.
    pub wake: Notify,
}

impl Mounted {
    /// Prepares the folders that everything else is mounted in. Only root can do that.
    pub fn open(
        driver: Arc<dyn Spawner>,
        config: Config,
        credentials: Arc<dyn Credentials>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let bad = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text.to_owned());
        if !driver.abilities().binds {
            return Err(bad(&format!("the driver {:?} cannot put folders into servers", driver.kind())));
        }
        let mut config = config;
        place::make_folder(&config.cache_dir, 0o700)?;
        work::make_shared(&config.dir)?;
        config.dir = config.dir.canonicalize()?;
        config.cache_dir = config.cache_dir.canonicalize()?;
        if [&config.dir, &config.cache_dir].iter().any(|path| path.to_string_lossy().contains(['\'', '\n'])) {
            return Err(bad("the folders for mounts have a name with quotes or line ends"));
        }
        let (memory, wake) = (Mutex::default(), Notify::new());
        Ok(Self(Arc::new(Inner { driver, config, credentials, clock, memory, wake })))
    }

    /// Tells how the folders of a server are, running or not; nothing when there are none.
    pub fn health(&self, spawner: SpawnerId) -> Vec<Health> {
        let memory = self.0.memory();
        let Some(folders) = memory.get(&spawner) else { return Vec::new() };
        let mut all: Vec<Health> = folders
            .values()
            .filter_map(|memo| {
                let path = self.0.config.target.join(&memo.name).display().to_string();
                Some(Health { name: memo.name.clone(), path, state: memo.state.clone()? })
            })
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

impl Inner {
    pub fn memory(&self) -> MutexGuard<'_, HashMap<SpawnerId, HashMap<String, Memo>>> {
        // What is in it is whole between any two statements.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of one folder.
    pub fn remember<T>(&self, task: Task<'_>, change: impl FnOnce(&mut Memo) -> T) -> T {
        let mut memory = self.memory();
        let memo = memory.entry(task.spawner).or_default().entry(place::part(task.mount)).or_default();
        memo.name = task.mount.path();
        change(memo)
    }

    pub fn task<'a>(&'a self, place: &'a Place, note: &Note, mount: &'a Mount) -> Task<'a> {
        let inner = |other: &Mount| mount.within.is_none() && other.within.as_ref() == Some(&mount.name);
        let holds = note.mounts.iter().any(inner);
        Task { config: &self.config, place, spawner: note.identity().spawner, owner: note.owner, mount, holds }
    }

    async fn lock(&self, place: &Place) -> Result<Lock, Unreachable> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            if let Some(lock) = place.try_lock().map_err(Unreachable::new)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(Unreachable(anyhow::anyhow!("somebody else changes the folders of the same server")));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Notes what a start wants, and mounts it. Returns the folders that are not there, with the reason.
    async fn set_up(&self, plan: &Plan, place: &Place) -> Result<Vec<(Mount, String)>, StartError> {
        let noted = |error: io::Error| {
            tracing::error!(folder = %place.state.display(), %error, "the folders of a server cannot be prepared");
            if error.kind() == io::ErrorKind::StorageFull {
                let sentence = "The disk for what is on its way to the store is full. Ask the people who run this hub.";
                return StartError::failed("disk_full", sentence);
            }
            let sentence = "The folders of this server cannot be prepared. Ask the operator to look at the hub's log.";
            StartError::failed("mounts_folder", sentence)
        };
        let owner = plan.owner.unwrap_or(self.config.owner);
        let mut note = Note::new(&plan.identity, owner, plan.mounts.clone());
        let earlier = Note::load(place).unwrap_or_else(|error| {
            tracing::warn!(folder = %place.state.display(), %error, "an old note is not understood");
            None
        });
        if let Some(earlier) = earlier {
            if earlier.identity().generation > plan.identity.generation {
                return Err(SaveError::Overtaken.into());
            }
            let gone = |mount: &&Mount| !plan.mounts.iter().any(|wanted| work::same(wanted, mount));
            note.left = earlier.mounts.iter().chain(&earlier.left).filter(gone).cloned().collect();
        }
        let fresh = !place.state.exists();
        if let Err(error) = place.make(owner).and_then(|()| note.save(place)) {
            if fresh && let Err(error) = place.unmake() {
                tracing::warn!(folder = %place.state.display(), %error, "what was made for a server is left");
            }
            return Err(noted(error));
        }
        self.put_away(&mut note, place).await.map_err(noted)?;
        note.save(place).map_err(noted)?;
        let (identity, note) = (&plan.identity, &note);
        let mut outcome = Vec::new();
        for rank in by_rank(&note.mounts) {
            let ups = rank.into_iter().map(async |mount| {
                let task = self.task(place, note, mount);
                self.remember(task, |memo| memo.try_at_once());
                (mount.clone(), self.bring_up(task, identity, false).await)
            });
            outcome.extend(join_all(ups).await);
        }
        Ok(outcome.into_iter().filter_map(|(mount, failed)| Some((mount, failed.err()?))).collect())
    }

    /// Takes down what the server has no more. What was not uploaded is kept, in case it gets it again.
    async fn put_away(&self, note: &mut Note, place: &Place) -> io::Result<()> {
        let left = std::mem::take(&mut note.left);
        let [outer, inner] = by_rank(&left);
        for mount in inner.into_iter().chain(outer).cloned() {
            let task = self.task(place, note, &mount);
            if let Err(error) = work::take_down(task, true).await {
                tracing::error!(folder = %place.point(&mount).display(), "an old folder cannot be removed: {error:#}");
                return Err(io::Error::other("an old folder cannot be removed"));
            }
            let dirty = work::dirty(task).await?;
            if dirty.files == 0 {
                work::forget(task).await?;
                self.memory().entry(task.spawner).or_default().remove(&place::part(&mount));
                continue;
            }
            let state = State::Kept { files: dirty.files, bytes: dirty.bytes };
            self.remember(task, |memo| memo.state = Some(state));
            note.left.push(mount);
        }
        Ok(())
    }

    /// Lets go of what a server had at an earlier start, when it is started without folders.
    async fn retire(&self, server: &Identity) -> Result<(), Unreachable> {
        let place = Place::of(&self.config, server.spawner);
        if !place.state.exists() {
            return Ok(());
        }
        let _lock = self.lock(&place).await?;
        if let Some(mut note) = Note::load(&place).map_err(Unreachable::new)?
            && note.stage == Stage::Up
        {
            note.stage = Stage::Draining { since: self.clock.now() };
            note.save(&place).map_err(Unreachable::new)?;
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Notes that a server is seen to have ended.
    async fn has_ended(&self, server: &Identity) -> io::Result<()> {
        let place = Place::of(&self.config, server.spawner);
        if !place.state.exists() {
            return Ok(());
        }
        // Who has the lock starts it anew, or looks after it: a later look tells the same.
        let Some(_lock) = place.try_lock()? else { return Ok(()) };
        if let Some(mut note) = Note::load(&place)?
            && note.stage == Stage::Up
            && note.identity().generation == server.generation
        {
            note.stage = Stage::Draining { since: self.clock.now() };
            note.save(&place)?;
            self.wake.notify_one();
        }
        Ok(())
    }
}

/// The mounts that stand for themselves, and those that are in one of them.
pub fn by_rank(mounts: &[Mount]) -> [Vec<&Mount>; 2] {
    let (inner, outer) = mounts.iter().partition(|mount| mount.within.is_some());
    [outer, inner]
}

#[async_trait]
impl Spawner for Mounted {
    fn kind(&self) -> &'static str {
        self.0.driver.kind()
    }

    fn abilities(&self) -> Abilities {
        Abilities { mounts: true, ..self.0.driver.abilities() }
    }

    async fn start(&self, plan: &Plan, state: &Value, record: &dyn Record) -> Result<Started, StartError> {
        if plan.mounts.is_empty() {
            self.0.retire(&plan.identity).await?;
            return self.0.driver.start(plan, state, record).await;
        }
        let bad = |mount: &&Mount| {
            ![Some(&mount.name), mount.within.as_ref()].into_iter().flatten().all(|name| place::is_one_part(name))
        };
        if let Some(bad) = plan.mounts.iter().find(bad) {
            return Err(StartError::refused("bad_folder", format!("“{}” cannot be the name of a folder.", bad.path())));
        }
        let place = Place::of(&self.0.config, plan.identity.spawner);
        // Held until the server is there, so that nobody takes it for one that has ended.
        let _lock = self.0.lock(&place).await?;
        record.progress(2, "Mounting folders").await;
        let failed = self.0.set_up(plan, &place).await?;
        for (mount, reason) in &failed {
            let path = self.0.config.target.join(mount.path());
            if mount.required {
                let sentence = format!("The folder {} cannot be mounted: {reason}", path.display());
                return Err(StartError::failed("no_folder", sentence));
            }
            record.progress(8, &format!("The folder {} is not there yet: {reason}", path.display())).await;
        }
        let mut plan = plan.clone();
        plan.mounts.clear();
        let target: PathBuf = self.0.config.target.clone();
        plan.binds.push(Bind { source: place.tree(), target, read_only: false, propagate: true });
        self.0.driver.start(&plan, state, record).await
    }

    async fn kept_token(&self, server: &Identity) -> Result<Option<Secret>, Unreachable> {
        self.0.driver.kept_token(server).await
    }

    async fn look(&self, server: &Identity, state: &Value) -> Result<Sight, Unreachable> {
        let sight = self.0.driver.look(server, state).await?;
        if sight == Sight::Absent
            && let Err(error) = self.0.has_ended(server).await
        {
            tracing::error!(server = %server.marker(), %error, "the end of a server could not be noted for its folders");
        }
        Ok(sight)
    }

    async fn stop(&self, server: &Identity, state: &Value, how: Stop) -> Result<(), Unreachable> {
        self.0.driver.stop(server, state, how).await
    }

    async fn forget(&self, server: &Identity, state: &Value) -> Result<(), Unreachable> {
        self.0.driver.forget(server, state).await?;
        let place = Place::of(&self.0.config, server.spawner);
        if !place.state.exists() {
            return Ok(());
        }
        let _lock = self.0.lock(&place).await?;
        if let Some(mut note) = Note::load(&place).map_err(Unreachable::new)? {
            note.forgotten = true;
            // What is kept gets one more try: there is no next start.
            if !matches!(note.stage, Stage::Draining { .. }) {
                note.stage = Stage::Draining { since: self.0.clock.now() };
            }
            note.save(&place).map_err(Unreachable::new)?;
            self.0.wake.notify_one();
        }
        Ok(())
    }

    async fn rename(&self, renaming: &Renaming<'_>) -> Result<(), RenameError> {
        self.0.driver.rename(renaming).await
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, Unreachable> {
        self.0.driver.list_owned().await
    }

    async fn watch(&self, news: mpsc::Sender<News>, stop: CancellationToken) {
        tokio::join!(self.0.driver.watch(news, stop.clone()), self.0.tend(stop));
    }

    fn heard(&self) -> Option<Duration> {
        self.0.driver.heard()
    }

    async fn logs(&self, server: &Identity, state: &Value, lines: usize) -> Result<String, Unreachable> {
        self.0.driver.logs(server, state, lines).await
    }
}
