//! A listener at an address or at a unix socket.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream as StdStream,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, bail};
use tokio::net::{TcpListener, UnixListener};

use super::Listen;
use crate::{hand_over::Sockets, listener, patient::PatientSocket, stream::Stream};

/// A bound listener. The file of a unix socket goes with it.
pub(crate) enum Door {
    Tcp(TcpListener),
    /// One of those that share a listener has the file.
    Unix {
        listener: UnixListener,
        file: Option<SocketFile>,
    },
}

/// Removed when it is dropped, once it is ours.
pub(crate) struct SocketFile(PathBuf, AtomicBool);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if *self.1.get_mut() {
            // It may be gone already.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

impl Door {
    /// Binds it, as configurable-http-proxy does. A socket that nobody listens at any more is replaced.
    pub(crate) fn bind(listen: &Listen) -> anyhow::Result<Self> {
        match listen {
            Listen::Tcp(address) => Ok(Self::Tcp(listener::bind(*address, &Sockets::default(), true)?)),
            Listen::Unix(_) => Self::bind_from(listen, &Sockets::default()),
        }
    }

    /// Takes it from those that are bound already, or binds it.
    pub(crate) fn bind_from(listen: &Listen, sockets: &Sockets) -> anyhow::Result<Self> {
        match listen {
            Listen::Tcp(address) => Ok(Self::Tcp(listener::bind(*address, sockets, false)?)),
            Listen::Unix(path) => {
                if let Some(listener) = sockets.take_at(path) {
                    let listener = UnixListener::from_std(listener)?;
                    let file = Some(SocketFile(path.clone(), AtomicBool::new(false)));
                    return Ok(Self::Unix { listener, file });
                }
                let context = || format!("cannot listen on {}", path.display());
                clear(path).with_context(context)?;
                let listener = UnixListener::bind(path).with_context(context)?;
                Ok(Self::Unix { listener, file: Some(SocketFile(path.clone(), AtomicBool::new(true))) })
            }
        }
    }

    /// The same listener once more, for the runtime in which this is called; the first one gets the file. Connections
    /// go to whoever is there first.
    pub(crate) fn again(&mut self) -> io::Result<Self> {
        let descriptor = self.descriptor().try_clone_to_owned()?;
        match self {
            Self::Tcp(_) => Ok(Self::Tcp(TcpListener::from_std(descriptor.into())?)),
            Self::Unix { file, .. } => {
                let listener = UnixListener::from_std(descriptor.into())?;
                Ok(Self::Unix { listener, file: file.take() })
            }
        }
    }

    /// What is handed over of it.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix { listener, .. } => listener.as_fd(),
        }
    }

    /// From now on the file of a unix socket is ours, also where another process has made it.
    pub(crate) fn keep(&self) {
        if let Self::Unix { file: Some(file), .. } = self {
            file.1.store(true, Ordering::Relaxed);
        }
    }

    /// Closes it here. The file of a unix socket stays, for it is another process's now.
    pub(crate) fn give_away(self) {
        if let Self::Unix { file, .. } = self {
            std::mem::forget(file);
        }
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix { .. } => None,
        }
    }

    /// The next connection and whom it is from; None after a failure that was waited for. Who comes to a unix socket is
    /// of this machine.
    pub(crate) async fn next(&self) -> Option<(Stream, IpAddr)> {
        match self {
            Self::Tcp(listener) => {
                listener::next(listener).await.map(|(socket, peer)| (Stream::Tcp(socket), peer.ip()))
            }
            Self::Unix { listener, .. } => match listener.accept().await {
                Ok((socket, _)) => Some((Stream::Unix(PatientSocket::new(socket)), Ipv4Addr::LOCALHOST.into())),
                Err(problem) => {
                    listener::rest_after(&problem).await;
                    None
                }
            },
        }
    }
}

fn clear(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(problem) => return Err(problem.into()),
    };
    if !found.file_type().is_socket() {
        bail!("there is something else");
    }
    if StdStream::connect(path).is_ok() {
        bail!("somebody listens there");
    }
    std::fs::remove_file(path)?;
    Ok(())
}
