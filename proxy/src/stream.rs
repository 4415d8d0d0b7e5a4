//! A TCP or unix socket, or TLS with a browser, behind one type.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use crate::{
    handed::SharedStream,
    patient::PatientSocket,
    splice::{Ends, PipedSocket},
};

pub(crate) enum Stream {
    Tcp(TcpStream),
    /// The same, once it speaks HTTP.
    Piped(PipedSocket),
    Unix(PatientSocket),
    /// Boxed, for it is a hundred times the others.
    Tls(Box<TlsStream<TcpStream>>),
    /// One stream of a connection of HTTP/2.
    Shared(Box<SharedStream>),
}

/// Calls the same method on whichever socket it is.
macro_rules! either {
    ($stream:expr, $socket:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($socket) => $call,
            Stream::Piped($socket) => $call,
            Stream::Unix($socket) => $call,
            Stream::Tls($socket) => $call,
            Stream::Shared($socket) => $call,
        }
    };
}

impl Stream {
    /// Where a pipe may be put before it.
    pub(crate) fn ends(&self) -> Option<Arc<Ends>> {
        match self {
            Self::Piped(socket) => Some(Arc::clone(&socket.ends)),
            Self::Tcp(_) | Self::Unix(_) | Self::Tls(_) | Self::Shared(_) => None,
        }
    }

    /// Whether the peer has neither closed it nor sent anything that was not read. What has just come may not be known yet.
    pub(crate) fn is_silent(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Tcp(socket) => socket.try_read(&mut byte),
            Self::Piped(socket) => socket.socket.try_read(&mut byte),
            Self::Unix(socket) => socket.try_read(&mut byte),
            // Of clients alone.
            Self::Tls(_) | Self::Shared(_) => return false,
        };
        read.is_err_and(|problem| problem.kind() == io::ErrorKind::WouldBlock)
    }

    /// Waits for bytes of the peer and leaves them to be read; none at its end. For sockets just accepted.
    pub(crate) async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.peek(buffer).await,
            Self::Unix(socket) => socket.peek(buffer).await,
            Self::Piped(_) | Self::Tls(_) | Self::Shared(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Has a peer cut that does not take what is sent to it. Silence of both sides is no matter.
    pub(crate) fn bound_stall(&mut self, time: Duration) {
        match self {
            Self::Tcp(socket) => bound_stall(socket, time),
            Self::Piped(socket) => bound_stall(&socket.socket, time),
            Self::Tls(stream) => bound_stall(stream.get_ref().0, time),
            Self::Unix(socket) => socket.bound_stall(time),
            // The task of the stream sees to it.
            Self::Shared(_) => {}
        }
    }

    /// Lets the kernel notice a peer that vanished without a word. For sockets that may idle for days.
    pub(crate) fn keep_alive(&self) {
        let socket = match self {
            Self::Tcp(socket) => socket,
            Self::Piped(socket) => &socket.socket,
            Self::Tls(stream) => stream.get_ref().0,
            // Pings do it for those of HTTP/2.
            Self::Unix(_) | Self::Shared(_) => return,
        };
        keep_alive(socket);
    }
}

/// Lets the kernel notice a peer that vanished without a word.
pub(crate) fn keep_alive(socket: &TcpStream) {
    let probes =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    if let Err(problem) = SockRef::from(socket).set_tcp_keepalive(&probes) {
        tracing::debug!(%problem, "no keepalive on a connection");
    }
}

/// Has the kernel cut a peer that does not take what is sent to it.
pub(crate) fn bound_stall(socket: &TcpStream, time: Duration) {
    // A socket that refuses this is already closed, and the next read will say so.
    let _ = SockRef::from(socket).set_tcp_user_timeout(Some(time));
}

/// Whether this system leaves gaps between segments, as BBR does.
static PACED: LazyLock<bool> = LazyLock::new(|| {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").is_ok_and(|name| name.starts_with("bbr"))
});

/// Has the kernel send to a peer on this host without gaps: each costs a timer, and there is no network to be spared.
pub(crate) fn unpace(socket: &TcpStream) {
    if *PACED && socket.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback()) {
        // Those who may not choose have what the system gives.
        let _ = SockRef::from(socket).set_tcp_congestion(b"reno");
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_write(context, buffer))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_write_vectored(context, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, socket => socket.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_shutdown(context))
    }
}
