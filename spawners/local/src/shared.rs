//! What all verbs of one driver use, and the blocking parts of them.
//!
//! Nothing in it is needed after a restart: the data folder and `/proc` tell all again.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::unistd::Uid;
use serde_json::Value;
use spawners::{Identity, Plan, SaveError, Sight, StartError, Unreachable};
use tokio::process::Child;
use tokio::sync::{Notify, watch};

use crate::account::Account;
use crate::config::{Config, Mode};
use crate::launch::{self, Launch};
use crate::limit::{self, Groups};
use crate::log::Logs;
use crate::run::{Lock, Run, Runs};
use crate::search::{self, Found, intention, note};
use crate::{listener, port, process};

/// The most of a server's last line that is shown with its end, in characters.
const LAST_LINE: usize = 300;

/// See the module.
pub struct Shared {
    pub config: Config,
    pub runs: Runs,
    pub logs: Logs,
    groups: Groups,
    /// Children of this process whose exit code is still to be noted, by pid.
    children: Mutex<HashMap<i32, watch::Receiver<()>>>,
    /// Held while a port is chosen and noted, so that no two servers are promised the same.
    ports: Mutex<()>,
    /// Tells `watch` that there is another server to watch.
    pub started: Notify,
}

impl Shared {
    /// Opens the data folder. Fails when others could write in it.
    pub fn open(config: Config) -> io::Result<Self> {
        let runs = Runs::open(&config.data_dir)?;
        let logs = Logs::open(&config.data_dir, config.log_bytes, config.log_files)?;
        let groups = if config.cgroups { Groups::detect(config.cgroup_parent.as_deref()) } else { Groups::None };
        match config.mode() {
            Mode::Folders => tracing::warn!("all servers run under the hub's own user, unprotected from each other"),
            Mode::System if Uid::effective().is_root() => {}
            Mode::System => {
                let text = "only root can run servers under system users; use the mode for folders";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
            }
        }
        if groups == Groups::None {
            tracing::info!("no control groups: memory is limited for each process by itself, processors are not");
        }
        let (children, ports, started) = (Mutex::default(), Mutex::default(), Notify::new());
        Ok(Self { config, runs, logs, groups, children, ports, started })
    }

    /// Returns what tells that the exit code of a server's process was noted; nothing when there is no need to wait.
    pub fn child(&self, run: &Run) -> Option<watch::Receiver<()>> {
        lock(&self.children).get(&run.process?.pid).cloned()
    }

    /// Looks for a server.
    pub fn find(&self, server: &Identity, state: &Value) -> io::Result<Found> {
        search::find(&self.runs, &self.config, server, state)
    }

    /// Looks for a server, and whether somebody is changing it just now.
    pub fn look(&self, server: &Identity, state: &Value) -> io::Result<(Found, bool)> {
        // While we hold the lock nobody makes or removes it, so what is not found is not there.
        let lock = self.runs.try_look(&server.hub, server.spawner)?;
        Ok((self.find(server, state)?, lock.is_none()))
    }

    /// Tells where a living server is reached, unless somebody else sits there.
    pub fn living(&self, run: Run) -> io::Result<Sight> {
        let listener = listener::uid_at(&run.url)?;
        if listener.is_none_or(|uid| uid == run.uid || uid == 0) {
            return Ok(Sight::Up { url: run.url });
        }
        tracing::warn!(server = %run.marker(), uid = listener, "another user's program has taken a server's port");
        let reason = "Another program of this machine has taken the server's port.".to_owned();
        Ok(Sight::Exited { code: None, reason })
    }

    /// Tells how a server ended.
    pub fn exited(&self, run: &Run) -> io::Result<Sight> {
        let code = self.runs.load_exit(&run.marker())?;
        let mut reason = match code {
            _ if run.boot_id != process::boot_id()? => "The machine was restarted.".to_owned(),
            _ if limit::out_of_memory(&run.cgroups) => "The server used more memory than it may.".to_owned(),
            Some(code) if code < 0 => format!("The server was ended by signal {}.", -code),
            Some(code) => format!("The server ended with exit code {code}."),
            None => "The server ended.".to_owned(),
        };
        let tail = self.logs.tail(&run.identity(), 1)?;
        if !tail.trim().is_empty() {
            let line: String =
                tail.trim().chars().filter(|character| !character.is_control()).take(LAST_LINE).collect();
            reason = format!("{reason} The last line of its log: {line}");
        }
        Ok(Sight::Exited { code, reason })
    }

    /// Kills what carries an older generation; whether some of it is still there.
    pub fn clear_others(&self, server: &Identity) -> Result<bool, StartError> {
        let mut left = false;
        for run in search::owned(&self.runs, &self.config, &server.hub).map_err(Unreachable::new)? {
            let is_anothers = run.identity().is_anothers(server);
            if run.spawner != server.spawner || run.generation == server.generation && !is_anothers {
                continue;
            }
            if run.generation > server.generation && !is_anothers {
                return Err(SaveError::Overtaken.into());
            }
            search::kill_all(&run).map_err(Unreachable::new)?;
            if search::crowd(&run).map_err(Unreachable::new)?.is_empty() {
                self.clear(&run).map_err(Unreachable::new)?;
            } else {
                left = true;
            }
        }
        Ok(left)
    }

