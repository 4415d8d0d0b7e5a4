//! A unix socket whose peer has to take what is sent to it. For TCP the kernel sees to that.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::UnixStream,
    time::Sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) struct PatientSocket {
    socket: UnixStream,
    /// Unbounded when None.
    patience: Option<Duration>,
    /// Armed only while the peer takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    /// Tells who serves the other end that this one is gone.
    _watched: Option<DropGuard>,
}

impl PatientSocket {
    /// Has no bound yet.
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self { socket, patience: None, stall: None, _watched: None }
    }

    /// With a token that is cancelled when the socket is dropped. An end alone may be that of one direction.
    pub(crate) fn watched(socket: UnixStream) -> (Self, CancellationToken) {
        let dropped = CancellationToken::new();
        (Self { _watched: Some(dropped.clone().drop_guard()), ..Self::new(socket) }, dropped)
    }

    /// Reads what is there.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.try_read(buffer)
    }

    /// Waits for bytes and leaves them to be read.
    pub(crate) async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let socket = &self.socket;
        socket.async_io(Interest::READABLE, || Ok(recv(socket, &mut *buffer, RecvFlags::PEEK)?.0)).await
    }

    pub(crate) fn bound_stall(&mut self, time: Duration) {
        self.patience = Some(time);
    }

    /// The outcome of a write, or an error when the peer has taken nothing for too long.
    fn bounded(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let Some(patience) = self.patience else { return Poll::Pending };
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for PatientSocket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for PatientSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, buffer);
        this.bounded(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(context, buffers);
        this.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
