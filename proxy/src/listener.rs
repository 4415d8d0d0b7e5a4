//! Public listeners: accept, bound, serve.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use http::HeaderValue;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    budget,
    chp::Door,
    dial,
    hand_over::Sockets,
    headers::Origin,
    options::Limits,
    relay::{self, Client},
    room::Room,
    state::Shared,
    stream::Stream,
};

/// Connections the kernel may hold while we are busy.
const BACKLOG: i32 = 1024;
/// Pause after the process ran out of something, such as file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Binds one public listener, if it is not there already.
pub(crate) fn bind(address: SocketAddr, sockets: &Sockets) -> anyhow::Result<TcpListener> {
    let bound = || -> io::Result<TcpListener> {
        if let Some(listener) = sockets.take(address) {
            return TcpListener::from_std(listener);
        }
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bound().with_context(|| format!("cannot listen on {address}"))
}

/// Accepts until the drain, or until another proxy does. At the bound on connections, new ones wait in the kernel's queue.
pub(crate) async fn accept(shared: Arc<Shared>, door: Door, room: Arc<Room>) {
    let accepting = async {
        loop {
            let Some(place) = room.enter().await else { return };
            let Some((stream, peer)) = door.next().await else { continue };
            let origin = origin(&shared, peer);
            let Ok(seat) = budget::seat(&shared, peer, origin.trusted) else { continue };
            let client = Client { shared: Arc::clone(&shared), origin, peer, _place: Some(place), _seat: seat };
            shared.tasks.spawn(serve(builder(&shared.limits()), Arc::new(client), stream));
        }
    };
    shared.while_open(accepting).await;
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

/// Waits a moment when a connection could not be accepted for want of something.
pub(crate) async fn rest_after(problem: &io::Error) {
    if !is_of_peer(problem) {
        tracing::warn!(%problem, "cannot accept connections");
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

fn origin(shared: &Shared, peer: IpAddr) -> Origin {
    let peer = peer.to_canonical();
    let address = HeaderValue::from_str(&peer.to_string());
    Origin {
        address: address.unwrap_or_else(|_| HeaderValue::from_static("unknown")),
        trusted: shared.trusted.iter().any(|network| network.contains(peer)),
        proto: HeaderValue::from_static(if shared.secure.is_some() { "https" } else { "http" }),
        told: shared.chp.as_ref().is_none_or(|chp| chp.options.x_forward),
        port: HeaderValue::from_static(if shared.secure.is_some() { "443" } else { "80" }),
    }
}

/// Serves one connection that is there already.
#[cfg(feature = "fuzzing")]
pub(crate) async fn serve_alone(shared: Arc<Shared>, stream: Stream) {
    let peer = IpAddr::from([127, 0, 0, 1]);
    let (origin, builder) = (origin(&shared, peer), builder(&shared.limits()));
    let client = Client { shared, origin, peer, _place: None, _seat: None };
    serve(builder, Arc::new(client), stream).await;
}

async fn serve(builder: http1::Builder, client: Arc<Client>, stream: Stream) {
    if let Stream::Tcp(socket) = &stream {
        // A socket that refuses this is already closed, and the read will say so.
        let _ = socket.set_nodelay(true);
    }
    let shared = Arc::clone(&client.shared);
    stream.bound_stall(shared.limits().stalled);
    let handshake = shared.limits().tls_handshake;
    let stream = match (stream, &shared.secure) {
        (Stream::Tcp(socket), Some(secure)) => match shared.drain.until(secure.accept(socket, handshake)).await {
            Some(Ok(stream)) => Stream::Tls(Box::new(stream)),
            Some(Err(problem)) => {
                tracing::debug!(%problem, "no handshake");
                return;
            }
            None => return,
        },
        (stream, _) => stream,
    };
    let stream = TokioIo::new(stream);
    let service = service_fn(move |request| relay::answer(Arc::clone(&client), request));
    let mut connection = pin!(builder.serve_connection(stream, service).with_upgrades());
    let served = shared.halt.until(async {
        if let Some(ended) = shared.drain.until(connection.as_mut()).await {
            return ended;
        }
        connection.as_mut().graceful_shutdown();
        connection.as_mut().await
    });
    if let Some(Err(problem)) = served.await {
        tracing::debug!(%problem, "client connection ended");
    }
}
