//! How the next proxy, of a new version, takes the place of this one without a connection being refused.
//!
//! The new one asks for the listeners at the admin socket, gets them over that connection, and says when it serves. Then
//! the old one accepts no more, answers what comes over open connections with `Connection: close`, and ends when the
//! last tunnel has. Until the new one serves, both accept; should it die before, the old one just goes on.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener as StdListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener as StdUnixListener, UnixStream as StdStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use socket2::{SockAddr, SockRef};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Interest},
    net::UnixStream,
};
use tokio_util::sync::CancellationToken;

use crate::{activity::lock, state::Shared};

/// What the connection becomes.
pub(crate) const PROTOCOL: &str = "specola-listeners";
/// Listeners that are passed at most.
const MOST: usize = 64;
/// What the one before may take for its next word.
const PATIENCE: Duration = Duration::from_secs(30);

const SERVING: &str = "serving";
const LEFT: &str = "left";
const STOP: &str = "stop";

/// Listeners that somebody else has bound: the proxy before this one, or systemd.
#[derive(Clone, Default)]
pub struct Sockets(Arc<Mutex<Vec<OwnedFd>>>);

impl Sockets {
    /// Keeps those of the descriptors that are listening sockets at an address or a path; the others are closed.
    pub fn of_descriptors(descriptors: impl IntoIterator<Item = OwnedFd>) -> Self {
        let listening = |descriptor: &OwnedFd| {
            let socket = SockRef::from(descriptor);
            let known = socket.local_addr().is_ok_and(|at| at.as_socket().is_some() || at.as_pathname().is_some());
            known && socket.is_listener().unwrap_or(false)
        };
        Self(Arc::new(Mutex::new(descriptors.into_iter().filter(listening).collect())))
    }

    /// The listener at this address, which then is the caller's.
    pub(crate) fn take(&self, address: SocketAddr) -> Option<StdListener> {
        let listener = StdListener::from(self.find(|at| at.as_socket() == Some(address))?);
        listener.set_nonblocking(true).ok()?;
        Some(listener)
    }

    /// The listener at this path, which then is the caller's.
    pub(crate) fn take_at(&self, path: &Path) -> Option<StdUnixListener> {
        let listener = StdUnixListener::from(self.find(|at| at.as_pathname() == Some(path))?);
        listener.set_nonblocking(true).ok()?;
        Some(listener)
    }

    fn find(&self, is_it: impl Fn(&SockAddr) -> bool) -> Option<OwnedFd> {
        let mut listeners = lock(&self.0);
        let at =
            listeners.iter().position(|listener| SockRef::from(listener).local_addr().is_ok_and(|at| is_it(&at)))?;
        Some(listeners.swap_remove(at))
    }

    fn put(&self, more: Self) {
        lock(&self.0).append(&mut lock(&more.0));
    }
}

/// The proxy whose place is taken.
pub(crate) struct Predecessor {
    stream: StdStream,
    admin: PathBuf,
}

impl Predecessor {
    /// Gets the listeners of the proxy at the admin socket into `sockets`. None when there is no such proxy. Blocks.
    pub(crate) fn find(admin: &Path, sockets: &Sockets) -> io::Result<Option<Self>> {
        let Ok(mut stream) = StdStream::connect(admin) else { return Ok(None) };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let asking =
            format!("POST /hand-over HTTP/1.1\r\nHost: proxy\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n\r\n");
        stream.write_all(asking.as_bytes())?;
        let head = read_until(&mut stream, b"\r\n\r\n")?;
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(io::Error::other("the running proxy is too old to hand over its listeners"));
        }
        sockets.put(Sockets::of_descriptors(receive(&stream)?));
        Ok(Some(Self { stream, admin: admin.to_owned() }))
    }

    /// Says that this proxy serves; returns when the other has closed its doors. Blocks.
    pub(crate) fn relieve(&mut self) -> io::Result<()> {
        self.tell_serving().or_else(|problem| {
            // It may have waited too long for that word: it is told once more, and has nothing to hand over.
            let again = Self::find(&self.admin, &Sockets::default()).ok().flatten().ok_or(problem)?;
            self.stream = again.stream;
            self.tell_serving()
        })
    }

    fn tell_serving(&mut self) -> io::Result<()> {
        self.stream.write_all(format!("{SERVING}\n").as_bytes())?;
        match read_until(&mut self.stream, b"\n")?.as_slice() {
            b"left\n" => Ok(()),
            _ => Err(io::Error::other("the proxy before this one does not leave")),
        }
    }

    /// Asks it to end now, whatever it still has open.
    pub(crate) fn stop(&mut self) {
        // It may have ended already.
        let _ = self.stream.write_all(format!("{STOP}\n").as_bytes());
    }
}

