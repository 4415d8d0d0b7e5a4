//! New upstream connections.

use std::{io, sync::Arc};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use crate::{
    options::Limits,
    pool::Lease,
    route::Route,
    state::Shared,
    stream::Stream,
    target::{self, Address, Target},
    tls::Trust,
    workers,
};

/// Connects to a target, TLS included, within [`Limits::connect`].
pub(crate) async fn connect(target: &Target, limits: &Limits, trust: &Trust) -> io::Result<Stream> {
    let connecting = async {
        let socket = match &target.address {
            Address::Unix(path) => return Ok(Stream::Unix(UnixStream::connect(path).await?)),
            Address::Ip(address) => TcpStream::connect(address).await?,
            Address::Name(name, port) => connect_by_name(name, *port).await?,
        };
        if target.tls {
            return Ok(Stream::Unix(trust.wrap(target, socket).await?));
        }
        socket.set_nodelay(true)?;
        Ok(Stream::Tcp(socket))
    };
    match tokio::time::timeout(limits.connect, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A name may lead anywhere, and to another place than a moment ago: what may not be a target is left out here too.
async fn connect_by_name(name: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address that may be a target");
    for address in tokio::net::lookup_host((name, port)).await? {
        if target::is_forbidden(address.ip()) {
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(problem) => last = problem,
        }
    }
    Err(last)
}

/// A new connection to the route's target, driven by its own task until it ends, the lease is
/// dropped or the route is gone.
pub(crate) async fn open(shared: &Arc<Shared>, route: &Route) -> io::Result<Lease> {
    let limits = shared.limits.load_full();
    let stream = connect(route.target(), &limits, &shared.trust).await?;
    let mut builder = http1::Builder::new();
    builder.max_header_size(limits.header_bytes).max_buf_size(buffer_bytes(&limits));
    stream.bound_stall(limits.stalled);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let gone = Arc::clone(&route.gone);
    let driver = shared.tasks.spawn(async move {
        if let Some(Err(problem)) = gone.until(connection.with_upgrades()).await {
            tracing::debug!(%problem, "upstream connection ended");
        }
    });
    Ok(Lease { sender, driver: driver.abort_handle(), home: workers::here() })
}

/// Bytes that hyper may hold for one direction of a connection: a head, and enough for a good write.
pub(crate) fn buffer_bytes(limits: &Limits) -> usize {
    limits.header_bytes.max(32 * 1024) * 2
}
