//! Makes the process of a server: everything between fork and exec.
//!
//! What runs after fork may not allocate or lock, since another thread may have held the allocator's lock; so all is
//! prepared before.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chdir, setgid, setgroups, setsid, setuid};
use spawners::{Plan, StartError};
use tokio::process::{Child, Command};

use crate::account::Account;
use crate::papers::{self, Written};
use crate::{Config, MARKER, bind};

/// What a process needs besides its plan.
pub struct Launch<'a> {
    pub plan: &'a Plan,
    pub account: &'a Account,
    pub config: &'a Config,
    /// Where it is told to listen.
    pub url: &'a str,
    /// Where it writes.
    pub log: File,
    /// Through which it joins its control groups.
    pub doors: Vec<File>,
    /// A bound in bytes on the data of each process, where no control group bounds all together.
    pub data_limit: Option<u64>,
}

/// What the child does before it becomes the server; told to the parent when one of them fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    Session = 1,
    Group,
    User,
    Limit,
    Folder,
    Bind,
    Papers,
}

/// Starts the process. Errors are ready to be shown.
pub fn spawn(launch: Launch<'_>) -> Result<Child, StartError> {
    let argv = command_line(launch.plan, launch.config)?;
    let folder = folder(launch.plan, launch.account);
    bind::make_targets(&launch.plan.binds)?;
    let papers = papers::made(launch.plan, launch.url, &launch.account.home)?;
    let (mut told, tell) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map(|(read, write)| (File::from(read), write))
        .map_err(|errno| not_started(&errno.into()))?;
    let outcome = prepare(launch, &argv, &folder, papers, tell).and_then(|mut command| command.spawn());
    // The command, and with it our end for writing, is gone here; so reading ends.
    outcome.map_err(|error| {
        let mut step = Vec::new();
        told.read_to_end(&mut step).ok();
        explain(&error, step.first().copied(), &argv, &folder)
    })
}

