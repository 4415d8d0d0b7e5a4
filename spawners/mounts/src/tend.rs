//! Looks after all folders, over and over: keys, helpers that died, uploads after the end of a server.
//!
//! All it does follows from the notes on disk and from a fresh look; another hub goes on where this one was.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::TimeDelta;
use futures_util::future::join_all;
use hub_core::clock::Time;
use hub_core::id::SpawnerId;
use spawners::{Identity, Mount};
use tokio_util::sync::CancellationToken;

use crate::health::State;
use crate::helper::Task;
use crate::mounted::{Inner, by_rank};
use crate::note::{Note, Stage};
use crate::place::{Lock, Place};
use crate::rc::Stats;
use crate::work;

/// Between two rounds.
const PERIOD: Duration = Duration::from_secs(1);
/// Between two searches for servers that have ended without a look.
const SEARCH: Duration = Duration::from_secs(30);
/// A helper that lives is replaced after so many answers that did not come: about five minutes. It is silent while the
/// store is away, and whoever has a file open there is better served by waiting.
const MISSES: u32 = 50;
/// The longest pause before another try to mount.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Before keys are asked for again that could not be had.
const KEYS_AGAIN: TimeDelta = TimeDelta::seconds(30);
/// Uploads that wait for longer, without one under way, do not get through.
const BEHIND: Duration = Duration::from_secs(60);

/// What is remembered of one folder between two rounds.
#[derive(Debug, Default)]
pub struct Memo {
    /// Its name.
    pub name: String,
    /// How it is; nothing before the first look.
    pub state: Option<State>,
    /// When keys are due; nothing before they were had the first time.
    keys_due: Option<Time>,
    /// Keys that last were had.
    keys_last: bool,
    /// Until when nobody is asked for keys again, and why there are none.
    no_keys: Option<(Time, String)>,
    misses: u32,
    next_try: Option<Instant>,
    pause: Duration,
    waiting_since: Option<Instant>,
}

impl Memo {
    /// Somebody waits: earlier failures delay nothing.
    pub fn try_at_once(&mut self) {
        (self.no_keys, self.next_try, self.pause) = (None, None, Duration::ZERO);
    }

    /// It is not there, and is tried again after a while.
    fn failed(&mut self, reason: String) {
        self.pause = (self.pause * 2).clamp(PERIOD, LONGEST_PAUSE);
        self.next_try = Some(Instant::now() + self.pause);
        self.state = Some(State::Broken { reason });
    }
}

