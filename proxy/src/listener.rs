//! Public listeners: accept, bound, serve.

use std::{
    future::{Future, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use anyhow::Context;
use http::HeaderValue;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
};

use crate::{
    activity::lock,
    budget::{self, Pace, Rate},
    chp::Door,
    dial,
    hand_over::Sockets,
    headers::Origin,
    http2,
    keep_alive::Between,
    options::{Front, Limits},
    proxy_protocol,
    relay::{self, Client},
    rewound::Rewound,
    short,
    splice::PipedSocket,
    state::Shared,
    stream::{self, Stream},
    workers::{Loads, Workers},
};

/// Connections the kernel may hold while we are busy: all websockets of a proxy may come back at once, and whom there is no
/// room for tries again after a second. The kernel has a bound of its own, `net.core.somaxconn`, 4096 without more.
const BACKLOG: i32 = 16 * 1024;
/// Pause after the process ran out of something, such as file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(50);
/// The least time between two warnings of that.
const WARNING: Duration = Duration::from_secs(10);

/// Binds one listener, if it is not there already. With `both`, one at `::` hears IPv4 too, whatever the system's default is.
pub(crate) fn bind(address: SocketAddr, sockets: &Sockets, both: bool) -> anyhow::Result<TcpListener> {
    let bound = || -> io::Result<TcpListener> {
        if let Some(listener) = sockets.take(address) {
            return TcpListener::from_std(listener);
        }
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        if both && address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bound().with_context(|| format!("cannot listen on {address}"))
}

/// Lets every worker accept at a door.
pub(crate) fn open(shared: &Arc<Shared>, workers: &Workers, loads: &Arc<Loads>, mut door: Door) -> io::Result<()> {
    for runtime in workers.runtimes() {
        let _inside = runtime.enter();
        shared.tasks.spawn(accept(Arc::clone(shared), Arc::clone(loads), door.again()?));
    }
    Ok(())
}

/// Accepts until the drain, or until another proxy does. At the bound on connections, new ones wait in the kernel's queue.
async fn accept(shared: Arc<Shared>, loads: Arc<Loads>, door: Door) {
    door.keep();
    let accepting = async {
        loop {
            let Some(place) = shared.room.enter().await else { return };
            let kept = shared.room.keep();
            let Some((stream, peer)) = door.next().await else { continue };
            drop(kept);
            // TLS is spoken at addresses alone.
            let tls = shared.secure.is_some() && matches!(stream, Stream::Tcp(_));
            let origin = origin(&shared, peer, tls);
            let between = shared.limits().keep_alive.map(Between::new);
            let (context, place) = (Arc::clone(&shared), Some(place));
            // Who comes to a unix socket has no address.
            let known = (!matches!(stream, Stream::Unix(_))).then_some(peer);
            let (load, other) = loads.add(matches!(stream, Stream::Tcp(_)));
            let client = Client { _place: place, _load: load, between, ..Client::new(context, origin, known) };
            let builder = builder(&shared.limits());
            match (stream, other) {
                (Stream::Tcp(socket), Some(other)) => move_to(&shared, other, builder, client, socket, peer),
                (stream, _) => drop(shared.tasks.spawn(serve(builder, client, stream, peer))),
            }
            // Who has work to do lets the other workers take the next one.
            tokio::task::yield_now().await;
        }
    };
    shared.while_open(accepting).await;
    if shared.leaving.is_set() {
        door.give_away();
    }
}

/// Serves a connection on another worker.
fn move_to(shared: &Shared, other: &Handle, builder: http1::Builder, client: Client, socket: TcpStream, peer: IpAddr) {
    // A socket that cannot be moved is cut.
    let Ok(socket) = socket.into_std() else { return };
    let serving = async move {
        if let Ok(socket) = TcpStream::from_std(socket) {
            serve(builder, client, Stream::Tcp(socket), peer).await;
        }
    };
    shared.tasks.spawn_on(serving, other);
}

/// The next connection; None after a failure that was waited for.
pub(crate) async fn next(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(problem) => {
            rest_after(&problem).await;
            None
        }
    }
}

/// How often connections could not be accepted for want of something, since the start of this process.
pub(crate) static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Waits a moment when a connection could not be accepted for want of something.
pub(crate) async fn rest_after(problem: &io::Error) {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    static WARNINGS: Pace = Pace::new();
    if !is_of_peer(problem) {
        let failures = FAILURES.fetch_add(1, Ordering::Relaxed) + 1;
        if WARNINGS.passes(Rate::every(WARNING), budget::since(*START)) {
            tracing::warn!(%problem, failures, "cannot accept connections");
        }
        tokio::time::sleep(EXHAUSTED).await;
    }
}

/// Whether only this one connection failed.
fn is_of_peer(problem: &io::Error) -> bool {
    matches!(
        problem.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_header_size(limits.header_bytes)
        .max_buf_size(dial::buffer_bytes(limits))
        .half_close(false);
    builder
}

/// What is known of a client; `tls` is whether it speaks TLS, to us or to the load balancer before us.
pub(crate) fn origin(shared: &Shared, peer: IpAddr, tls: bool) -> Origin {
    let peer = peer.to_canonical();
    let address = HeaderValue::from_str(&peer.to_string());
    Origin {
        address: address.unwrap_or_else(|_| HeaderValue::from_static("unknown")),
        trusted: shared.trusted.iter().any(|network| network.contains(peer)),
        vouched: false,
        appended: shared.chp.is_some(),
        proto: HeaderValue::from_static(if tls { "https" } else { "http" }),
        told: shared.chp.as_ref().is_none_or(|chp| chp.options.x_forward),
        port: HeaderValue::from_static(if tls { "443" } else { "80" }),
    }
}

/// Serves one connection that is there already.
#[cfg(feature = "fuzzing")]
pub(crate) async fn serve_alone(shared: Arc<Shared>, stream: Stream) {
    let peer = IpAddr::from([127, 0, 0, 1]);
    let (origin, builder) = (origin(&shared, peer, false), builder(&shared.limits()));
    serve(builder, Client::new(shared, origin, Some(peer)), stream, peer).await;
}

/// Whether a connection is of a load balancer that speaks the PROXY protocol.
pub(crate) fn has_front(shared: &Shared, stream: &Stream, peer: IpAddr) -> bool {
    let at_unix = matches!(stream, Stream::Unix(_));
    shared.proxy_protocol_from.iter().any(|front| match front {
        Front::Network(network) => !at_unix && network.contains(peer),
        Front::Unix => at_unix,
    })
}

/// Whom a load balancer speaks for, where one is expected. None ends the connection.
async fn introduced(mut client: Client, stream: &mut Stream, peer: IpAddr) -> Option<Client> {
    let shared = &client.shared;
    if !has_front(shared, stream, peer) {
        return Some(client);
    }
    let patience = shared.limits().proxy_header;
    let receiving = tokio::time::timeout(patience, proxy_protocol::receive(stream));
    let problem = match shared.drain.until(receiving).await? {
        Ok(Ok(header)) => {
            if let Some(source) = header.source {
                let tls = header.tls || (shared.secure.is_some() && !matches!(stream, Stream::Unix(_)));
                client.origin = origin(shared, source.ip(), tls);
                client.peer = Some(source.ip());
            }
            return Some(client);
        }
        Ok(Err(problem)) => problem,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    tracing::debug!(%problem, %peer, "no PROXY header");
    None
}

async fn serve(builder: http1::Builder, client: Client, mut stream: Stream, peer: IpAddr) {
    let Some(mut client) = introduced(client, &mut stream, peer).await else { return };
    let Ok(seat) = budget::seat(&client.shared, client.peer, client.origin.trusted) else { return };
    client._seat = seat;
    if let Stream::Tcp(socket) = &stream {
        // A socket that refuses this is already closed, and the read will say so.
        let _ = socket.set_nodelay(true);
        stream::unpace(socket);
    }
    let shared = Arc::clone(&client.shared);
    stream.bound_stall(shared.limits().stalled);
    let handshake = shared.limits().tls_handshake;
    let mut stream = match (stream, &shared.secure) {
        (Stream::Tcp(socket), Some(secure)) => match shared.drain.until(secure.accept(socket, handshake)).await {
            Some(Ok(stream)) => Stream::Tls(Box::new(stream)),
            Some(Err(problem)) => {
                tracing::debug!(%problem, "no handshake");
                return;
            }
            None => return,
        },
        (Stream::Tcp(socket), None) => Stream::Piped(PipedSocket::new(socket, dial::buffer_bytes(&shared.limits()))),
        (stream, _) => stream,
    };
    if let Stream::Tls(secured) = &stream
        && secured.get_ref().1.alpn_protocol() == Some(http2::ALPN)
    {
        return Box::pin(http2::serve(Arc::new(client), stream)).await;
    }
    client.ends = stream.ends();
    let client = Arc::new(client);
    let served = shared.halt.until(async {
        let Some(rest) = short::serve(&client, &mut stream).await else { return Ok(()) };
        let came = !rest.read.is_empty();
        *lock(&client.begun) = rest.begun;
        let stream = TokioIo::new(Rewound::new(stream, rest.read));
        let between = client.between.clone();
        let service = service_fn(move |request| relay::answer(Arc::clone(&client), request));
        let mut connection = pin!(builder.serve_connection(stream, service).with_upgrades());
        // What has come is begun before anything ends: hyper would leave it unread.
        if came && let Poll::Ready(ended) = poll_fn(|context| Poll::Ready(connection.as_mut().poll(context))).await {
            return ended;
        }
        let ended = match &between {
            None => shared.drain.until(connection.as_mut()).await,
            Some(between) => Box::pin(shared.drain.until(between.or_too_long(connection.as_mut()))).await.flatten(),
        };
        if let Some(ended) = ended {
            return ended;
        }
        connection.as_mut().graceful_shutdown();
        connection.as_mut().await
    });
    if let Some(Err(problem)) = served.await {
        tracing::debug!(%problem, "client connection ended");
    }
}