fn prepare(
    launch: Launch<'_>,
    argv: &[OsString],
    folder: &Path,
    papers: Written,
    tell: OwnedFd,
) -> io::Result<Command> {
    let Launch { plan, account, config, url, log, doors, data_limit } = launch;
    let program = argv.first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command
        .args(argv.iter().skip(1))
        .env_clear()
        .envs(environment(plan, account, config, url, |name| std::env::var_os(name)))
        .envs(papers.variables().iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(false);
    let child = InChild {
        folder: CString::new(folder.as_os_str().as_bytes())?,
        identity: account.groups.clone().map(|groups| (account.uid, account.gid, groups)),
        umask: Mode::from_bits_truncate(config.umask),
        no_new_privileges: config.no_new_privileges,
        doors,
        data_limit,
        binds: bind::prepare(&plan.binds)?,
        papers,
        tell,
    };
    // SAFETY: the closure only makes system calls on what was prepared here; it neither allocates nor locks.
    unsafe { command.pre_exec(move || child.become_server()) };
    Ok(command)
}

struct InChild {
    folder: CString,
    identity: Option<(Uid, Gid, Vec<Gid>)>,
    umask: Mode,
    no_new_privileges: bool,
    doors: Vec<File>,
    data_limit: Option<u64>,
    binds: Vec<bind::Bound>,
    papers: Written,
    tell: OwnedFd,
}

impl InChild {
    fn become_server(&self) -> io::Result<()> {
        // A session of its own: it neither gets the terminal's signals nor ends with the hub.
        self.step(Step::Session, setsid().map(drop))?;
        forget_descriptors();
        default_signals();
        umask(self.umask);
        for door in &self.doors {
            // The groups are entered while the rights to do so are still there.
            self.step(Step::Limit, nix::unistd::write(door.as_fd(), b"0").map(drop))?;
        }
        if let Some(bytes) = self.data_limit {
            self.step(Step::Limit, setrlimit(Resource::RLIMIT_DATA, bytes, bytes))?;
        }
        // A dump of memory would hold the server's secrets.
        self.step(Step::Limit, setrlimit(Resource::RLIMIT_CORE, 0, 0))?;
        if !self.binds.is_empty() {
            self.step(Step::Bind, bind::apply(&self.binds))?;
        }
        if let Some((uid, gid, groups)) = &self.identity {
            // Groups first, the user last: the other way round the right to set groups is gone already.
            self.step(Step::Group, setgroups(groups))?;
            self.step(Step::Group, setgid(*gid))?;
            self.step(Step::User, setuid(*uid))?;
        }
        if self.no_new_privileges {
            self.step(Step::User, nix::sys::prctl::set_no_new_privs())?;
        }
        self.step(Step::Papers, self.papers.apply())?;
        // As the user, who may be the only one to enter a home on a network.
        self.step(Step::Folder, chdir(self.folder.as_c_str()))
    }

    fn step(&self, step: Step, outcome: nix::Result<()>) -> io::Result<()> {
        outcome.map_err(|errno| {
            nix::unistd::write(self.tell.as_fd(), &[step as u8]).ok();
            errno.into()
        })
    }
}

/// Marks every open file but the standard three to be closed by exec, whoever opened it. For a child after fork.
pub fn forget_descriptors() {
    // SAFETY: a plain system call without pointers.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if marked == 0 {
        return;
    }
    for number in 3..4096 {
        // SAFETY: setting a flag on a number that may be no descriptor has no effect but an error.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Undoes what the hub, or what started it, decided about signals. For a child after fork.
pub fn default_signals() {
    for number in 1..=64 {
        // SAFETY: takes no handler of ours; for numbers that cannot be set it has no effect but an error.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}

/// Composes the environment: inherited, planned, the account's, and what only the driver knows; the last one wins.
fn environment(
    plan: &Plan,
    account: &Account,
    config: &Config,
    url: &str,
    inherited: impl Fn(&str) -> Option<OsString>,
) -> Vec<(OsString, OsString)> {
    let keep = config.env_keep.iter().filter_map(|name| Some((OsString::from(name), inherited(name)?)));
    let planned = plan.environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let own = [
        ("USER", OsString::from(&account.name)),
        ("LOGNAME", OsString::from(&account.name)),
        ("HOME", account.home.clone().into_os_string()),
        ("SHELL", account.shell.clone().into_os_string()),
        ("JUPYTERHUB_SERVICE_URL", OsString::from(url)),
        (MARKER, OsString::from(plan.identity.marker().to_string())),
        ("JUPYTERHUB_USER", OsString::from(&plan.identity.user)),
        ("JUPYTERHUB_SERVER_NAME", OsString::from(&plan.identity.server)),
    ];
    let own = own.into_iter().filter(|(name, value)| *name == "JUPYTERHUB_SERVER_NAME" || !value.is_empty());
    keep.chain(planned).chain(own.map(|(name, value)| (OsString::from(name), value))).collect()
}

fn command_line(plan: &Plan, config: &Config) -> Result<Vec<OsString>, StartError> {
    let words: Vec<&String> = plan.cmd.iter().chain(&plan.args).collect();
    if plan.cmd.first().is_none_or(String::is_empty) {
        return Err(StartError::refused("no_command", "No command is configured for this server."));
    }
    if config.shell_cmd.is_empty() {
        return Ok(words.into_iter().map(OsString::from).collect());
    }
    let line: Vec<String> = words.into_iter().map(|word| quoted(word)).collect();
    Ok(config.shell_cmd.iter().map(OsString::from).chain([OsString::from(line.join(" "))]).collect())
}

/// Quotes a word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn folder(plan: &Plan, account: &Account) -> PathBuf {
    match &plan.working_dir {
        Some(wanted) => {
            wanted.strip_prefix("~").map_or_else(|_| account.home.join(wanted), |rest| account.home.join(rest))
        }
        None => account.home.clone(),
    }
}

fn explain(error: &io::Error, step: Option<u8>, argv: &[OsString], folder: &Path) -> StartError {
    let program = argv.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
    tracing::warn!(%error, step, program, folder = %folder.display(), "a server's process was not started");
    let is = |wanted: Step| step == Some(wanted as u8);
    match error.kind() {
        _ if is(Step::Folder) => {
            let sentence = format!("The folder {} cannot be entered: {error}.", folder.display());
            StartError::failed("no_home", sentence)
        }
        _ if is(Step::Group) || is(Step::User) => {
            StartError::failed("no_user_change", format!("The server cannot run under its system user: {error}."))
        }
        _ if is(Step::Bind) => {
            StartError::failed("no_folder", format!("The server's folders could not be put in place: {error}."))
        }
        _ if is(Step::Papers) => {
            let sentence = format!("The server's certificate could not be written into its home folder: {error}.");
            StartError::failed("no_certificate", sentence)
        }
        _ if is(Step::Limit) => StartError::failed("no_limit", format!("The server's limits cannot be set: {error}.")),
        // For a bare name this is also the answer when a folder on the path may not be read.
        io::ErrorKind::PermissionDenied if program.contains('/') => {
            StartError::failed("command_denied", format!("The user may not run the command “{program}”."))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => {
            let sentence = format!("The command “{program}” was not found, or not where the user may run it.");
            StartError::failed("command_not_found", sentence)
        }
        _ => not_started(error),
    }
}

fn not_started(error: &io::Error) -> StartError {
    StartError::failed("not_started", format!("The server's process could not be started: {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hub_core::id::{Generation, SpawnerId};
    use spawners::Identity;

    fn plan() -> Plan {
        let identity = Identity {
            hub: "h".into(),
            spawner: SpawnerId(1),
            generation: Generation(2),
            user: "anna".into(),
            server: String::new(),
            account: None,
        };
        Plan::new(identity, "/user/anna/", vec!["lab".into()])
    }

    fn account() -> Account {
        Account {
            name: "anna".into(),
            uid: Uid::from_raw(1000),
            gid: Gid::from_raw(1000),
            groups: None,
            home: "/home/anna".into(),
            shell: "".into(),
        }
    }

    #[test]
    fn a_plan_cannot_replace_what_only_the_driver_knows() {
        let (mut plan, config) = (plan(), Config::new("h", "/nowhere"));
        for name in ["HOME", MARKER, "PATH", "SHELL"] {
            plan.environment.push((name.into(), "planned".into()));
        }
        let inherited = |name: &str| Some(OsString::from(format!("hub's {name}")));
        let all = environment(&plan, &account(), &config, "http://127.0.0.1:1/", inherited);
        let last =
            |name: &str| all.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value.to_str().unwrap());
        assert_eq!(last("HOME"), Some("/home/anna"));
        assert_eq!(last(MARKER), Some("h:1:2"));
        assert_eq!(last("PATH"), Some("planned"), "the plan wins over what is inherited");
        assert_eq!(last("SHELL"), Some("planned"), "an account without a shell says nothing about it");
        assert_eq!(last("LANG"), Some("hub's LANG"));
        assert_eq!(last("CONFIGPROXY_AUTH_TOKEN"), None, "what is not on the list stays with the hub");
    }

    #[test]
    fn a_shell_gets_the_command_as_one_quoted_word() {
        let (mut plan, mut config) = (plan(), Config::new("h", "/nowhere"));
        plan.args = vec!["--x=a b".into(), "it's".into(), String::new()];
        config.shell_cmd = vec!["bash".into(), "-c".into()];
        assert_eq!(command_line(&plan, &config).unwrap(), ["bash", "-c", r"lab '--x=a b' 'it'\''s' ''"]);
        plan.cmd.clear();
        assert!(matches!(command_line(&plan, &config), Err(StartError::Refused { code: "no_command", .. })));
    }

    #[test]
    fn a_folder_may_start_at_home() {
        let (mut plan, account) = (plan(), account());
        for (wanted, expected) in [("~/work", "/home/anna/work"), ("/srv", "/srv"), ("work", "/home/anna/work")] {
            plan.working_dir = Some(wanted.into());
            assert_eq!(folder(&plan, &account), PathBuf::from(expected));
        }
    }
}
