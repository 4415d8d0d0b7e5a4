//! A listener at an address or at a unix socket.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream as StdStream,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use tokio::net::{TcpListener, UnixListener};

use super::Listen;
use crate::{hand_over::Sockets, listener, stream::Stream};

/// A bound listener. The file of a unix socket goes with it.
pub(crate) enum Door {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Door {
    /// Binds it. A socket that nobody listens at any more is replaced.
    pub(crate) fn bind(listen: &Listen) -> anyhow::Result<Self> {
        Self::bind_from(listen, &Sockets::default())
    }

    /// Takes it from those that are bound already, or binds it.
    pub(crate) fn bind_from(listen: &Listen, sockets: &Sockets) -> anyhow::Result<Self> {
        match listen {
            Listen::Tcp(address) => Ok(Self::Tcp(listener::bind(*address, sockets)?)),
            Listen::Unix(path) => {
                let context = || format!("cannot listen on {}", path.display());
                clear(path).with_context(context)?;
                let listener = UnixListener::bind(path).with_context(context)?;
                Ok(Self::Unix { listener, _file: SocketFile(path.clone()) })
            }
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
                Ok((socket, _)) => Some((Stream::Unix(socket), Ipv4Addr::LOCALHOST.into())),
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