/// Byte by byte, for what follows comes with descriptors, which a longer read would lose.
fn read_until(stream: &mut StdStream, end: &[u8]) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        read.extend(byte);
        if read.len() > 4096 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(read)
}

fn receive(stream: &StdStream) -> io::Result<Vec<OwnedFd>> {
    let mut space = [const { MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(descriptors)
}

async fn send(stream: &UnixStream, descriptors: &[OwnedFd]) -> io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().take(MOST).map(AsFd::as_fd).collect();
    let sending = || {
        let mut space = [const { MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        sendmsg(stream, &[IoSlice::new(b"\n")], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    };
    stream.async_io(Interest::WRITABLE, sending).await
}

/// The old proxy's side, on the connection over which it was asked.
pub(crate) async fn hand_over(shared: Arc<Shared>, upgrade: hyper::upgrade::OnUpgrade, stop: CancellationToken) {
    let handing = async {
        let upgraded = upgrade.await.map_err(io::Error::other)?;
        let parts = upgraded.downcast::<TokioIo<UnixStream>>().map_err(|_| io::ErrorKind::Unsupported)?;
        let stream = parts.io.into_inner();
        let listeners = copies(&shared.listeners)?;
        send(&stream, &listeners).await?;
        drop(listeners);
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        let said = tokio::time::timeout(shared.limits().hand_over, stream.read_line(&mut line)).await;
        said.map_err(|_| io::ErrorKind::TimedOut)??;
        if line.trim_end() != SERVING {
            return Err(io::Error::other("the next proxy ended before it served"));
        }
        shared.leaving.cancel();
        stream.write_all(format!("{LEFT}\n").as_bytes()).await?;
        // Its end alone means nothing: what is open here goes on.
        line.clear();
        stream.read_line(&mut line).await?;
        if line.trim_end() == STOP {
            stop.cancel();
        }
        Ok(())
    };
    if let Err(problem) = handing.await {
        tracing::warn!(%problem, "the listeners were not handed over");
    }
}

fn copies(listeners: &Mutex<Vec<OwnedFd>>) -> io::Result<Vec<OwnedFd>> {
    lock(listeners).iter().map(OwnedFd::try_clone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn descriptors_pass_between_sockets_and_listeners_alone_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        let door = StdUnixListener::bind(&path).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (file, _) = StdStream::pair().unwrap();
        send(&ours, &[listener.into(), client.into(), file.into(), door.into()]).await.unwrap();
        let received = receive(&theirs.into_std().unwrap()).unwrap();
        assert_eq!(received.len(), 4);
        let sockets = Sockets::of_descriptors(received);
        assert!(sockets.take("127.0.0.1:1".parse().unwrap()).is_none());
        assert_eq!(sockets.take(address).unwrap().local_addr().unwrap(), address);
        assert!(sockets.take(address).is_none(), "it is taken once");
        assert!(sockets.take_at(Path::new("/elsewhere")).is_none());
        assert!(sockets.take_at(&path).is_some() && sockets.take_at(&path).is_none());
    }
}
