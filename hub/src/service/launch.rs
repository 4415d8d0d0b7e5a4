//! Makes the process of a service: everything between fork and exec.
//!
//! What runs after fork may not allocate or lock, since another thread may have held the allocator's lock; so all is
//! prepared before.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, anyhow};
use nix::unistd::{Gid, Uid, User, chdir, getgrouplist, setgid, setgroups, setsid, setuid};
use spawner_local::Written;
use spawners::Papers;
use tokio::process::{Child, Command};

use super::process::MARKER;

/// What a process is made of.
pub struct Launch<'a> {
    /// The program and its arguments.
    pub command: &'a [String],
    /// Whom it runs as; nobody in particular is the hub's own user.
    pub user: Option<&'a str>,
    /// Where it starts; without one, in the hub's folder.
    pub cwd: Option<&'a str>,
    /// Its variables.
    pub environment: BTreeMap<String, String>,
    /// Variables of the hub's own that are handed on.
    pub keep: &'a [String],
    /// What it is found by.
    pub mark: &'a str,
    /// What it shows to the hub, where that asks for a certificate.
    pub papers: Option<Papers>,
    /// The hub's folder, in which the papers of services are that run as the hub's own user.
    pub data_dir: &'a Path,
}

/// Starts the process. Its output is to be read by the caller.
pub fn spawn(launch: Launch<'_>) -> Result<Child> {
    let Launch { command: argv, user, cwd, environment, keep, mark, papers, data_dir } = launch;
    let program = argv.first().ok_or_else(|| anyhow!("it has no command"))?;
    let account = user.map(account).transpose()?;
    let folder = cwd.map(|cwd| CString::new(Path::new(cwd).as_os_str().as_bytes())).transpose()?;
    let papers = match papers {
        Some(papers) => {
            let home = account.as_ref().map(|account| Path::new(&account.home).join(".jupyterhub"));
            let name = environment.get("JUPYTERHUB_SERVICE_NAME").map_or("", String::as_str);
            let above = std::path::absolute(home.unwrap_or_else(|| data_dir.join("services")))?;
            Written::prepare(&papers, &above, &format!("ssl-service-{name}"))?
        }
        None => Written::default(),
    };
    let mut command = Command::new(program);
    command.args(argv.iter().skip(1)).env_clear();
    command.envs(keep.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    if let Some(account) = &account {
        command.envs(account.environment());
    }
    command.envs(environment).env(MARKER, mark);
    command.envs(papers.variables().iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(false);
    let child = InChild { identity: account.map(|account| (account.uid, account.gid, account.groups)), papers, folder };
    // SAFETY: the closure only makes system calls on what was prepared here; it neither allocates nor locks.
    unsafe { command.pre_exec(move || child.become_service()) };
    command.spawn().map_err(|error| explain(&error, program, user, cwd))
}

struct Account {
    name: String,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    home: OsString,
    shell: OsString,
}

impl Account {
    fn environment(&self) -> [(&'static str, OsString); 4] {
        let name = OsString::from(&self.name);
        [("USER", name.clone()), ("LOGNAME", name), ("HOME", self.home.clone()), ("SHELL", self.shell.clone())]
    }
}

/// Looks a system user up, all groups included. Nothing changes for the hub's own.
fn account(name: &str) -> Result<Account> {
    let user = User::from_name(name).context("system users cannot be looked up")?;
    let user = user.ok_or_else(|| anyhow!("there is no system user {name:?}"))?;
    let groups = getgrouplist(&CString::new(name)?, user.gid).context("groups cannot be looked up")?;
    let (home, shell) = (user.dir.into_os_string(), user.shell.into_os_string());
    Ok(Account { name: user.name, uid: user.uid, gid: user.gid, groups, home, shell })
}

struct InChild {
    identity: Option<(Uid, Gid, Vec<Gid>)>,
    papers: Written,
    folder: Option<CString>,
}

impl InChild {
    fn become_service(&self) -> io::Result<()> {
        // A session of its own: a terminal's signals are for the hub, which stops its services itself.
        setsid()?;
        spawner_local::forget_descriptors();
        spawner_local::default_signals();
        if let Some((uid, gid, groups)) = &self.identity
            && (nix::unistd::geteuid().is_root() || *uid != nix::unistd::geteuid())
        {
            // Groups first, the user last: the other way round the right to set groups is gone already.
            setgroups(groups)?;
            setgid(*gid)?;
            setuid(*uid)?;
        }
        self.papers.apply()?;
        // As the user, who may be the only one to enter it.
        Ok(self.folder.as_deref().map_or(Ok(()), chdir)?)
    }
}

fn explain(error: &io::Error, program: &str, user: Option<&str>, cwd: Option<&str>) -> anyhow::Error {
    let (whom, place) = (user.unwrap_or("the hub's user"), cwd.unwrap_or("the hub's folder"));
    match error.kind() {
        io::ErrorKind::NotFound => anyhow!("the command {program:?} or the folder {place} was not found"),
        io::ErrorKind::PermissionDenied => {
            anyhow!("{whom} may not run {program:?}, or not enter {place}, or the hub may not act as {whom}")
        }
        _ => anyhow!("{program:?} could not be started: {error}"),
    }
}
