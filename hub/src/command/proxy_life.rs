//! What `specola proxy` does beside serving: signals, listeners of systemd's, and the next version of itself.

use std::ffi::OsString;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use specola_proxy::{Limits, Reload, Sockets};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The first descriptor that systemd passes (sd_listen_fds(3)).
const FIRST: RawFd = 3;
/// Variables that are for this process alone.
const OWN: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// What signals change.
pub(super) struct Life {
    pub stop: CancellationToken,
    /// Certificates are read again.
    pub reload: Reload,
    /// Where limits are read again from, and who is told them.
    pub limits: Option<(PathBuf, watch::Sender<Limits>)>,
    /// Whether servers speak TLS, and take more open files.
    pub over_tls: bool,
    /// The program's file as it was called, for its next version.
    pub program: Option<PathBuf>,
}

impl Life {
    /// SIGTERM and SIGINT stop, SIGHUP has certificates and limits read again, SIGUSR2 starts the program's file anew,
    /// which takes over. They are heard from now on, and obeyed in what is given back, which tells which of the two
    /// has asked for a stop; None when signals cannot be heard.
    pub(super) fn obey(self) -> impl Future<Output = Option<SignalKind>> + Send + 'static {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        // As configurable-http-proxy there is no next version: the signal ends the process, as it does there.
        let mut next = self.program.as_ref().and_then(|_| signal(SignalKind::user_defined2()).ok());
        async move {
            let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = kinds else { return None };
            let asked = loop {
                tokio::select! {
                    _ = terminate.recv() => break SignalKind::terminate(),
                    _ = interrupt.recv() => break SignalKind::interrupt(),
                    _ = hangup.recv() => self.reread(),
                    () = received(&mut next) => self.start_next(),
                }
            };
            self.stop.cancel();
            Some(asked)
        }
    }

    fn reread(&self) {
        self.reload.tell();
        let Some((file, limits)) = &self.limits else { return };
        match limits_of(file) {
            Ok(read) => drop(limits.send(super::proxy::within_open_files(read, self.over_tls))),
            Err(error) => tracing::error!("the limits stay as they are: {error:#}"),
        }
    }

    /// The next version tells this one to leave as soon as it serves. One that fails is told in the log, and this one goes on.
    fn start_next(&self) {
        let Some(program) = &self.program else { return };
        let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        if !arguments.iter().any(|argument| argument == "--take-over") {
            arguments.push("--take-over".into());
        }
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).stdin(std::process::Stdio::null());
        OWN.iter().for_each(|name| {
            command.env_remove(name);
        });
        match command.spawn() {
            Ok(mut child) => {
                tracing::info!(pid = child.id(), program = %program.display(), "started the next proxy");
                tokio::spawn(async move {
                    if let Ok(status) = child.wait().await {
                        tracing::warn!("the next proxy has ended: {status}");
                    }
                });
            }
            Err(error) => tracing::error!("cannot start {}: {error}", program.display()),
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    proxy: super::proxy::Proxy,
}

/// The limits in the section `[proxy]` of a configuration.
fn limits_of(file: &Path) -> Result<Limits> {
    let config = super::load(Some(file))?;
    let arguments = crate::start::proxy_process(&config).arguments();
    Ok(Line::try_parse_from(arguments).context("the arguments of the proxy")?.proxy.limits())
}

/// The listeners that systemd passed to this process.
pub(super) fn passed_sockets() -> Sockets {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let count = match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() => RawFd::try_from(count.min(64)).unwrap_or_default(),
        _ => 0,
    };
    let owned = (FIRST..FIRST + count).map(|descriptor| {
        // SAFETY: the variables say that these descriptors were opened for this process, and nothing else here uses them.
        unsafe { OwnedFd::from_raw_fd(descriptor) }
    });
    let close = |descriptor: OwnedFd| {
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        // Not for the programs that this one starts. One that is not open is no listener either.
        let _ = fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        descriptor
    };
    Sockets::of_descriptors(owned.map(close))
}

/// Names the program's file: another file of the same name is another program.
pub(crate) fn program_mark() -> Option<String> {
    let found = std::fs::metadata("/proc/self/exe").ok()?;
    Some(format!("{}:{}:{}", found.dev(), found.ino(), found.mtime()))
}
