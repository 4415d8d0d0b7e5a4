//! The method `pam`: the machine's own accounts, asked through libpam on threads of its own.
//!
//! Modules may take seconds or hang. They never hold a thread that serves, and no more than the configured number
//! of them run at once.

mod library;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hub_core::secret::Secret;
use nix::unistd::{Group, User, getgrouplist};
use tokio::sync::oneshot;

use self::library::{Code, Pam as Functions};
use super::{Proof, Refusal};
use crate::config::auth::PamConfig;

/// Logins that wait for a thread.
const QUEUE: usize = 256;
/// How long a login waits for PAM.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why PAM cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PamError {
    /// No libpam on this machine.
    #[error("auth.authenticator = \"pam\" needs libpam.so.0 (on Debian: apt install libpam0g): {0}")]
    Library(String),
    /// The service's name has a null character.
    #[error("auth.pam.service is not the name of a PAM service")]
    Service,
    /// No thread could be started.
    #[error("the threads for PAM cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The machine's accounts.
#[derive(Debug)]
pub struct Pam {
    jobs: SyncSender<Job>,
}

struct Job {
    user: String,
    password: Secret,
    answer: oneshot::Sender<Proof>,
}

struct Worker {
    functions: Functions,
    service: CString,
    check_account: bool,
    open_sessions: bool,
    admin_groups: BTreeSet<String>,
}

impl Pam {
    /// Loads libpam and starts the threads, which end when this is dropped.
    pub fn new(config: &PamConfig) -> Result<Self, PamError> {
        let worker = Arc::new(Worker {
            functions: Functions::load().map_err(PamError::Library)?,
            service: CString::new(config.service.as_str()).map_err(|_| PamError::Service)?,
            check_account: config.check_account,
            open_sessions: config.open_sessions,
            admin_groups: config.admin_groups.clone(),
        });
        let (jobs, queue) = sync_channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for index in 0..config.executor_threads.max(1) {
            let (worker, queue) = (worker.clone(), queue.clone());
            std::thread::Builder::new().name(format!("pam-{index}")).spawn(move || worker.run(&queue))?;
        }
        Ok(Self { jobs })
    }

    /// Asks PAM about a user and a password.
    pub(super) async fn prove(&self, user: &str, password: &Secret) -> Proof {
        let (answer, answered) = oneshot::channel();
        match self.jobs.try_send(Job { user: user.to_owned(), password: password.clone(), answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Proof::Unknown("too many logins wait for PAM".into()),
            Err(TrySendError::Disconnected(_)) => return Proof::Unknown("the threads for PAM have ended".into()),
        }
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(proof)) => proof,
            Ok(Err(_)) => Proof::Unknown("a thread for PAM has ended".into()),
            Err(_) => Proof::Unknown(format!("PAM has not answered for {} seconds", PATIENCE.as_secs())),
        }
    }
}

impl Worker {
    fn run(&self, queue: &Mutex<Receiver<Job>>) {
        loop {
            // The lock is held while waiting for a job, not while doing it.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = next else { return };
            // Whoever has given up meanwhile needs no answer, and must not hold up those behind.
            if !job.answer.is_closed() {
                let _ = job.answer.send(self.ask(&job.user, &job.password));
            }
        }
    }

    fn ask(&self, name: &str, password: &Secret) -> Proof {
        let Ok(user) = CString::new(name) else { return Proof::Disproven(Refusal::Wrong) };
        let mut transaction = match self.functions.begin(&self.service, &user, password) {
            Ok(transaction) => transaction,
            Err(Code::AUTH_ERR) => return Proof::Disproven(Refusal::Wrong),
            Err(code) => return Proof::Unknown(format!("pam_start answered {}", code.0)),
        };
        let mut code = transaction.authenticate();
        if code == Code::SUCCESS && self.check_account {
            code = transaction.account();
        }
        if code != Code::SUCCESS {
            return verdict(code, || transaction.describe(code));
        }
        // A module may have turned the name into another account's, which is not the one the hub would let in.
        if transaction.user().as_deref() != Some(name) {
            return Proof::Disproven(Refusal::Account);
        }
        if self.open_sessions {
            // As in JupyterHub, a session that cannot be opened does not keep anybody out.
            let code = transaction.open_session();
            if code == Code::SUCCESS {
                transaction.close_session();
            } else {
                tracing::warn!("PAM could not open a session: {}", transaction.describe(code));
            }
        }
        match self.administers(name) {
            Ok(admin) => Proof::Proven { admin, must_change: false },
            Err(cause) => Proof::Unknown(cause),
        }
    }

    /// Whether the user is in one of `admin_groups`; not said when there are none.
    fn administers(&self, name: &str) -> Result<Option<bool>, String> {
        if self.admin_groups.is_empty() {
            return Ok(None);
        }
        let looked = |error| format!("the groups of a user cannot be looked up: {error}");
        let user = User::from_name(name).map_err(looked)?.ok_or("PAM let in a user the machine does not know")?;
        let c_name = CString::new(name).map_err(|error| error.to_string())?;
        let groups = getgrouplist(&c_name, user.gid).map_err(looked)?;
        for admin_group in &self.admin_groups {
            // Not to find a group must not quietly take the right away from all its members.
            let group = Group::from_name(admin_group).map_err(looked)?;
            let group =
                group.ok_or_else(|| format!("auth.pam.admin_groups names {admin_group:?}, an unknown group"))?;
            if groups.contains(&group.gid) {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }
}

/// What libpam's answer means to somebody who logs in. What says nothing about them is no refusal.
fn verdict(code: Code, describe: impl FnOnce() -> String) -> Proof {
    match code {
        Code::AUTH_ERR | Code::USER_UNKNOWN | Code::MAXTRIES | Code::CRED_INSUFFICIENT => {
            Proof::Disproven(Refusal::Wrong)
        }
        Code::NEW_AUTHTOK_REQD => Proof::Disproven(Refusal::Expired),
        Code::ACCT_EXPIRED | Code::PERM_DENIED => Proof::Disproven(Refusal::Account),
        _ => Proof::Unknown(format!("PAM answered: {}", describe())),
    }
}
