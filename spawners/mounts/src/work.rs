//! What is done to one folder: brought up, taken down, looked at. Whoever calls holds the lock of its server.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sys::signal::Signal;
use spawners::Mount;

use crate::cache::{self, Dirty};
use crate::helper::{Helper, Task};
use crate::rc::{self, Stats};
use crate::{mountinfo, place};

/// How often a condition is looked at again that nobody announces.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a helper has to end after its folder is unmounted.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// How long the folder around another may take to tell what is in it: it may ask the store.
const SHOW_PATIENCE: Duration = Duration::from_secs(5);
/// A disk with so few free bytes is full.
const FULL: u64 = 1 << 20;
/// So many dead mounts may lie above each other.
const LAYERS: usize = 64;

/// The helper would not trust the store.
#[derive(Debug, thiserror::Error)]
#[error("the certificate of the store is not trusted: {0}")]
pub struct Untrusted(
    /// What rclone says against it.
    String,
);

/// Runs blocking work off the async threads. It goes on to its end when the future is dropped.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Makes `dir` a place where what is mounted later appears in its copies too.
pub fn make_shared(dir: &Path) -> io::Result<()> {
    place::make_folder(dir, 0o711)?;
    let dir = dir.canonicalize()?;
    if !mountinfo::is_plain(&dir) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has control characters"));
    }
    if mountinfo::containing(&dir)?.is_some_and(|mount| mount.shared) {
        return Ok(());
    }
    let none: Option<&str> = None;
    if mountinfo::at(&dir)?.is_none() {
        nix::mount::mount(Some(&dir), &dir, none, MsFlags::MS_BIND, none)?;
    }
    Ok(nix::mount::mount(none, &dir, none, MsFlags::MS_SHARED, none)?)
}

/// Asks the helper of a folder how it is; nothing when the folder is not there. The error says what is wrong with it.
pub async fn look(task: Task<'_>) -> Result<Option<Stats>> {
    let Some(helper) = task.find()? else { return Ok(None) };
    ask(task, &helper).await.map(Some)
}

async fn ask(task: Task<'_>, helper: &Helper) -> Result<Stats> {
    let point = task.place.point(task.mount);
    if !is_mounted(&point)? {
        bail!("the folder is not mounted");
    }
    let port = task.control_port()?.context("it does not tell its port")?;
    rc::stats(port, &helper.password).await
}

fn is_mounted(point: &Path) -> io::Result<bool> {
    Ok(mountinfo::at(point)?.is_some_and(|mount| mount.kind.starts_with("fuse")))
}

/// Whether a folder is where the server is to see it, as most are when they are mounted.
pub fn is_shown(task: Task<'_>) -> io::Result<bool> {
    let Some(shown) = task.place.shown(task.mount) else { return Ok(true) };
    let around = shown.parent().map(mountinfo::at).transpose()?.flatten();
    // Not one that a new folder around it has covered.
    Ok(around.is_some_and(|around| mountinfo::at(&shown).is_ok_and(|at| at.is_some_and(|at| at.parent == around.id))))
}

/// Shows a folder in the one that it is in, where that is there.
pub async fn show(task: Task<'_>) -> Result<()> {
    let Some(shown) = task.place.shown(task.mount).filter(|_| !is_shown(task).unwrap_or(false)) else { return Ok(()) };
    if !shown.parent().map(is_mounted).transpose()?.unwrap_or(false) {
        bail!("the folder that it is in is not mounted");
    }
    let point = task.place.point(task.mount);
    let showing = blocking(move || {
        match fs::create_dir(&shown) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let none: Option<&str> = None;
        Ok(nix::mount::mount(Some(&point), &shown, none, MsFlags::MS_BIND, none)?)
    });
    // The store is asked what is in the folder around.
    let shown = tokio::time::timeout(SHOW_PATIENCE, showing).await;
    shown.context("the folder that it is in gives no answer")?.context("it cannot be shown in the folder that it is in")
}

/// Takes a folder away from where it is shown. Without `force` it is an error while somebody stands in it.
pub async fn hide(task: Task<'_>, force: bool) -> Result<()> {
    let Some(shown) = task.place.shown(task.mount) else { return Ok(()) };
    if mountinfo::at(&shown)?.is_none() {
        return Ok(());
    }
    let flags = if force { MntFlags::MNT_DETACH } else { MntFlags::empty() };
    let hiding = blocking(move || Ok(umount2(&shown, flags | MntFlags::UMOUNT_NOFOLLOW)?));
    match tokio::time::timeout(SHOW_PATIENCE, hiding).await {
        Ok(Err(error)) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
            Err(error).context("the folder is in use")
        }
        Err(_) if !force => bail!("the folder that it is in gives no answer"),
        // Where nobody gets to it any more, it goes with the one that it is in.
        Ok(Ok(()) | Err(_)) | Err(_) => Ok(()),
    }
}

