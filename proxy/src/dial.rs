//! New upstream connections.

use std::{io, sync::Arc};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use crate::{
    options::Limits,
    patient::PatientSocket,
    pool::Lease,
    rewound::Rewound,
    route::Route,
    splice::PipedSocket,
    state::Shared,
    stream::{self, Stream},
    target::{self, Address, Target},
    tls::Trust,
    workers,
};

/// Connects to a target, TLS included, within [`Limits::connect`]. Who takes nothing is cut after [`Limits::stalled`].
pub(crate) async fn connect(target: &Target, limits: &Limits, trust: &Trust) -> io::Result<Stream> {
    let connecting = async {
        let socket = match &target.address {
            Address::Unix(path) => {
                let mut socket = PatientSocket::new(UnixStream::connect(path).await?);
                socket.bound_stall(limits.stalled);
                return Ok(Stream::Unix(socket));
            }
            Address::Ip(address) => TcpStream::connect(address).await?,
            Address::Name(name, port) => connect_by_name(name, *port).await?,
        };
        stream::bound_stall(&socket, limits.stalled);
        stream::unpace(&socket);
        if target.tls {
            // What stands for the upstream ends with this socket, and has no bound of its own.
            return Ok(Stream::Unix(trust.wrap(target, socket).await?));
        }
        socket.set_nodelay(true)?;
        Ok(Stream::Piped(PipedSocket::new(socket, buffer_bytes(limits))))
    };
    match tokio::time::timeout(limits.connect, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A name may lead anywhere, and to another place than a moment ago: what may not be a target is left out here too.
async fn connect_by_name(name: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address that may be a target");
    // What cannot be looked up leads to nobody: see `doubt`.
    for address in tokio::net::lookup_host((name, port)).await.map_err(io::Error::other)? {
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

/// A new connection to the route's target.
pub(crate) async fn open(shared: &Shared, route: &Route) -> io::Result<Stream> {
    let limits = shared.limits.load_full();
    // Who has a server has a certificate too, and must not be taken for the hub at its address.
    let trust = if route.is_hub() { &shared.trust_of_hub } else { &shared.trust };
    connect(route.target(), &limits, trust).await
}

/// Has a connection to the route's target driven by a task of its own until it ends, the lease is dropped or the route
/// is gone.
pub(crate) async fn drive(shared: &Shared, route: &Route, stream: Rewound) -> hyper::Result<Lease> {
    let (limits, ends) = (shared.limits.load_full(), stream.ends());
    let mut builder = http1::Builder::new();
    builder.max_header_size(limits.header_bytes).max_buf_size(buffer_bytes(&limits));
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let gone = Arc::clone(&route.gone);
    let driver = shared.tasks.spawn(async move {
        if let Some(Err(problem)) = gone.until(connection.with_upgrades()).await {
            tracing::debug!(%problem, "upstream connection ended");
        }
    });
    Ok(Lease { sender, driver: driver.abort_handle(), home: workers::here(), ends })
}

/// Bytes that hyper may hold for one direction of a connection: a head, and enough for a good write.
pub(crate) fn buffer_bytes(limits: &Limits) -> usize {
    limits.header_bytes.max(32 * 1024) * 2
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    async fn segments_to_a_peer_on_this_host_are_not_spaced() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Target::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        let stream = connect(&target, &Limits::default(), &Trust::default()).await.unwrap();
        let Stream::Piped(socket) = &stream else { panic!("no socket") };
        let given = |socket: &TcpStream| SockRef::from(socket).tcp_congestion().unwrap();
        let (client, _) = listener.accept().await.unwrap();
        assert!(!given(&socket.socket).starts_with(b"bbr"));
        stream::unpace(&client);
        assert_eq!(given(&client), given(&socket.socket));
    }

    #[tokio::test]
    async fn item_18_a_name_of_a_forbidden_address_is_not_connected_to() {
        // Names that are no addresses to anybody but the system's resolver, which asks no server for them.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for loopback in ["2130706433", "0x7f000001", "127.1"] {
            assert!(matches!(Target::parse(&format!("http://{loopback}:{port}")).unwrap().address, Address::Name(..)));
            assert!(connect_by_name(loopback, port).await.is_ok(), "{loopback}");
        }
        for forbidden in ["2852039166", "0xa9fea9fe", "169.254.43518", "0251.0376.0251.0376", "3758096385"] {
            assert!(matches!(Target::parse(&format!("http://{forbidden}:{port}")).unwrap().address, Address::Name(..)));
            let problem = connect_by_name(forbidden, port).await.unwrap_err();
            // What no try to connect would say.
            assert_eq!(problem.to_string(), "the name has no address that may be a target", "{forbidden}");
        }
    }
}