impl Inner {
    /// Runs until told to stop.
    pub async fn tend(&self, stop: CancellationToken) {
        let mut searched: Option<Instant> = None;
        loop {
            let search = searched.is_none_or(|last| last.elapsed() >= SEARCH);
            tokio::select! {
                () = stop.cancelled() => return,
                // Dropped in the middle, another hub goes on.
                () = self.round(search) => {}
            }
            if search {
                searched = Some(Instant::now());
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    async fn round(&self, search: bool) {
        let spawners = match Place::all(&self.config) {
            Ok(spawners) => spawners,
            Err(error) => return tracing::warn!("mounts: {} cannot be read: {error}", self.config.cache_dir.display()),
        };
        let mut held = Vec::new();
        for spawner in spawners {
            match self.hold(spawner) {
                Ok(Some(mine)) => held.push(mine),
                // Somebody is at work on it, or there is nothing to do.
                Ok(None) => {}
                Err(error) => tracing::warn!(server = %spawner, "mounts: {error}"),
            }
        }
        if search && held.iter().any(|(_, note, _)| note.stage == Stage::Up) {
            self.search(&mut held).await;
        }
        join_all(held.into_iter().map(async |(place, note, _lock)| {
            let server = note.identity();
            if let Err(error) = self.attend(&place, note).await {
                tracing::warn!(server = %server.marker(), "mounts: {error:#}");
            }
        }))
        .await;
    }

    fn hold(&self, spawner: SpawnerId) -> io::Result<Option<(Place, Note, Lock)>> {
        let place = Place::of(&self.config, spawner);
        let Some(lock) = place.try_lock()? else { return Ok(None) };
        Ok(Note::load(&place)?.map(|note| (place, note, lock)))
    }

    /// Finds servers that have ended while nobody looked. Their locks are held: none of them is being started.
    async fn search(&self, held: &mut [(Place, Note, Lock)]) {
        let owned = match self.driver.list_owned().await {
            Ok(owned) => owned,
            Err(error) => return tracing::warn!("mounts: {error}"),
        };
        for (place, note, _) in held.iter_mut().filter(|(_, note, _)| note.stage == Stage::Up) {
            let server = note.identity();
            if owned.iter().any(|owned| owned.identity.spawner == server.spawner) {
                continue;
            }
            note.stage = Stage::Draining { since: self.clock.now() };
            if let Err(error) = note.save(place) {
                tracing::warn!(server = %server.marker(), "mounts: {error}");
            }
        }
    }

    async fn attend(&self, place: &Place, note: Note) -> Result<()> {
        match note.stage {
            Stage::Up => {
                let server = note.identity();
                for rank in by_rank(&note.mounts) {
                    join_all(rank.into_iter().map(|mount| self.keep_up(self.task(place, &note, mount), &server))).await;
                }
                self.show_kept(place, &note, &note.left).await?;
                Ok(())
            }
            Stage::Draining { since } => self.drain(place, note, since).await,
            Stage::Kept => self.show_kept(place, &note, &note.mounts).await,
        }
    }

    /// Sees to it that a folder of a running server is there.
    async fn keep_up(&self, task: Task<'_>, server: &Identity) {
        if let Err(error) = task.bound_log() {
            tracing::warn!(folder = task.mount.path(), "mounts: a log cannot be cut: {error}");
        }
        // A helper that has keys goes on with them; one that has none is told of by the try to mount.
        let _ = self.fresh_keys(task, server).await;
        let looked = work::look(task).await;
        if let Ok(Some(stats)) = &looked {
            if self.in_place(task, server).await {
                self.seen(task, *stats, stats.waiting(), false);
            }
            return;
        }
        let hangs = looked.is_err();
        let due = self.remember(task, |memo| {
            memo.misses += 1;
            (!hangs || memo.misses >= MISSES) && memo.next_try.is_none_or(|next| Instant::now() >= next)
        });
        if due && self.bring_up(task, server, true).await.is_ok() {
            tracing::info!(server = %server.marker(), folder = task.mount.path(), "mounted again");
        }
    }

    /// Sees to it that a folder that is mounted is where the server is to see it.
    async fn in_place(&self, task: Task<'_>, server: &Identity) -> bool {
        if work::is_shown(task).unwrap_or(false) {
            return true;
        }
        if !self.remember(task, |memo| memo.next_try.is_none_or(|next| Instant::now() >= next)) {
            return false;
        }
        match self.show(task, server).await {
            Ok(()) => true,
            Err(reason) => {
                self.remember(task, |memo| memo.failed(reason));
                false
            }
        }
    }

    /// Takes in what a helper tells, and how many files are not in the store.
    fn seen(&self, task: Task<'_>, stats: Stats, files: u64, drains: bool) {
        // One that cannot be asked is not said to be full.
        let full = !drains && work::is_full(task).unwrap_or(false);
        self.remember(task, |memo| {
            (memo.misses, memo.next_try, memo.pause) = (0, None, Duration::ZERO);
            let stuck = files > 0 && stats.uploads_in_progress == 0;
            let since = if stuck { Some(memo.waiting_since.unwrap_or_else(Instant::now)) } else { None };
            memo.waiting_since = since;
            memo.state = Some(match files {
                _ if full => State::Full { files },
                0 => State::Ready,
                _ if drains => State::Draining { files },
                _ if stats.out_of_space || since.is_some_and(|since| since.elapsed() > BEHIND) => {
                    State::Behind { files }
                }
                _ => State::Uploading { files },
            });
        });
    }

    /// Mounts a folder with fresh keys. The error is a sentence for the person; the cause is in the log.
    pub async fn bring_up(&self, task: Task<'_>, server: &Identity, replace: bool) -> Result<(), String> {
        self.mount(task, server, replace, true).await
    }

    async fn mount(&self, task: Task<'_>, server: &Identity, replace: bool, shown: bool) -> Result<(), String> {
        let outcome = match self.fresh_keys(task, server).await {
            Ok(()) => work::bring_up(task, replace).await.map_err(|error| {
                tracing::warn!(server = %server.marker(), folder = task.mount.path(), "not mounted: {error:#}");
                sentence(&error, &task.mount.store.name)
            }),
            Err(reason) => Err(reason),
        };
        let outcome = match outcome {
            // One whose server has ended is for its uploads alone.
            Ok(()) if shown => self.show(task, server).await,
            outcome => outcome,
        };
        self.remember(task, |memo| match &outcome {
            Ok(()) => {
                (memo.misses, memo.next_try, memo.pause) = (0, None, Duration::ZERO);
                memo.state = Some(State::Ready);
            }
            Err(reason) => memo.failed(reason.clone()),
        });
        outcome
    }

    /// Shows a folder in the one that it is in. The error is a sentence for the person; the cause is in the log.
    async fn show(&self, task: Task<'_>, server: &Identity) -> Result<(), String> {
        work::show(task).await.map_err(|error| {
            tracing::warn!(server = %server.marker(), folder = task.mount.path(), "not shown: {error:#}");
            "The folder that it is in is not there; it is tried again.".to_owned()
        })
    }

    /// Replaces keys in time. An error only where there are none at all.
    async fn fresh_keys(&self, task: Task<'_>, server: &Identity) -> Result<(), String> {
        let (now, path) = (self.clock.now(), task.place.keys(task.mount));
        let there = path.exists();
        let (due, refused) = self.remember(task, |memo| {
            let due = !there || !memo.keys_last && memo.keys_due.is_none_or(|due| now >= due);
            (due, memo.no_keys.clone().filter(|(until, _)| now < *until))
        });
        let reason = match refused {
            _ if !due => return Ok(()),
            Some((_, reason)) => reason,
            None => match self.have_keys(task, server, now).await {
                Ok(()) => return Ok(()),
                Err(reason) => {
                    self.remember(task, |memo| memo.no_keys = Some((now + KEYS_AGAIN, reason.clone())));
                    reason
                }
            },
        };
        // Those at hand may be good for a while yet.
        if there { Ok(()) } else { Err(reason) }
    }

    async fn have_keys(&self, task: Task<'_>, server: &Identity, now: Time) -> Result<(), String> {
        let keys = self.credentials.keys(server, &task.mount.store).await.map_err(|error| {
            tracing::warn!(server = %server.marker(), store = task.mount.store.name, "no keys: {error}");
            error.0
        })?;
        let path = task.place.keys(task.mount);
        task.place.make(task.owner).and_then(|()| keys.write(&path)).map_err(|error| {
            tracing::error!(path = %path.display(), %error, "keys cannot be written");
            "The keys of the store cannot be kept. Ask the operator to look at the hub's log.".to_owned()
        })?;
        let renew_at = keys.renew_at(now);
        self.remember(task, |memo| (memo.keys_due, memo.keys_last) = (renew_at, renew_at.is_none()));
        Ok(())
    }

    /// Goes on with the uploads of a server that has ended, and takes down each folder that is done.
    async fn drain(&self, place: &Place, mut note: Note, since: Time) -> Result<()> {
        let limit = TimeDelta::from_std(self.config.drain_timeout).unwrap_or(TimeDelta::MAX);
        let over = self.clock.now() - since >= limit;
        let server = note.identity();
        let mut outcome = Vec::new();
        let [outer, inner] = by_rank(&note.mounts);
        // First those that are shown in others, which cannot be taken down before.
        for rank in [inner, outer] {
            let steps = rank.into_iter().map(async |mount| {
                let task = self.task(place, &note, mount);
                let done = self.drain_one(task, &server, over).await;
                done.inspect_err(|error| {
                    tracing::warn!(server = %server.marker(), folder = mount.path(), "its uploads: {error:#}");
                })
            });
            outcome.extend(join_all(steps).await);
        }
        if outcome.iter().all(|done| matches!(done, Ok(true))) {
            return self.end(place, &note).await;
        }
        if over && outcome.iter().all(Result::is_ok) {
            note.stage = Stage::Kept;
            note.save(place)?;
            let kept = place.state.display();
            if note.forgotten {
                tracing::error!(server = %server.marker(), user = server.user, %kept, "the server is deleted, and files of it were not uploaded: they stay there");
            } else {
                tracing::warn!(server = %server.marker(), user = server.user, %kept, "not everything was uploaded in time: it is kept for the next start");
            }
            place.remove_live()?;
            self.show_kept(place, &note, &note.mounts).await?;
        }
        Ok(())
    }

    /// One step of one folder; whether it is done, with nothing left of it.
    async fn drain_one(&self, task: Task<'_>, server: &Identity, over: bool) -> Result<bool> {
        work::hide(task, over).await?;
        if over {
            work::take_down(task, true).await?;
            return Ok(work::dirty(task).await?.files == 0);
        }
        let looked = work::look(task).await;
        let waiting = work::dirty(task).await?.files;
        if let Ok(Some(stats)) = looked
            && stats.waiting().max(waiting) > 0
        {
            let _ = self.fresh_keys(task, server).await;
            self.seen(task, stats, stats.waiting().max(waiting), true);
            return Ok(false);
        }
        if waiting == 0 {
            work::take_down(task, false).await?;
            // What was open until now may have been written at the last moment.
            return Ok(work::dirty(task).await?.files == 0);
        }
        self.remember(task, |memo| memo.state = Some(State::Draining { files: waiting }));
        let due = self.remember(task, |memo| {
            memo.misses += 1;
            (looked.is_ok() || memo.misses >= MISSES) && memo.next_try.is_none_or(|next| Instant::now() >= next)
        });
        if due && self.mount(task, server, true, false).await.is_ok() {
            self.remember(task, |memo| memo.state = Some(State::Draining { files: waiting }));
        }
        Ok(false)
    }

    /// Nothing is left to do for a server: removes all, but for what an earlier start left behind.
    async fn end(&self, place: &Place, note: &Note) -> Result<()> {
        for mount in &note.mounts {
            work::forget(self.task(place, note, mount)).await?;
        }
        place.remove_live()?;
        if note.left.is_empty() {
            std::fs::remove_dir_all(&place.state)?;
            self.memory().remove(&note.identity().spawner);
        } else {
            let mut rest = note.clone();
            (rest.mounts, rest.stage) = (std::mem::take(&mut rest.left), Stage::Kept);
            rest.save(place)?;
        }
        Ok(())
    }

    /// Remembers for the person what is kept of these folders.
    async fn show_kept(&self, place: &Place, note: &Note, mounts: &[Mount]) -> Result<()> {
        for mount in mounts {
            let task = self.task(place, note, mount);
            // Nobody changes what is kept.
            if self.remember(task, |memo| matches!(memo.state, Some(State::Kept { .. }))) {
                continue;
            }
            let dirty = work::dirty(task).await?;
            let state = (dirty.files > 0).then_some(State::Kept { files: dirty.files, bytes: dirty.bytes });
            self.remember(task, |memo| memo.state = state);
        }
        Ok(())
    }
}

/// What the person is told of a folder that could not be mounted.
fn sentence(error: &anyhow::Error, store: &str) -> String {
    if error.downcast_ref::<work::Untrusted>().is_some() {
        return format!(
            "What mounts folders does not trust the certificate of the storage {store}. Tell the operator."
        );
    }
    // In the words of this machine, by whoever they were told.
    if format!("{error:#}").to_ascii_lowercase().contains("no space left on device") {
        return "The disk for what is on its way to the store is full. Tell the operator; it is tried again."
            .to_owned();
    }
    "The folder could not be mounted; it is tried again.".to_owned()
}