/// Mounts a folder, unless a helper has it mounted: that one is adopted, unless it is to be replaced.
pub async fn bring_up(task: Task<'_>, replace: bool) -> Result<()> {
    // One that is silent is adopted too: while the store is away it has no time to answer.
    if task.find()?.is_some() && !replace && is_mounted(&task.place.point(task.mount))? {
        return Ok(());
    }
    clear(task).await?;
    if let Some(what) = task.distrust().await? {
        return Err(Untrusted(what).into());
    }
    recover(task).await.context("what is in the cache cannot be compared with the store")?;
    let helper = task.start().with_context(|| format!("{} cannot be started", task.config.rclone.display()))?;
    let deadline = Instant::now() + task.config.mount_timeout;
    loop {
        if ask(task, &helper).await.is_ok() {
            return Ok(());
        }
        if !helper.process.alive()? {
            bail!("rclone has ended: {}", task.last_line());
        }
        if Instant::now() >= deadline {
            // What comes up later would be adopted as well, but nobody was told that it is there.
            bail!("rclone does not mount the folder: {}", task.last_line());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Sees to files of which nobody knows whether they are in the store, for rclone was killed while it noted that. They go
/// there if it has nothing under their name, beside what it has, or not at all if that is the same.
async fn recover(task: Task<'_>) -> Result<()> {
    if task.mount.read_only {
        return Ok(());
    }
    let cache = task.place.cache(task.mount);
    for file in blocking(move || cache::half_noted(&cache)).await? {
        let (folder, name) = (&task.mount.name, &file.name);
        match task.stored(name).await? {
            None => {
                tracing::warn!(folder, name, "rclone was killed while it noted a file, which is uploaded now");
                file.note()?;
            }
            Some(stored) if stored == task.digest(&file.data, file.size).await? => {}
            Some(_) => {
                let aside = file.set_aside()?;
                let data = aside.data.display();
                tracing::warn!(folder, name, %data, "a file is not what the store has, and is uploaded beside it");
            }
        }
    }
    Ok(())
}

/// Takes away what a dead or hanging helper left. The cache stays.
async fn clear(task: Task<'_>) -> Result<()> {
    hide(task, true).await?;
    if task.kill(Signal::SIGKILL)? {
        ended(task).await?;
    }
    let point = task.place.point(task.mount);
    for _ in 0..LAYERS {
        if mountinfo::at(&point)?.is_none() {
            return Ok(());
        }
        umount2(&point, MntFlags::MNT_DETACH).context("the old folder cannot be unmounted")?;
    }
    bail!("too many old folders lie at {}", point.display())
}

/// Waits until no helper of a folder is left.
async fn ended(task: Task<'_>) -> Result<()> {
    let deadline = Instant::now() + END_PATIENCE;
    while !task.marked()?.is_empty() {
        if Instant::now() >= deadline {
            bail!("the old helper does not end");
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

/// Unmounts a folder and ends its helper. `force` does it also while somebody stands in the folder; without it that is
/// an error, and everything stays.
pub async fn take_down(task: Task<'_>, force: bool) -> Result<()> {
    hide(task, force).await?;
    let point = task.place.point(task.mount);
    if task.find()?.is_some() && mountinfo::at(&point)?.is_some() && !force {
        let at = point.clone();
        blocking(move || Ok(umount2(&at, MntFlags::UMOUNT_NOFOLLOW)?)).await.context("the folder is in use")?;
    }
    if task.kill(Signal::SIGTERM)? && ended(task).await.is_err() {
        tracing::warn!(folder = %point.display(), "a helper does not end, and is killed");
    }
    clear(task).await?;
    place::remove_point(&point)?;
    Ok(())
}

/// Whether there is no room left for what servers write.
pub fn is_full(task: Task<'_>) -> io::Result<bool> {
    let disk = nix::sys::statvfs::statvfs(&task.config.cache_dir)?;
    // Helpers are root's, for whom the last blocks are kept.
    Ok(disk.blocks_free().saturating_mul(disk.fragment_size()) < FULL)
}

/// Counts what of a folder is not in the store.
pub async fn dirty(task: Task<'_>) -> io::Result<Dirty> {
    let cache = task.place.cache(task.mount);
    blocking(move || cache::dirty(&cache)).await
}

/// Removes what was kept of a folder: after the last upload there is nothing in it that the store has not.
pub async fn forget(task: Task<'_>) -> io::Result<()> {
    let part = task.place.part(task.mount);
    blocking(move || place::absent_is_none(fs::remove_dir_all(&part)).map(drop)).await
}

/// Whether two mounts share what is kept of them.
pub fn same(one: &Mount, other: &Mount) -> bool {
    (one.path(), &one.store.name, &one.store.endpoint, &one.bucket, &one.prefix)
        == (other.path(), &other.store.name, &other.store.endpoint, &other.bucket, &other.prefix)
}