    /// Chooses an address and notes what is going to be made. Returns that, and the url to listen on.
    pub fn intend(&self, plan: &Plan, uid: u32) -> Result<(Run, String), StartError> {
        let bad_ip = || StartError::refused("bad_ip", format!("“{}” is no address to listen on.", plan.ip));
        let ip = port::listen_ip(&plan.ip).ok_or_else(bad_ip)?;
        let _alone = lock(&self.ports);
        let noted = self.runs.all().map_err(Unreachable::new)?;
        let promised: HashSet<u16> = noted.iter().filter_map(|run| Some(port::reach(&run.url)?.1)).collect();
        let no_port = |error: io::Error| StartError::failed("no_port", format!("No port could be had: {error}."));
        let port = match plan.port {
            0 => port::choose(ip, self.config.ports.as_ref(), &promised).map_err(no_port)?,
            port => port,
        };
        let listen = port::bind_url(plan.certify.is_some(), ip, port, &plan.prefix);
        let (url, _) = port::reach(&listen).ok_or_else(bad_ip)?;
        let run = intention(&plan.identity, uid, url, process::boot_id().map_err(Unreachable::new)?);
        self.runs.save(&run).map_err(|error| not_noted(&run, &error))?;
        Ok((run, listen))
    }

    /// Makes the process. The lock is held until the child can be found by others.
    pub fn make(
        self: &Arc<Self>,
        mut run: Run,
        plan: &Plan,
        account: &Account,
        listen: &str,
        lock: Lock,
    ) -> Result<Run, StartError> {
        let log = self.logs.append(&plan.identity).map_err(|error| not_noted(&run, &error))?;
        let name = format!("{}.{}.{}", crate::name::safe(&run.hub), run.spawner, run.generation);
        run.cgroups = self.groups.make(&name, plan.mem_limit, plan.cpu_limit).unwrap_or_else(|error| {
            tracing::warn!(server = %run.marker(), %error, "control groups could not be made");
            Vec::new()
        });
        let doors = limit::doors(&run.cgroups).map_err(|error| not_noted(&run, &error))?;
        let data_limit = plan.mem_limit.filter(|_| run.cgroups.is_empty());
        note(&self.runs, &run);
        let launch = Launch { plan, account, config: &self.config, url: listen, log, doors, data_limit };
        let child = launch::spawn(launch).inspect_err(|_| {
            self.clear(&run).ok();
        })?;
        drop(lock);
        run.process = child.id().map(|pid| process::child(pid.cast_signed())).transpose().map_err(Unreachable::new)?;
        note(&self.runs, &run);
        self.collect(&run, child);
        self.started.notify_one();
        Ok(run)
    }

    /// Collects the child when it ends, in the background, and notes its exit code.
    fn collect(self: &Arc<Self>, run: &Run, mut child: Child) {
        let Some(process) = run.process else { return };
        let (noted, receiver) = watch::channel(());
        lock(&self.children).insert(process.pid, receiver);
        let (shared, marker) = (Arc::clone(self), run.marker());
        tokio::spawn(async move {
            use std::os::unix::process::ExitStatusExt;
            let status = child.wait().await.ok();
            let code = status.and_then(|status| status.code().or_else(|| status.signal().map(|signal| -signal)));
            if let Some(code) = code
                && let Err(error) = shared.runs.save_exit(&marker, code)
            {
                tracing::warn!(server = %marker, %error, "an exit code could not be noted");
            }
            lock(&shared.children).remove(&process.pid);
            drop(noted);
        });
    }

    /// Removes the notes and the control groups of a server that has ended.
    pub fn clear(&self, run: &Run) -> io::Result<()> {
        limit::remove(&run.cgroups);
        self.runs.remove(&run.marker())
    }

    /// Removes what outlives a server: notes of all its starts, and its log.
    pub fn forget(&self, server: &Identity) -> io::Result<()> {
        let same = |run: &Run| run.hub == server.hub && run.spawner == server.spawner;
        for run in self.runs.all()?.into_iter().filter(same) {
            let living = matches!(self.find(&run.identity(), &Value::Null)?, Found::Live(..));
            if !living {
                self.clear(&run)?;
            }
        }
        self.logs.remove(server)
    }
}

fn not_noted(run: &Run, error: &io::Error) -> StartError {
    tracing::error!(server = %run.marker(), %error, "the data folder cannot be written");
    let sentence = if error.kind() == io::ErrorKind::StorageFull {
        "The hub's disk is full. Ask the operator to make room."
    } else {
        "The hub cannot write its data folder. Ask the operator to look at the hub's log."
    };
    StartError::failed("data_folder", sentence)
}

/// What is behind these locks is whole between any two statements, so a panic elsewhere did not break it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
