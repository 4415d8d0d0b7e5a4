use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::pipe2;

/// Passes bytes between each connection and one of its own at the target, and reads nothing of them: what the kernel
/// takes for any proxy. A read and a write for each piece; long runs go through a pipe.
#[derive(clap::Args)]
pub struct Relay {
    port: u16,
    target: u16,
}

const BUFFER: usize = 64 * 1024;
const PIPE: i32 = 1024 * 1024;
/// Events of the listener; those of connections have the number of their pair, twice, and their side.
const NEW: u64 = u64::MAX;

type Pipe = (OwnedFd, OwnedFd);

/// From one side to the other.
#[derive(Default)]
struct Flow {
    /// Read, but not yet taken by the other side.
    held: Vec<u8>,
    /// While much comes; so many bytes are in it.
    pipe: Option<(Pipe, usize)>,
    ended: bool,
}

impl Flow {
    fn waits(&self) -> bool {
        !self.held.is_empty() || self.pipe.as_ref().is_some_and(|(_, inside)| *inside > 0)
    }
}

/// A client and the target; each flow begins at the socket of its number.
struct Pair {
    sockets: [TcpStream; 2],
    flows: [Flow; 2],
    wanted: [EpollFlags; 2],
}

/// What all share.
struct Room {
    buffer: Vec<u8>,
    pipes: Vec<Pipe>,
}

impl Relay {
    pub fn run(self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))?;
        // Those that are accepted have it from here.
        nix::sys::socket::setsockopt(&listener, nix::sys::socket::sockopt::TcpNoDelay, &true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, NEW))?;
        let mut room = Room { buffer: vec![0; BUFFER], pipes: Vec::new() };
        let (mut pairs, mut free) = (Vec::<Option<Pair>>::new(), Vec::new());
        let mut events = [EpollEvent::empty(); 256];
        loop {
            let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
                // Somebody looks at it.
                Err(Errno::EINTR) => continue,
                count => count?,
            };
            for event in &events[..count] {
                if event.data() == NEW {
                    let number = free.pop().unwrap_or(pairs.len());
                    pairs.resize_with(pairs.len().max(number + 1), || None);
                    pairs[number] = Some(Pair::new(listener.accept()?.0, self.target, &epoll, number)?);
                    continue;
                }
                let (number, side) = ((event.data() / 2) as usize, (event.data() % 2) as usize);
                // What an event before this one has ended is not there.
                let Some(pair) = &mut pairs[number] else { continue };
                let over = pair.turn(side, event.events(), &mut room);
                // A client that goes away is no concern of the others.
                if over.and_then(|over| pair.want(&epoll, number).map(|()| over)).unwrap_or(true) {
                    pairs[number] = None;
                    free.push(number);
                }
            }
        }
    }
}

impl Pair {
    fn new(client: TcpStream, target: u16, epoll: &Epoll, number: usize) -> Result<Self> {
        // On the loopback it is there at once.
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
        server.set_nodelay(true)?;
        let wanted = EpollFlags::EPOLLIN;
        for (side, socket) in [&client, &server].into_iter().enumerate() {
            epoll.add(socket, EpollEvent::new(wanted, (number * 2 + side) as u64))?;
        }
        Ok(Self { sockets: [client, server], flows: Default::default(), wanted: [wanted; 2] })
    }

    /// Moves what one side has and takes. True when both directions have ended.
    fn turn(&mut self, side: usize, events: EpollFlags, room: &mut Room) -> io::Result<bool> {
        let broken = events.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        if events.contains(EpollFlags::EPOLLOUT) {
            self.pour(1 - side, room)?;
        }
        if events.contains(EpollFlags::EPOLLIN) || broken {
            if broken && self.flows[side].ended {
                return Ok(true);
            }
            if !self.flows[side].waits() {
                self.fill(side, room)?;
            }
        }
        Ok(self.flows.iter().all(|flow| flow.ended && !flow.waits()))
    }

    /// One read, and the write of what it gave.
    fn fill(&mut self, from: usize, room: &mut Room) -> io::Result<()> {
        let (source, flow) = (&self.sockets[from], &mut self.flows[from]);
        if let Some(((_, entry), inside)) = &mut flow.pipe {
            match moved(splice(source, None, entry, None, PIPE as usize, SpliceFFlags::SPLICE_F_NONBLOCK))? {
                Some(count) => (*inside, flow.ended) = (count, count == 0),
                None => return Ok(()),
            }
            return self.pour(from, room);
        }
        let Some(count) = moved(recv(source.as_raw_fd(), &mut room.buffer, MsgFlags::MSG_DONTWAIT))? else {
            return Ok(());
        };
        flow.ended = count == 0;
        if flow.ended {
            return self.pour(from, room);
        }
        let whole = &room.buffer[..count];
        let taken = moved(send(self.sockets[1 - from].as_raw_fd(), whole, MsgFlags::MSG_DONTWAIT))?.unwrap_or(0);
        flow.held.extend_from_slice(&whole[taken..]);
        if count == BUFFER {
            // A pipe does not say which calls may wait.
            self.sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
            flow.pipe = Some((room.pipe()?, 0));
        }
        Ok(())
    }

    /// Gives the other side what waits for it, and the end.
    fn pour(&mut self, from: usize, room: &mut Room) -> io::Result<()> {
        let (sink, flow) = (&self.sockets[1 - from], &mut self.flows[from]);
        if !flow.held.is_empty() {
            let taken = moved(send(sink.as_raw_fd(), &flow.held, MsgFlags::MSG_DONTWAIT))?.unwrap_or(0);
            flow.held.drain(..taken);
        } else if let Some(((exit, _), inside)) = &mut flow.pipe
            && *inside > 0
        {
            let brought = *inside;
            *inside -= moved(splice(exit, None, sink, None, brought, SpliceFFlags::SPLICE_F_NONBLOCK))?.unwrap_or(0);
            if *inside == 0 && brought < BUFFER {
                room.pipes.extend(flow.pipe.take().map(|(pipe, _)| pipe));
            }
        }
        if flow.ended && !flow.waits() {
            sink.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    /// Reads where nothing waits, and writes where something does.
    fn want(&mut self, epoll: &Epoll, number: usize) -> io::Result<()> {
        for side in 0..2 {
            let mut wanted = EpollFlags::empty();
            wanted.set(EpollFlags::EPOLLIN, !self.flows[side].ended && !self.flows[side].waits());
            wanted.set(EpollFlags::EPOLLOUT, self.flows[1 - side].waits());
            if wanted != self.wanted[side] {
                self.wanted[side] = wanted;
                epoll.modify(&self.sockets[side], &mut EpollEvent::new(wanted, (number * 2 + side) as u64))?;
            }
        }
        Ok(())
    }
}

impl Room {
    fn pipe(&mut self) -> io::Result<Pipe> {
        if let Some(pipe) = self.pipes.pop() {
            return Ok(pipe);
        }
        let pipe = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        fcntl(&pipe.1, FcntlArg::F_SETPIPE_SZ(PIPE))?;
        Ok(pipe)
    }
}

/// How many bytes; None where it would have to wait.
fn moved(found: nix::Result<usize>) -> io::Result<Option<usize>> {
    match found {
        Ok(count) => Ok(Some(count)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
